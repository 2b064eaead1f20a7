"""The suite is worth something: servers that are wrong on purpose fail it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamer.deliver import encode, gzipped, hub, outlet, rendering, request, start
from streamer.deliver.bucket import Bucket
from streamer.deliver.channel import Channel, Entry
from streamer.deliver.connection import Connection
from streamer.deliver.detached import Detached
from streamer.deliver.encode import Frame
from streamer.deliver.filters import Values
from streamer.deliver.gzipped import Block, Member
from streamer.deliver.hub import Hub
from streamer.deliver.outlet import Outlet
from streamer.deliver.position import ClientPosition, Vector
from streamer.deliver.start import Beginning
from streamer.log.base import Log, Stored, TopicInfo
from tests.conformance.endpoint.anywhere import (
    test_framing,
    test_ids,
    test_parts,
    test_refusals,
    test_starts,
)
from tests.conformance.endpoint.prepared import (
    test_borders,
    test_endings,
    test_exact_filters,
    test_gaps,
    test_limits,
    test_quiet,
    test_slow,
)
from tests.conformance.endpoint.service import Prepared, Service

Patch = pytest.MonkeyPatch
Check = Callable[[Service], Awaitable[None]]


def anywhere(check: Callable[..., Awaitable[None]], *args: object) -> Check:
    return lambda service: check(service.endpoint, *args)


def prepared(check: Callable[..., Awaitable[None]], *args: object) -> Check:
    async def run(service: Service) -> None:
        await check(await service.prepared(), *args)

    return run


async def preparing(service: Service) -> None:
    await test_limits.test_requests_count_down(service.prepared)


async def filtering(service: Service) -> None:
    feed: Prepared = await service.prepared()
    await feed.write(test_exact_filters.ARTICLES)
    await test_exact_filters.test_what_matches(feed)


async def quiet(service: Service) -> None:
    feed: Prepared = await service.prepared()
    await feed.write(test_exact_filters.ARTICLES)
    await test_exact_filters.test_a_quiet_filter_tells_its_position(feed)


# ── what is wrong with each ────────────────────────────────────────────────────────────────────────


def ids_are_one_behind(patch: Patch) -> None:
    """An id names its own event's offset, not the next one."""

    def step(self: Vector, partition: int, next_offset: int) -> None:
        self.offsets[partition] = next_offset
        self._texts[partition] = f"{partition}:{max(0, next_offset - 1)}"

    patch.setattr(Vector, "step", step)


def the_last_of_a_batch_is_lost(patch: Patch) -> None:
    """In catch-up, where a batch has more than one."""
    write = Connection._write_records

    async def lossy(self: Connection, records: Sequence[Stored], *rest: Any) -> None:
        await write(self, records[:-1] if len(records) > 1 else records, *rest)

    patch.setattr(Connection, "_write_records", lossy)


def the_join_repeats_one(patch: Patch) -> None:
    """What goes on live begins with the last that was caught up with."""
    catch_up = Connection._catch_up

    async def repeating(self: Connection, vector: Vector) -> int:
        number = await catch_up(self, vector)
        before = Vector(self._feed.info.epoch, [max(0, offset - 1) for offset in vector.offsets])
        await self._replay(before, tuple(vector.offsets))
        return number

    patch.setattr(Connection, "_catch_up", repeating)


def a_blank_line_after_the_preamble(patch: Patch) -> None:
    patch.setattr(outlet, "PREAMBLE", encode.PREAMBLE + b"\n")


def a_blank_line_after_heartbeats(patch: Patch) -> None:
    for writer in (outlet, hub):
        patch.setattr(writer, "HEARTBEAT", encode.HEARTBEAT + b"\n")


def raw_line_separators(patch: Patch) -> None:
    one_line = encode._one_line

    def raw(article: Any) -> bytes:
        return one_line(article).replace(b"\\u2028", "\u2028".encode()).replace(b"\\u0085", b"\xc2\x85")

    patch.setattr(encode, "_one_line", raw)


def gaps_in_silence(patch: Patch) -> None:
    """What cannot be resumed begins at the earliest, and nobody is told."""

    async def silent(log: Log, info: TopicInfo, *_: object, **__: object) -> Beginning:
        return Beginning(tuple(bounds.earliest for bounds in await log.all_bounds(info.name)))

    patch.setattr(start, "_gap", silent)


