"""The three partners of the recording, and the service pointed at it."""

import asyncio
import hashlib
import secrets
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from deploy.kafka import Brokers
from streamer.log.base import Log
from streamer.log.kafka import KafkaLog

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


class OnKafka:
    """A service's settings for topics of its own on a cluster, and the same log as a test opens it."""

    def __init__(self, brokers: Brokers) -> None:
        self.bootstrap = tuple(brokers.bootstrap.split(","))
        self.prefix = f"t{secrets.token_hex(4)}"
        self.replication = min(3, len(self.bootstrap))

    @property
    def settings(self) -> str:
        return (
            f'kind = "kafka"\nbootstrap = {list(self.bootstrap)}\n'
            f'prefix = "{self.prefix}"\nreplication = {self.replication}'
        )

    def open(self) -> KafkaLog:
        return KafkaLog(self.bootstrap, prefix=self.prefix, replication=self.replication)


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
heartbeat_s = 1
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
