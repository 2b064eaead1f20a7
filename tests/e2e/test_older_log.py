"""Today's program on a log that an older one has written."""

import asyncio
import hashlib
from pathlib import Path

from harness.feed import Feed
from harness.older_log import KEY, PARTNER, restored, told
from harness.service import Service, free_port


async def test_a_log_of_format_1_goes_on(tmp_path: Path) -> None:
    """All roles begin where it says, and count what it counted; nothing is routed again; a client that
    resumes by an id that the older program gave gets what followed, each event once and by today's schema.
    """
    log = tmp_path / "streamer.db"
    restored(log)
    was = told()
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    (tmp_path / "partners.toml").write_text(
        f'[{PARTNER}]\nkeys = ["sha256:{digest}"]\ncontent = ["wikitext"]\n', encoding="utf-8"
    )
    nowhere = f"http://127.0.0.1:{free_port()}"
    config = f"""
[source]
url = "{nowhere}/v2/stream"
[mediawiki]
hosts = ["*.sandbox.example"]
endpoint = "{nowhere}"
[log]
path = "{log}"
[deliver]
port = 0
admin_port = 0
heartbeat_s = 0.3
"""
    async with Service(tmp_path, config) as service:
        url = f"http://127.0.0.1:{await service.port()}/v2/articles"
        got: list[str] = []
        async with asyncio.timeout(60):
            async for event in Feed(url, KEY, last_id=was.id).events():
                if event.name == "message":
                    got.append(event.article["event"]["identifier"])  # type: ignore[index]
                elif event.name == "heartbeat" and len(got) >= len(was.rest):
                    break
            while await counted(service) != was.counts:
                await asyncio.sleep(0.1)
        assert got == was.rest
        status, _ = await service.admin("livez")
        assert status == 200
        assert await service.terminate() == 0
        assert not [line for line in service.lines if "Traceback" in line or "a lane stops" in line]


async def counted(service: Service) -> dict[str, dict[str, int]]:
    """What is not 0: there may be outcomes that the older program did not know."""
    told = {
        "source": await service.committed("source"),
        "enrich": await service.committed("enrich"),
        PARTNER: await service.committed("route", PARTNER),
    }
    return {whose: {name: count for name, count in counts.items() if count} for whose, counts in told.items()}