def any_id_is_taken(patch: Patch) -> None:
    """What is no position starts live."""

    def careless(*args: Any) -> ClientPosition | None:
        try:
            return position(*args)
        except request.Problem:
            return None

    position = request._position
    patch.setattr(request, "_position", careless)


def since_beats_all(patch: Patch) -> None:
    def deaf(parameters: Mapping[str, object], *rest: Any) -> ClientPosition | None:
        return None if "since" in parameters else position(parameters, *rest)

    position = request._position
    patch.setattr(request, "_position", deaf)


def filters_compare_text(patch: Patch) -> None:
    """1 is "1", and true is "true"."""

    def hold(self: Values, part: Any, _: int) -> bool:
        text = bytes(part).strip(b'"').decode()
        return text in {str(value) for value in (*self.strings, *self.numbers, *self.booleans)}

    patch.setattr(Values, "hold", hold)


def gzip_without_flush(patch: Patch) -> None:
    """What was packed leaves with the next thing that is."""
    add, append = Member.add, Channel._append
    held: dict[int, bytes] = {}
    held_of: dict[Channel, Block] = {}

    def late(self: Member, one: Block) -> bytes:
        before = held.get(id(self), b"")
        held[id(self)] = add(self, one)
        return before

    def late_for_all(self: Channel, data: bytes | Block, *positions: str) -> Entry:
        if isinstance(data, Block):
            before = held_of.get(self, gzipped.block(b""))
            held_of[self] = data
            data = before
        return append(self, data, *positions)

    patch.setattr(Member, "add", late)
    patch.setattr(Channel, "_append", late_for_all)


def gzip_with_a_wrong_checksum(patch: Patch) -> None:
    patch.setattr(gzipped.Member, "end", lambda _: b"\x03\x00" + bytes(8))


def a_cursor_that_skips(patch: Patch) -> None:
    """It says a position that is one ahead in each partition that moved."""

    def ahead(position: str) -> bytes:
        head, _, pairs = position.partition(".")
        moved = [f"{p}:{int(o) + bool(int(o))}" for p, o in (pair.split(":") for pair in pairs.split(","))]
        return encode.cursor(f"{head}.{','.join(moved)}")

    for writer in (outlet, hub):
        patch.setattr(writer, "cursor", ahead)


def no_cursors(patch: Patch) -> None:
    patch.setattr(Outlet, "_wants_cursor", lambda *_: False)
    patch.setattr(hub, "CURSOR_S", float("inf"))


def requests_are_not_counted(patch: Patch) -> None:
    patch.setattr(Bucket, "refill", lambda self, _: self.__setattr__("tokens", self.capacity) or self.tokens)


def parts_leak(patch: Patch) -> None:
    """Each part has its neighbour's partitions as well."""
    partitions = request._partitions

    def wider(value: object, count: int) -> frozenset[int]:
        wanted = partitions(value, count)
        return wanted if len(wanted) == count else wanted | {min(wanted) + 1} & set(range(count))

    patch.setattr(request, "_partitions", wider)


def slow_ones_end_cleanly(patch: Patch) -> None:
    """Where a client takes nothing more the connection is closed as if all had been sent."""

    def close(self: Outlet) -> None:
        self._transport.write(b"0\r\n\r\n")
        self._transport.close()

    evict = Channel.evict
    evicted: list[tuple[Channel, Entry]] = []

    def noted(self: Channel) -> None:
        evicted.append((self, self.entry(self.first)))
        evict(self)

    def finish(self: Hub, stream: Detached, reason: str) -> None:
        ends = [one.end for channel, one in evicted if channel is stream.channel and one.end > stream.at]
        rest = b"x" * (min(ends) - stream.at - 2) + b"\r\n" if ends else b""
        asyncio.get_running_loop().call_soon(_write_all, os.dup(stream.fd), rest + hub.LAST_CHUNK)
        self._end(stream, reason)

    patch.setattr(Channel, "evict", noted)
    patch.setattr(Outlet, "reset", close)
    patch.setattr(Hub, "reset", finish)


def _write_all(fd: int, rest: bytes) -> None:
    """As the client takes it, and then the end."""
    try:
        rest = rest[os.write(fd, rest) :]
    except BlockingIOError:
        pass
    except OSError:
        rest = b""
    if rest:
        asyncio.get_running_loop().call_later(0.01, _write_all, fd, rest)
    else:
        os.close(fd)


