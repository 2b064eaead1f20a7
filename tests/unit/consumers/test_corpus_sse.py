"""The feed by SSE against servers that do what servers do."""

import asyncio
import gzip
import json
import logging
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import self_signed
from harness.scripted import PREAMBLE, Answer, Scripted, control, event

from consumers import connection
from consumers.backoff import Backoff
from consumers.errors import BadEvent, FeedError, FeedRefused, PositionLost, UsageError
from consumers.event import Batch
from consumers.parts import Parts
from consumers.sse import SseFeed

KEY = "wrs_secretsecretsecret"
DEADLINE_S = 30


def feed_of(server: Scripted, **more: Any) -> SseFeed:
    return SseFeed("sse:0-9", server.url, lambda: KEY, **{"backoff": Backoff(0.001, 0.01), **more})


@asynccontextmanager
async def reading(
    answers: Sequence[Answer], position: str | None = None, **more: Any
) -> AsyncIterator[tuple[AsyncIterator[Batch], Scripted]]:
    async with (
        asyncio.timeout(DEADLINE_S),
        Scripted(answers) as server,
        aclosing(feed_of(server, **more).batches(position)) as batches,
    ):
        yield batches, server


async def pages(batches: AsyncIterator[Batch], count: int) -> list[int]:
    """The next articles' pages; each batch's position must be that of its last."""
    found: list[int] = []
    while len(found) < count:
        batch = await anext(batches)
        found += [one.identifier for one in batch.events]
        if batch.events:
            assert batch.position == f"id-{found[-1]}"
    return found


async def refusal(answers: Sequence[Answer], position: str | None = "id-0", **more: Any) -> FeedError:
    async with reading(answers, position, **more) as (batches, _):
        with pytest.raises(FeedError) as raised:
            while True:
                await anext(batches)
    told = f"{raised.value} {raised.value!r} {raised.value.__cause__!r} {raised.value.__context__!r}"
    assert KEY not in told
    return raised.value


# ── what is read ─────────────────────────────────────────────────────────────────────────────────


async def test_events_come_typed_with_the_id_of_the_last() -> None:
    """What one read brings is one batch, whose position is the id of its last event."""
    body = PREAMBLE + event(1, "Ünï") + event(2) + b":hb\n" + event(3)
    async with reading([Answer(body, then="hold")], "id-0") as (batches, server):
        assert await pages(batches, 3) == [1, 2, 3]
    [asked] = server.requests
    assert asked.headers["last-event-id"] == "id-0"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["accept"] == "text/event-stream"
    assert not asked.query


async def test_a_bom_and_other_ends_of_lines_are_read_over() -> None:
    """The event behind a BOM is not lost; CR and CRLF end lines too."""
    for end in (b"\r", b"\r\n"):
        body = b"\xef\xbb\xbf" + (event(1) + event(2)).replace(b"\n", end)
        pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
        async with reading([Answer(pieces, then="hold")], "id-0") as (batches, _):
            assert await pages(batches, 2) == [1, 2]


@pytest.mark.parametrize("is_chunked", [True, False])
@pytest.mark.parametrize("then", ["end", "cut", "break"])
async def test_a_cut_event_is_none(is_chunked: bool, then: Any) -> None:
    """Whatever way a stream ends within an event, at whichever byte, neither the event nor its id counts:
    the next connection asks for what follows the last whole one, and each comes once.
    """
    last = event(2)
    for at in (5, 12, 30, len(last) - 2, len(last) - 1):
        answers = [
            Answer([event(1), last[:at]], then=then, is_chunked=is_chunked),
            Answer(event(2) + event(3), then="hold"),
        ]
        async with reading(answers, "id-0") as (batches, server):
            found = await pages(batches, 2 if then == "break" else 3)
            while found[-1] != 3:
                found += await pages(batches, 1)
        # a reset may take back what the kernel had: then event 1 is not seen, nor counted
        assert found in ([1, 2, 3], [2, 3])
        assert server.requests[1].headers["last-event-id"] == ("id-1" if found[0] == 1 else "id-0")


