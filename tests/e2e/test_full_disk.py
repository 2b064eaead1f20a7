"""A disk that takes no more while the service works: it waits, says so, and loses and doubles nothing."""

import resource
from pathlib import Path

from harness.feed import Feed
from harness.sandboxed import on_sandbox
from recording_setup import KEYS
from test_bad_input import accounted, articles, write

NOTHING = (0, resource.RLIM_INFINITY)
UNBOUND = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


async def test_what_the_disk_refuses_is_done_once_there_is_room(tmp_path: Path) -> None:
    """The kernel refuses each write of the process; `/readyz` says why, the feed goes on being served from
    what is there, and afterwards every edit comes out once.
    """
    async with on_sandbox(tmp_path) as (sandbox, service):
        await write(sandbox, "Before", "x")
        (before,) = await articles(service, 1)
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, NOTHING)
        for number in range(5):
            await write(sandbox, f"Page {number}", "x")
        refused = 'streamer_log_lane_restarts_total{code="log_unavailable",group="source"}'
        await service.until(lambda m: m.get(refused, 0) >= 2, timeout_s=60)
        assert "the log takes no commit" in (await service.ready())[1]["source_log"]
        assert any("quota or limit" in line for line in service.lines)
        again = Feed(
            f"http://127.0.0.1:{await service.port()}/v2/articles",
            KEYS["everything"],
            since="2020-01-01T00:00:00Z",
        )
        stream = again.events()
        assert (await anext(stream)).data == before.data
        await stream.aclose()
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, UNBOUND)
        assert await accounted(service, 6) == {"admitted": 6, "published": 6}
        found = await articles(service, 6)
        assert {event.article["name"] for event in found} == {"Before", *(f"Page {n}" for n in range(5))}
        await service.until_ready()
        assert await service.terminate() == 0
