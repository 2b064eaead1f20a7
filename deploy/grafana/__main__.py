"""`python -m deploy.grafana`: writes the dashboards, a file each."""

import argparse
import sys
from pathlib import Path
from typing import Final

from deploy.grafana.boards import BOARDS, RUNBOOKS
from deploy.grafana.build import rendered

FOLDER: Final = Path(__file__).parent / "dashboards"


def files(runbooks: str = RUNBOOKS) -> dict[str, str]:
    """Name → text of each file that the folder holds."""
    return {f"{board.uid}.json": rendered(board, runbooks) for board in BOARDS}


def main() -> int:
    parser = argparse.ArgumentParser("python -m deploy.grafana", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder (default: beside this program)")
    parser.add_argument("--runbooks", default=RUNBOOKS, help="address of the folder of the alerts' pages")
    options = parser.parse_args()
    out: Path = options.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files(options.runbooks.rstrip("/")).items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        print(
            f"{error.filename} cannot be written ({error.strerror}): name another by --out", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
