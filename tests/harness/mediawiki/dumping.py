"""MediaWiki's own dumpBackup.php, while the wiki is edited."""

from pathlib import Path
from typing import Final

from harness.mediawiki.farm import WikiFarm
from harness.mediawiki.founding import environment, ran
from harness.mediawiki.packages import CODE

DUMPED_S: Final = 120.0


async def dump_of(farm: WikiFarm, wiki: str, path: Path, *options: str) -> Path:
    """Its XML, written to `path`; `options` say of which revisions, e.g. `--full`."""
    await ran(
        farm.origin,
        str(CODE / "maintenance/dumpBackup.php"),
        f"--output=file:{path}",
        *(options or ("--current",)),
        env={**environment(farm.folder, farm.origin), "PROOF_WIKI": wiki},
        within_s=DUMPED_S,
    )
    return path