async def test_gzip_is_read_event_by_event() -> None:
    """A gzip stream is unpacked as it comes: an event is there when its flush is, long before the end."""
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(event(n)) + packer.flush(zlib.Z_FULL_FLUSH) for n in (1, 2)]
    answer = Answer(pieces, headers={"Content-Encoding": "gzip"}, then="hold")
    async with reading([answer], "id-0") as (batches, server):
        assert await pages(batches, 2) == [1, 2]
    assert server.requests[0].headers["accept-encoding"] == "gzip"


async def test_a_bomb_of_gzip_fills_nothing() -> None:
    """A hundred megabytes of one letter in a hundred kB are unpacked bit by bit, up to an event's limit."""
    bomb = gzip.compress(b"x" * 100_000_000)
    error = await refusal([Answer(bomb, headers={"Content-Encoding": "gzip"}, then="hold")])
    assert isinstance(error, BadEvent)
    assert "no end within" in str(error)


async def test_an_event_of_sixteen_megabytes() -> None:
    """The largest there can be, in pieces of 8 kB."""
    body = event(1, "x" * 16_000_000)
    pieces = [body[at : at + 8_192] for at in range(0, len(body), 8_192)]
    async with reading([Answer(pieces, then="hold")], "id-0") as (batches, _):
        batch = await anext(batches)
    body_of = batch.events[0].article_body
    assert body_of
    assert len(body_of.wikitext or "") == 16_000_000
    assert batch.received_bytes > 16_000_000


async def test_a_cursor_moves_the_position_alone() -> None:
    """A position without an article is a batch without events; what it is not named for is passed over."""
    moved = control("cursor", {"position": "id-9"}, "id-9") + control("novelty", {}, "id-10")
    async with reading([Answer([moved], then="hold")], "id-0") as (batches, _):
        batch = await anext(batches)
        while batch.position != "id-10":
            batch = await anext(batches)
        assert not batch.events


async def test_an_event_without_an_id_keeps_the_position() -> None:
    """It comes again after a break, which does no harm; an id that no header can hold is none."""
    bare = event(1).split(b"\n", 1)[1]
    odd = event(2).replace(b"id: id-2", b"id: \xc3\xa4\x01")
    async with reading([Answer(bare + odd, then="hold")], "id-0") as (batches, _):
        found: list[int] = []
        while len(found) < 2:
            batch = await anext(batches)
            found += [one.identifier for one in batch.events]
            assert batch.position == "id-0"


async def test_what_nobody_takes_is_not_read() -> None:
    """While the loop applies, a bounded number of events waits, and the server has to: some, and what another
    read brings.
    """
    body = b"".join(event(number) for number in range(1, 3_001))
    async with reading([Answer(body, then="hold")], "id-0") as (batches, _):
        found = await pages(batches, 1)
        sizes = []
        while len(found) < 3_000:
            batch = await anext(batches)
            sizes.append(len(batch.events))
            found += [one.identifier for one in batch.events]
            await asyncio.sleep(0.01)
        assert found == list(range(1, 3_001))
        assert max(sizes) < 1_000 + connection.CHUNK_BYTES / len(event(1))


# ── where it begins ──────────────────────────────────────────────────────────────────────────────


async def test_it_begins_at_since_and_says_so_first() -> None:
    """The first position is the time itself: who is killed before the first event begins there again."""
    since = datetime(2026, 11, 20, 8, tzinfo=UTC)
    async with reading([Answer(event(1), then="hold")], since=since) as (batches, server):
        batch = await anext(batches)
        assert (list(batch.events), batch.position) == ([], "since:2026-11-20T08:00:00Z")
        assert not server.requests
        assert await pages(batches, 1) == [1]
        assert server.requests[0].query == {"since": ["2026-11-20T08:00:00Z"]}
    async with reading([Answer(event(1), then="hold")], batch.position) as (batches, server):
        assert await pages(batches, 1) == [1]
        assert server.requests[0].query == {"since": ["2026-11-20T08:00:00Z"]}


