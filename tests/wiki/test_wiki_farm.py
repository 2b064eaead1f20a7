"""The fixture itself: what it leaves behind, and what happens to its streams."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import aiohttp
from harness.mediawiki import WikiFarm

ROOT = Path(__file__).resolve().parents[2]
GONE_S = 30.0
STARTS = """
import asyncio, sys
from pathlib import Path
from harness.mediawiki import WikiFarm

async def main():
    async with WikiFarm(Path(sys.argv[1]), origin=Path(sys.argv[2])) as farm:
        print(*farm.php.pids, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


async def test_no_process_is_left_when_the_test_is_killed(origin: Path, tmp_path: Path) -> None:
    """By -9, when nothing can be tidied up any more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", STARTS, str(tmp_path / "farm"), str(origin)),
        env={"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        pids = [int(pid) for pid in (await asyncio.wait_for(process.stdout.readline(), 60)).split()]
        assert len(pids) == 3
        assert all(map(alive, pids))
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with asyncio.timeout(GONE_S):
        while any(map(alive, pids)):
            await asyncio.sleep(0.02)


async def heard(answer: aiohttp.ClientResponse, count: int) -> list[bytes]:
    """So many `data` lines; fewer where the stream ends."""
    lines: list[bytes] = []
    async for line in answer.content:
        if line.startswith(b"data: "):
            lines.append(line)
            if len(lines) == count:
                break
    return lines


async def test_the_stream_is_cut_falls_silent_and_changes_its_data_centre(
    farm: WikiFarm, rng: random.Random
) -> None:
    """What the wikis tell arrives by SSE; a cut ends the connection, a silence ends nothing, and after a
    switch-over the other topic tells.
    """
    agent = {"User-Agent": "proof/1 (proof@example.org)"}
    url = f"{farm.stream_url}/recentchange"
    async with aiohttp.ClientSession(headers=agent, timeout=aiohttp.ClientTimeout(total=30)) as client:
        async with client.get(url) as answer:
            await farm.do("create", "enproof", rng)
            [line] = await heard(answer, 1)
            assert b'"topic":"eqiad.mediawiki.recentchange"' in line
            began_s = asyncio.get_running_loop().time()
            farm.silence(2)
            farm.switch_over()
            await farm.do("create", "deproof", rng)
            [line] = await heard(answer, 1)
            assert asyncio.get_running_loop().time() - began_s >= 2
            assert b'"topic":"codfw.mediawiki.recentchange"' in line
            farm.cut()
            assert await heard(answer, 1) == []
        since = {"since": "2020-01-01T00:00:00Z"}
        async with client.get(url, params=since) as answer:
            assert len(await heard(answer, 2)) == 2
