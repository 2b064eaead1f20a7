"""Any number of clients on sockets that take what they like: each reads one whole sequence, to its end."""

import asyncio
import gzip
import json
import random
from collections.abc import Mapping
from typing import Any, Final

import pytest
from harness.hubbed import Hubbed, hubbed, oddly, reset

from streamer.deliver.gzipped import HEADER
from streamer.log.base import Stored
from streamer.model import Hideable

STEPS_OF_A_GAME: Final = 120
STEPS: Final = ("publish",) * 4 + ("read",) * 4 + ("join",) * 2 + ("withdraw", "pause", "time", "leave")
WISHES: Final[tuple[dict[str, Any], ...]] = (
    {"fmt": "sse"},
    {"fmt": "ndjson"},
    {"fmt": "sse", "encoding": "gzip"},
    {"fmt": "ndjson", "encoding": "gzip"},
    {"fmt": "sse", "filters": [("identifier", [1, 2])]},
    {"fmt": "sse", "encoding": "gzip", "fields": ["name", "identifier", "event.*", "version.comment"]},
)


class Client:
    """One stream, and what it is to get: the articles from where it joined."""

    def __init__(self, fed: Hubbed, rng: random.Random, published: list[Stored]) -> None:
        wishes = rng.choice(WISHES)
        channel = fed.channel(**wishes)
        self.asked = wishes
        self.only = {1, 2} if "filters" in wishes else None
        number = rng.randrange(channel.first, channel.next + 1)
        self.from_sequence = 0
        if number < channel.next:
            first = next((e for n in range(number, channel.next) if (e := channel.entry(n)).frames), None)
            self.from_sequence = first.frames[0].sequence if first else fed.sequence + 1
        else:
            self.from_sequence = fed.sequence + 1
        self.stream, self.reader = fed.join(channel, number=number, small=rng.random() < 0.7)
        self.published = published
        self.has_left = False

    def check(self, gone: Mapping[int, set[Hideable]], reason: str) -> None:
        """`gone`: what was withdrawn of each sequence."""
        reader = self.reader
        lines = [line.removeprefix(b"data: ").lstrip() for line in reader.body.split(b"\n")[:-1]]
        got = [json.loads(line) for line in lines if line.startswith(b"{")]
        articles = [article for article in got if "event" in article]
        sequences = [article["event"]["sequence"] for article in articles]
        assert sequences == sorted(set(sequences)), "each once and in order"
        wanted = [
            int(record.header("ce_sequence"))
            for record in self.published
            if int(record.header("ce_sequence")) >= self.from_sequence
            and (self.only is None or int(record.key.partition(":")[2]) in self.only)
        ]
        assert set(sequences) <= set(wanted)
        if self.has_left:
            return
        must = [sequence for sequence in wanted if "text" not in gone.get(sequence, ())]
        if reason == "drain":
            assert reader.is_whole
            assert not reader.is_mid_chunk
            assert reader.error is None
            assert sequences == [n for n in wanted if n in must or n in sequences]
            assert set(must) <= set(sequences), "nothing is missing"
            assert (b"event: bye" in reader.body) == (self.asked["fmt"] == "sse")
            if "encoding" in self.asked:
                assert reader.has_trailer
                assert gzip.decompress(HEADER + b"".join(reader.chunks)) == reader.body
        else:
            assert reason in {"withdrawn", "slow", "stalled"}
            assert not reader.is_whole
            had = [n for n in must if sequences and n <= sequences[-1]]
            assert set(had) <= set(sequences)


async def play(fed: Hubbed, rng: random.Random) -> None:
    clients: list[Client] = []
    published: list[Stored] = []
    gone: dict[int, set[Hideable]] = {}
    for _ in range(STEPS_OF_A_GAME):
        step = rng.choice(
            ["publish"] * 4 + ["read"] * 4 + ["join", "join", "withdraw", "pause", "time", "leave"]
        )
        if step == "publish":
            sizes = [rng.choice([1, 500, 20_000]) for _ in range(rng.randrange(1, 5))]
            records = [fed.record(rng.randrange(1, 5), size=size) for size in sizes]
            published += records
            await fed.send(*records)
        elif step == "join" and len(clients) < 12:
            clients.append(Client(fed, rng, published))
        elif step == "withdraw":
            page, hides = rng.randrange(1, 5), rng.choice([("text",), ("comment",), ("editor",)])
            for record in published:
                if record.key == f"enwiki:{page}":
                    gone.setdefault(int(record.header("ce_sequence")), set()).update(hides)
            fed.withdraw(f"{page}", hides)
        elif step == "pause":
            fed.known.behind = not fed.known.behind
        elif step == "time":
            await fed.sweep(rng.choice([0.3, 5.0, 16.0]))
        elif step == "leave" and (staying := [one for one in clients if not one.has_left]):
            client = rng.choice(staying)
            client.has_left = True
            rng.choice([reset, lambda sock: sock.close()])(client.reader.sock)
        for client in clients if step == "read" else ():
            if rng.random() < 0.6 and not client.has_left:
                client.reader.take(rng.choice([1, 100, 5_000, 1 << 20]))
        if rng.random() < 0.3:
            await asyncio.sleep(0)
    await finish(fed, clients, published)
    reasons = {id(stream): reason for stream, reason in fed.ended}
    for client in clients:
        client.check(gone, reasons[id(client.stream)])


async def finish(fed: Hubbed, clients: list[Client], published: list[Stored]) -> None:
    """All get the rest, and then are cut."""
    fed.known.behind = False
    published.append(fed.record(5))
    await fed.send(published[-1])
    await fed.sweep()
    staying = [client for client in clients if not client.has_left]
    async with asyncio.timeout(60):
        while any(
            client.stream.fd in fed.hub.streams
            and fed.hub.streams[client.stream.fd] is client.stream
            and (client.stream.at < client.stream.channel.log.end or client.stream.private)
            for client in staying
        ):
            for client in staying:
                client.reader.take()
            await asyncio.sleep(0)
    for client in staying:
        fed.hub.cut(client.stream, "drain", patience_s=5.0)
    for client in staying:
        await client.reader.end()
    await fed.over(len(clients))


@pytest.mark.parametrize("games", [2, pytest.param(100, marks=pytest.mark.soak)])
@pytest.mark.parametrize("retained_bytes", [1 << 40, 150_000], ids=["much", "little"])
async def test_each_client_reads_one_sequence(
    rng: random.Random, monkeypatch: pytest.MonkeyPatch, retained_bytes: int, games: int
) -> None:
    """Short writes anywhere, sockets that take nothing for now, pauses, cut-offs, evictions, joins in the
    middle, clients that leave: whole chunks in order, gzip that is right to its trailer, and an end that is
    `bye` or a reset.
    """
    oddly(monkeypatch, rng)
    monkeypatch.setattr("streamer.deliver.channel.TRIM_ENTRIES", 7)
    monkeypatch.setattr("streamer.deliver.hub.SLICE", 3)
    monkeypatch.setattr("streamer.deliver.hub.TURN_BYTES", 30_000)
    for _ in range(games):
        async with hubbed(retained_bytes=retained_bytes) as fed:
            await play(fed, rng)