async def test_a_feed_that_begins_live_remembers_when() -> None:
    """Cut before its first id, it asks for what came since it began, by the service's own clock."""
    answers = [Answer(PREAMBLE, then="end"), Answer(event(1), then="hold")]
    async with reading(answers) as (batches, server):
        assert (await anext(batches)).position == "since:2026-11-21T12:00:00Z"
        assert await pages(batches, 1) == [1]
    assert not server.requests[0].query
    assert server.requests[1].query == {"since": ["2026-11-21T12:00:00Z"]}


async def test_parts_wikis_and_gaps_are_asked_for() -> None:
    """Whatever narrows the feed stands in every request."""
    more: dict[str, Any] = {"parts": Parts(2, 4), "wikis": ("dewiki", "enwiki"), "goes_on": True}
    async with reading([Answer(event(1), then="hold")], "id-0", **more) as (batches, server):
        assert await pages(batches, 1) == [1]
    assert server.requests[0].query == {
        "parts": ["2,3,4"],
        "filters": ['[{"field":"is_part_of.identifier","value":["dewiki","enwiki"]}]'],
        "on_gap": ["continue"],
    }


# ── what breaks and is mended ────────────────────────────────────────────────────────────────────


async def test_a_silent_stream_is_left() -> None:
    """A connection that says nothing for longer than heartbeats take, before its headers or after them, is
    given up and made anew.
    """
    answers = [
        Answer(is_mute=True),
        Answer(event(1), then="hold"),
        Answer(event(2), then="hold"),
    ]
    async with reading(answers, "id-0", silence_s=0.2) as (batches, server):
        assert await pages(batches, 2) == [1, 2]
    assert [asked.headers["last-event-id"] for asked in server.requests] == ["id-0", "id-0", "id-1"]


async def test_heartbeats_keep_a_stream() -> None:
    """A stream with nothing but comments is alive, and is not made anew."""
    hearts = [b":hb\n"] * 30

    async with asyncio.timeout(DEADLINE_S):
        answered = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            for heart in hearts:
                writer.write(heart)
                await asyncio.sleep(0.05)
            writer.write(event(1))
            await answered.wait()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2/articles"
        feed = SseFeed("sse:0-9", url, lambda: KEY, silence_s=1.0)
        async with aclosing(feed.batches("id-0")) as batches:
            assert await pages(batches, 1) == [1]
            assert feed.connections == 1
        answered.set()
        server.close()
        await server.wait_closed()


async def test_nobody_listens_yet() -> None:
    """A service that is not up yet is waited for."""
    async with Scripted([Answer()]) as gone:
        port = int(gone.url.split(":")[2].split("/")[0])
    feed = feed_of(gone)
    async with asyncio.timeout(DEADLINE_S), aclosing(feed.batches("id-0")) as batches:
        first = asyncio.ensure_future(anext(batches))
        while feed.connections < 3:
            await asyncio.sleep(0.01)
        server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", port)
        server.close()
        await server.wait_closed()
        async with Scripted([Answer(event(1), then="hold")]) as up:
            feed.url = up.url
            assert [one.identifier for one in (await first).events] == [1]


async def test_what_the_service_can_not_now_is_asked_again() -> None:
    """And not before Retry-After."""
    later = [Answer(status=status) for status in (408, 425, 500, 502, 503)]
    answers = [Answer(status=429, headers={"Retry-After": "1"}), *later, Answer(event(1), then="hold")]
    began_s = time.monotonic()
    async with reading(answers, "id-0") as (batches, server):
        assert await pages(batches, 1) == [1]
        assert len(server.requests) == len(answers)
    assert time.monotonic() - began_s >= 1


