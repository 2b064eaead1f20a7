"""MediaWiki's own dumpBackup.php, while the wiki is edited."""

import asyncio
from pathlib import Path
from typing import Final

from harness.mediawiki.farm import WikiFarm
from harness.mediawiki.founding import compiled, environment
from harness.mediawiki.packages import CODE

DUMPED_S: Final = 120.0


async def dump_of(farm: WikiFarm, wiki: str, path: Path, *options: str) -> Path:
    """Its XML, written to `path`; `options` say of which revisions, e.g. `--full`."""
    process = await asyncio.create_subprocess_exec(
        "setpriv",
        *("--pdeathsig", "KILL"),
        *compiled(farm.origin),
        str(CODE / "maintenance/dumpBackup.php"),
        f"--output=file:{path}",
        *(options or ("--current",)),
        env={**environment(farm.folder, farm.origin), "PROOF_WIKI": wiki},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DUMPED_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode("utf-8", "replace")[-2_000:]
    return path
