"""`python -m deploy.grafana`: writes the dashboards, a file each."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from deploy.grafana.boards import BOARDS
from deploy.grafana.build import rendered

FOLDER: Final = Path(__file__).parent / "dashboards"
PROMETHEUS: Final = Path(__file__).parents[1] / "prometheus" / "prometheus.yml"


def runbooks_of(config: Path) -> str:
    """The address below which alerts have their pages, as Prometheus is told it. Raises OSError, and KeyError
    where it is not told.
    """
    told = yaml.safe_load(config.read_text(encoding="utf-8"))
    return str(told["global"]["external_labels"]["runbooks"]).rstrip("/")


def files(runbooks: str) -> dict[str, str]:
    """Name → text of each file that the folder holds."""
    return {f"{board.uid}.json": rendered(board, runbooks) for board in BOARDS}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m deploy.grafana", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder (default: beside this program)")
    parser.add_argument(
        "--runbooks",
        metavar="URL",
        help="address of the alerts' pages (default: what ../prometheus/prometheus.yml says)",
    )
    options = parser.parse_args(words)
    out: Path = options.out
    try:
        runbooks = str(options.runbooks or runbooks_of(PROMETHEUS)).rstrip("/")
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files(runbooks).items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyError:
        print(f"{PROMETHEUS} has no external label `runbooks`: give --runbooks", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