def test_retry_after_is_seconds_or_a_time() -> None:
    """Both forms of RFC 9110, 10.2.3; what is neither asks for nothing."""
    assert connection._asked_s("120") == 120
    assert connection._asked_s("Sat, 21 Nov 2026 12:00:00 GMT") == 0
    assert connection._asked_s("Fri, 21 Nov 2200 12:00:00 GMT") > 1_000_000
    for odd in ("", "soon", "-1", "9" * 400, "٣", "Sat, 99 Nov 2026 12:00:00 GMT"):
        assert connection._asked_s(odd) == 0


async def test_retry_is_heeded() -> None:
    """The service's `retry:` is how long the first wait is at least."""
    answers = [Answer(b"retry: 700\n" + event(1), then="cut"), Answer(event(2), then="hold")]
    began_s = time.monotonic()
    async with reading(answers, "id-0", backoff=Backoff(0.001, 1.0)) as (batches, _):
        assert await pages(batches, 2) == [1, 2]
    assert time.monotonic() - began_s >= 0.7


def test_waits_grow_and_differ() -> None:
    """Twice as long each time up to a bound, by chance up to half as long again, and short again after
    something came.
    """
    backoff = Backoff(1.0, 60.0)
    waits = [backoff.next_s() for _ in range(2_000)]
    for number, wait_s in enumerate(waits):
        least_s = min(60.0, 2.0 ** min(number, 6))
        assert least_s <= wait_s <= 1.5 * least_s
    assert len(set(waits)) > 1_900
    assert backoff.next_s(300) == 300
    assert backoff.next_s(1e9) == 3_600
    backoff.reset()
    assert backoff.next_s() <= 1.5


@pytest.mark.parametrize("reason", ["slow", "drain", "unheard of"])
async def test_after_bye_it_comes_back(reason: str) -> None:
    """With the id that it had."""
    answers = [
        Answer(event(1) + control("bye", {"reason": reason}, "id-1") + event(7)),
        Answer(event(2), then="hold"),
    ]
    async with reading(answers, "id-0") as (batches, server):
        assert await pages(batches, 2) == [1, 2]
    assert server.requests[1].headers["last-event-id"] == "id-1"


async def test_a_server_that_only_ends_is_asked_less_and_less(caplog: pytest.LogCaptureFixture) -> None:
    """Connections that bring nothing are no success: the waits grow, also where the position is a time."""
    caplog.set_level(logging.INFO, "consumers.sse")
    async with reading([Answer(PREAMBLE)], backoff=Backoff(0.001, 0.1)) as (batches, server):

        async def read() -> None:
            while True:
                await anext(batches)

        reader = asyncio.ensure_future(read())
        while len(server.requests) < 12:
            await asyncio.sleep(0.01)
        reader.cancel()
        await asyncio.wait({reader})
    waits = [record.__dict__["wait_s"] for record in caplog.records]
    assert waits[0] < 0.01
    assert min(waits[8:]) >= 0.1


# ── what is refused, by name ─────────────────────────────────────────────────────────────────────

PROBLEM = json.dumps({"title": "Denied", "status": 1, "detail": f"the key {KEY} is\n not known"})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 422])
async def test_a_refusal_says_what_the_service_said(status: int) -> None:
    """Its title and detail in one line, without the key that it echoes."""
    error = await refusal([Answer(PROBLEM.encode(), status, {"Content-Type": "application/problem+json"})])
    assert isinstance(error, FeedRefused)
    assert f"answers {status} Denied: the key … is  not known" in str(error)


async def test_a_refusal_without_a_problem() -> None:
    """Some proxy's page of HTML is not repeated; its status is."""
    error = await refusal([Answer(b"<html>" + b"x" * 1_000_000, 403, {"Content-Type": "text/html"})])
    assert str(error) == "the service answers 403 Forbidden; ask whoever gave you the key"


