"""The three partners of the recording, and the service pointed at it."""

import asyncio
import hashlib
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from streamer.log.base import Log

PARTITIONS = 10

KEYS = {name: f"wrs_test_key_of_{name}" for name in ("everything", "words", "humans")}
RULES = {
    "everything": 'content = ["wikitext"]',
    "words": 'wikis = ["enwiki", "*wiktionary"]\nnamespaces = [0]\nkinds = ["create", "edit"]\n'
    'content = ["wikitext", "text"]\nfields = ["name", "version.identifier", "article_body.wikitext"]',
    "humans": "namespaces = [0, 1]\nbots = false\nminor = false\nmin_size = 1000",
}


def write_partners(file: Path) -> None:
    file.write_text(
        "\n".join(
            f'[{name}]\nkeys = ["sha256:{hashlib.sha256(key.encode()).hexdigest()}"]\n{RULES[name]}\n'
            for name, key in KEYS.items()
        ),
        encoding="utf-8",
    )


LOCAL = 'path = "streamer.db"'


def config(recording: Path, endpoint: str, *, speed: str, port: int = 0, log: str = LOCAL) -> str:
    """All roles, fed by the recording, asking the sandbox that answers for it."""
    return f"""
[source]
url = "file:{recording}"
streams = ["recentchange"]
speed = "{speed}"
[mediawiki]
endpoint = "{endpoint}"
requests_per_minute = 6000
[log]
{log}
[deliver]
port = {port}
admin_port = 0
heartbeat_s = 0.3
"""


async def until_routed_from_the_start(
    log: AbstractAsyncContextManager[Log], partners: int = len(KEYS)
) -> None:
    """A partner begins live, where route first saw it: durable once each lane has committed it. Whoever kills
    route before that gets a later beginning, which is no loss but not what the oracle tells either.
    """
    async with asyncio.timeout(60), log as opened:
        while len(await opened.committed("route")) < partners * PARTITIONS:
            await asyncio.sleep(0.05)