def bye_is_named_error(patch: Patch) -> None:
    for writer in (outlet, hub):
        patch.setattr(writer, "bye", lambda reason, _: encode.control("error", {"reason": reason}))


def gzip_differs(patch: Patch) -> None:
    """An article that is packed is another one: a cache that is asked by the wrong name."""
    block = gzipped.block

    def another(data: bytes) -> Block:
        return block(data.replace(b"text 1", b"text 2"))

    for maker in (rendering, outlet):
        patch.setattr(maker, "block", another)


def frames_share_lines(patch: Patch) -> None:
    """NDJSON without the line's end now and then."""
    ndjson = Frame.ndjson

    def joined(self: Frame) -> bytes:
        return ndjson(self).rstrip(b"\n") if self.partition == 3 else ndjson(self)

    patch.setattr(Frame, "ndjson", joined)


WRONG: tuple[tuple[Callable[[Patch], None], Check], ...] = (
    (ids_are_one_behind, anywhere(test_ids.test_each_id_moves_exactly_by_its_event)),
    (ids_are_one_behind, prepared(test_borders.test_ids_of_a_log_without_holes_move_by_one)),
    (the_join_repeats_one, prepared(test_borders.all_names_of, "ndjson", [100])),
    (a_blank_line_after_the_preamble, anywhere(test_framing.test_the_stream_begins_at_once, "sse")),
    (a_blank_line_after_heartbeats, prepared(test_quiet.test_heartbeats)),
    (raw_line_separators, anywhere(test_framing.test_every_article_is_one_line, "sse")),
    (frames_share_lines, anywhere(test_framing.test_every_article_is_one_line, "ndjson")),
    (gaps_in_silence, prepared(test_gaps.test_an_expired_position)),
    (gaps_in_silence, anywhere(test_refusals.test_a_position_in_a_feed_that_was_made_anew_is_gone)),
    (any_id_is_taken, anywhere(test_refusals.test_a_malformed_position_is_a_bad_request, "x")),
    (since_beats_all, anywhere(test_starts.test_the_position_that_is_nearest_to_the_client_wins)),
    (filters_compare_text, filtering),
    (gzip_differs, prepared(test_quiet.test_a_pipe_of_both_formats_at_once)),
    (gzip_with_a_wrong_checksum, prepared(test_endings.test_a_drain)),
    (a_cursor_that_skips, quiet),
    (requests_are_not_counted, preparing),
    (parts_leak, anywhere(test_parts.test_ten_parts_are_the_whole)),
    (slow_ones_end_cleanly, prepared(test_slow.test_a_reader_that_stops, "sse")),
    (bye_is_named_error, prepared(test_endings.test_a_revoked_key, False)),
)


PATIENT: tuple[tuple[Callable[[Patch], None], Check], ...] = (
    (the_last_of_a_batch_is_lost, prepared(test_borders.test_ids_of_a_log_without_holes_move_by_one)),
    (gzip_without_flush, prepared(test_quiet.test_gzip_waits_for_nothing, "sse")),
    (no_cursors, quiet),
)
"""Found by waiting for what does not come."""


@pytest.fixture(scope="module")
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if request.config.getoption("--url", default=None):
        pytest.skip("is about servers that we can make wrong")
    service = Service(Path(tmp_path_factory.mktemp("wrong")))
    service.start()
    yield service
    service.stop()


@pytest.mark.parametrize(
    ("fault", "check"),
    [*WRONG, *(pytest.param(*one, marks=pytest.mark.soak) for one in PATIENT)],
    ids=lambda part: getattr(part, "__name__", "check"),
)
async def test_a_wrong_server_fails(
    own: Service, monkeypatch: Patch, fault: Callable[[Patch], None], check: Check
) -> None:
    """The check that is meant for this fault finds it; without it, it passes elsewhere in this suite."""
    monkeypatch.setattr("tests.conformance.endpoint.reading.PATIENCE_S", 6.0)
    with monkeypatch.context() as wrong:
        fault(wrong)
        with pytest.raises(BaseException) as raised:
            await check(own)
    assert _failures(raised.value), f"it failed, but not by what it looks for: {raised.value!r}"


def _failures(error: BaseException) -> list[BaseException]:
    """Assertions, and what did not come in time, also inside of groups."""
    if isinstance(error, BaseExceptionGroup):
        return [found for inner in error.exceptions for found in _failures(inner)]
    return [error] if isinstance(error, AssertionError | TimeoutError) else []