async def test_no_redirect_is_followed() -> None:
    """The key goes to the host that was named, and to no other."""
    async with Scripted([Answer()]) as other:
        for status in (301, 302, 303, 307, 308):
            error = await refusal([Answer(status=status, headers={"Location": other.url})])
            assert isinstance(error, FeedRefused)
            assert "--url must say where to" in str(error)
        assert not other.requests


async def test_another_content_type_is_no_feed() -> None:
    """A page that answers 200 is not waited on; nor is an encoding that nobody asked for."""
    error = await refusal([Answer(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})])
    assert isinstance(error, FeedRefused)
    assert "'text/html'" in str(error)
    error = await refusal([Answer(b"", headers={"Content-Encoding": "br"})])
    assert "'br'" in str(error)


@pytest.mark.parametrize(
    "bad",
    [
        b"data: no JSON\n\n",
        b"data: {}\n\n",
        b'data: [{"a": 1}]\n\n',
        b"data: \xff\xfe\n\n",
        event(9).split(b"\n", 1)[1].replace(b'"identifier": 9', b'"identifier": "9"'),
        b"data: " + b"[" * 5_000 + b"\n\n",
    ],
)
async def test_what_is_no_article_is_told_and_passed_over(bad: bytes) -> None:
    """Beside the events, with a reason that holds nothing of it; its id counts, so that it comes once."""
    body = event(1) + b"id: id-9\n" + bad + event(2)
    async with reading([Answer(body, then="hold")], "id-0") as (batches, _):
        found: list[int] = []
        reasons: list[str] = []
        while found != [1, 2]:
            batch = await anext(batches)
            found += [one.identifier for one in batch.events]
            reasons += batch.bad
        [reason] = reasons
        assert "no JSON" not in reason
        assert batch.position == "id-2"


async def test_garbage_in_place_of_http_is_waited_out() -> None:
    """What is no HTTP, no gzip or no chunk may be a broken proxy: asked again."""
    answers = [
        Answer(b"no gzip", headers={"Content-Encoding": "gzip"}),
        Answer(b"xyz\r\nno chunk\r\n", headers={"Transfer-Encoding": "chunked"}, is_chunked=False),
        Answer(event(1), then="hold"),
    ]
    async with reading(answers, "id-0") as (batches, _):
        assert await pages(batches, 1) == [1]


# ── positions that are lost ──────────────────────────────────────────────────────────────────────

GONE = Answer(b'{"title": "Gone", "detail": "expired", "earliest": "id-5"}', 410)
GAP = control("gap", {"reason": "expired", "position": "id-5"}, "id-5")


@pytest.mark.parametrize("answer", [GONE, Answer(GAP + event(6), then="hold")])
async def test_a_position_that_is_no_longer_kept_is_lost_by_name(answer: Answer) -> None:
    """By 410 or by `gap`: nothing is passed over in silence."""
    error = await refusal([answer])
    assert isinstance(error, PositionLost)
    assert "expired" in str(error)


@pytest.mark.parametrize(
    "answers", [[GONE, Answer(event(6), then="hold")], [Answer(GAP + event(6), then="hold")]]
)
async def test_told_to_go_on_it_does(answers: Sequence[Answer], caplog: pytest.LogCaptureFixture) -> None:
    """With what is still there, and says that something is lost."""
    async with reading(answers, "id-0", goes_on=True) as (batches, server):
        assert await pages(batches, 1) == [6]
    assert "no longer holds" in caplog.text
    if len(server.requests) > 1:
        assert server.requests[1].headers["last-event-id"] == "id-5"


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


async def test_an_expired_key_ends_the_feed() -> None:
    """`bye` with `expired`, and the key is still the same."""
    error = await refusal([Answer(event(1) + control("bye", {"reason": "expired"}, "id-1"))])
    assert isinstance(error, FeedRefused)
    assert "expired" in str(error)


async def test_a_key_that_was_changed_is_taken() -> None:
    """Who puts a new key into the file before the old one ends is not cut off."""
    keys = [KEY, "wrs_new", "wrs_new"]
    answers = [
        Answer(event(1) + control("bye", {"reason": "expired"}, "id-1")),
        Answer(event(2), then="hold"),
    ]
    async with asyncio.timeout(DEADLINE_S), Scripted(answers) as server:
        feed = feed_of(server)
        feed.key = lambda: keys.pop(0)
        async with aclosing(feed.batches("id-0")) as batches:
            assert await pages(batches, 2) == [1, 2]
    assert server.requests[1].headers["authorization"] == "Bearer wrs_new"


async def test_a_key_file_that_is_being_rewritten_is_read_again() -> None:
    """Empty for a moment, once a stream was open: the next try has it. Before that it's an error."""
    keys = [KEY, "", "", "wrs_new"]

    def key() -> str:
        if found := keys.pop(0):
            return found
        raise UsageError("there is no key")

    answers = [Answer(PREAMBLE + event(1)), Answer(event(2), then="hold")]
    async with asyncio.timeout(DEADLINE_S), Scripted(answers) as server:
        feed = feed_of(server)
        feed.key = key
        async with aclosing(feed.batches("id-0")) as batches:
            assert await pages(batches, 2) == [1, 2]
        assert [asked.headers["authorization"] for asked in server.requests] == [
            f"Bearer {KEY}",
            "Bearer wrs_new",
        ]
        other = feed_of(server)
        other.key, keys[:] = key, [""]
        with pytest.raises(UsageError, match="there is no key"):
            await anext(other.batches("id-0"))


def test_a_connection_does_not_show_its_key() -> None:
    """Wherever it may be printed."""
    assert KEY not in repr(connection.Connection("http://127.0.0.1:1", KEY, {}))


async def test_the_key_stands_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, over a break and a refusal."""
    caplog.set_level(logging.DEBUG)
    answers = [Answer(event(1), then="break"), Answer(status=503), Answer(PROBLEM.encode(), 401)]
    async with Scripted(answers) as server:
        assert KEY not in repr(feed_of(server))
    await refusal(answers)
    assert KEY not in caplog.text
    assert not any(KEY in str(record.__dict__) for record in caplog.records)


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


async def test_tls_by_an_authority_that_was_named(tmp_path: Path) -> None:
    """Events come by TLS, also over a break. A certificate that nobody known has signed, and a file of
    authorities that is none, are refused by name, before the key was sent.
    """
    pair = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.private_key)
    answers = [Answer(event(1), then="cut"), Answer(event(2), then="hold")]
    async with asyncio.timeout(DEADLINE_S), Scripted(answers, tls) as server:
        known = feed_of(server, ca_file=pair.certificate)
        async with aclosing(known.batches("id-0")) as batches:
            assert await pages(batches, 2) == [1, 2]
        asked = len(server.requests)
        for feed, said in (
            (feed_of(server), "self-signed certificate; --ca-file names who signs it"),
            (feed_of(server, ca_file=pair.private_key), "can't be used"),
            (feed_of(server, ca_file=tmp_path / "none"), "No such file"),
        ):
            with pytest.raises(FeedRefused, match=said):
                await anext(feed.batches("id-0"))
        assert len(server.requests) == asked


# ── its end ──────────────────────────────────────────────────────────────────────────────────────


async def test_it_ends_when_it_is_closed_whatever_it_waits_for() -> None:
    """In a read, before the headers, and with a full handover."""
    many = b"".join(event(number) for number in range(1, 5_000))
    for answer in (Answer(event(1), then="hold"), Answer(is_mute=True), Answer(many, then="hold")):
        async with reading([answer]) as (batches, server):
            first = asyncio.ensure_future(anext(batches))
            while not server.requests:
                await asyncio.sleep(0.01)
            if answer.is_mute:
                first.cancel()
            await asyncio.wait({first})
