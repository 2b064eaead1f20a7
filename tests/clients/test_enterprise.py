"""What Wikimedia Enterprise's SDKs ask and how they read, against this endpoint.

Neither SDK is in a registry. These clients are written from what theirs send and accept: the method, the
headers, what stands in the JSON body and what is left out of it, how lines are split, which types and times
their models take.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clients import programs
from harness.delivering import KEY, PARTITIONS, Delivering, delivering

from streamer.log.base import Record, partition_of
from streamer.model import (
    Article,
    ArticleBody,
    Editor,
    Entity,
    Event,
    Language,
    Licence,
    Link,
    Namespace,
    PreviousVersion,
    Project,
    Protection,
    Size,
    Version,
    Visibility,
    article_headers,
    encode_value,
    identifier_of_event,
    page_key,
)

SINCE = datetime(2020, 1, 1, tzinfo=UTC)
PAGES = (1, 2, 3, 4, 5, 6)
EDITS = 3
Stream = Callable[..., Coroutine[None, None, list[dict[str, Any]]]]


def full_article(page: int, sequence: int) -> Article:
    """All that an article can have, with times as enrich writes them."""
    return Article(
        name=f"Page {page} \u2028 \u2029 \x85 <&> 𝕏",
        identifier=page,
        abstract="First.\u2028Second.",
        url=f"https://en.example.org/wiki/Page_{page}",
        date_created="2026-11-21T11:00:00Z",
        date_modified="2026-11-21T12:00:00Z",
        date_previously_modified="2026-11-21T11:30:00Z",
        namespace=Namespace(0, ""),
        is_part_of=Project("enwiki", "Wikipedia", "https://en.example.org", Language("en")),
        in_language=Language("en", "English", "ltr"),
        main_entity=Entity("Q1", "https://wikidata.example.org/entity/Q1"),
        categories=[Link("Category:A", "https://a"), Link("Category:B", "https://b")],
        templates=[],
        redirects=[Link("Old", "https://o")],
        version=Version(
            1000 + sequence,
            comment="why\u2028not",
            tags=["mobile edit"],
            is_minor_edit=page % 2 == 0,
            number_of_characters=1_000_000 + page,
            size=Size(1_000_000.0 + page),
            scores={"revertrisk": {"prediction": False, "probability": {"true": 0.25, "false": 0.75}}},
            editor=Editor(
                7,
                "Somebody",
                edit_count=3,
                groups=["user"],
                is_bot=False,
                date_started="2020-01-01T00:00:00Z",
            ),
        ),
        previous_version=PreviousVersion(999, number_of_characters=5),
        article_body=ArticleBody(wikitext=f"text {sequence}\u2028\r\n", html="<p>x</p>"),
        license=[Licence("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0")],
        visibility=Visibility(),
        protection=[Protection("edit", "sysop", "infinity")],
        event=Event(
            identifier_of_event(f"event-{sequence}"),
            "update",
            "edit",
            sequence,
            "2026-11-21T12:00:00.123Z",
            "2026-11-21T12:00:01.456Z",
        ),
    )


@asynccontextmanager
async def past(folder: Path) -> AsyncIterator[Delivering]:
    """Six pages, three edits of each."""
    async with delivering(folder) as server:
        for n in range(len(PAGES) * EDITS):
            page = PAGES[n % len(PAGES)]
            article, key = full_article(page, n + 1), page_key("enwiki", page)
            headers = article_headers(article, key=key, server_name="en.example.org", edited_ms=0)
            record = Record(server.topic, partition_of(key, PARTITIONS), key, encode_value(article), headers)
            await server.log.append([record])
        yield server


async def by_python(base: str, count: int, **request: Any) -> list[dict[str, Any]]:
    pytest.importorskip("httpx")
    from clients.on_httpx import PythonSdk, strict_dates  # noqa: PLC0415 - where httpx is

    got: list[dict[str, Any]] = []

    def each(article: dict[str, Any]) -> bool:
        strict_dates(article)
        event, version = article.get("event", {}), article.get("version", {})
        body = article.get("article_body", {})
        got.append(
            {"identifier": article.get("identifier", 0), "name": article.get("name", "")}
            | ({"revision": version["identifier"]} if version else {})
            | {key: event[key] for key in ("partition", "offset") if key in event}
            | {key: body[key] for key in ("wikitext",) if key in body}
        )
        return len(got) < count

    sdk = PythonSdk(base, KEY)
    async with asyncio.timeout(30):
        await asyncio.to_thread(sdk.stream_articles, each, **request)
    assert not sdk.skipped
    return got


async def by_go(base: str, count: int, **request: Any) -> list[dict[str, Any]]:
    asked = json.dumps(request, default=lambda time: time.isoformat())
    settings = {"url": base, "token": KEY, "encoding": "gzip", "request": json.loads(asked)}
    got: list[dict[str, Any]] = []
    async with asyncio.timeout(30), aclosing(programs.lines(programs.go(), settings)) as told:
        async for line in told:
            assert "error" not in line, line
            if "article" in line:
                got.append(line["article"])
            if len(got) == count or "end" in line:
                break
    return got


SDKS = pytest.mark.parametrize("stream", [by_python, by_go])


@SDKS
async def test_an_sdk_reads_all_of_an_article(stream: Stream, tmp_path: Path) -> None:
    """By `since`: each page's edits in order, no character lost, no type or time that its model refuses."""
    async with past(tmp_path) as server:
        got = await stream(f"http://127.0.0.1:{server.port}/", len(PAGES) * EDITS, since=SINCE)
    for page in PAGES:
        edits = [one for one in got if one["identifier"] == page]
        assert [one["revision"] for one in edits] == [1000 + page + n * len(PAGES) for n in range(EDITS)]
        assert {one["name"] for one in edits} == {full_article(page, 1).name}
        assert edits[0]["wikitext"] == f"text {page}\u2028\r\n"


@SDKS
async def test_an_sdk_asks_for_a_part_of_it(stream: Stream, tmp_path: Path) -> None:
    """`fields`, `filters`, `parts`, `offsets` and `since_per_partition` as the SDKs write them."""
    async with past(tmp_path) as server:
        base = f"http://127.0.0.1:{server.port}/"
        named = await stream(base, 1, since=SINCE, fields=["name", "event.*"])
        assert named[0]["name"].startswith("Page ")
        assert named[0].keys() == {"identifier", "name", "partition", "offset"}  # who and which always come

        async def filtered(field: str, value: object) -> list[int]:
            one = [{"field": field, "value": value}]
            got = await stream(base, EDITS, since=SINCE, filters=one)
            return [edit["revision"] for edit in got]

        of_page_2 = [1000 + 2 + n * len(PAGES) for n in range(EDITS)]
        assert await filtered("version.number_of_characters", 1_000_002) == of_page_2
        assert await filtered("name", full_article(2, 1).name) == of_page_2
        assert await filtered("identifier", [2, 77]) == of_page_2

        edit = (await stream(base, 1, since=SINCE, filters=[{"field": "identifier", "value": 2}]))[0]
        partition, offset = edit["partition"], edit["offset"]
        part = {"parts": [partition]}
        whole = await stream(base, EDITS, **part, since=SINCE)
        assert {one["partition"] for one in whole} == {partition}
        at = await stream(base, 1, **part, offsets={partition: offset})
        assert at == [edit]
        after = await stream(base, 1, **part, offsets={partition: offset + 1})
        assert after[0]["offset"] == offset + 1
        assert await stream(base, EDITS, **part, since_per_partition={partition: SINCE}) == whole


BODY = '{"since":"2020-01-01T00:00:00Z","fields":["name","event.*"],"parts":[0,1],"offsets":{"0":5}}'
PYTHON_BODY = BODY.replace("00:00Z", "00:00+00:00")
ASKED = {"since": SINCE, "fields": ["name", "event.*"], "filters": [], "parts": [0, 1], "offsets": {0: 5}}


@asynccontextmanager
async def canned(body: bytes) -> AsyncIterator[tuple[str, list[str]]]:
    """Answers each request with these bytes of NDJSON; the requests as they came."""
    came: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
        came.append(head + (await reader.readexactly(length)).decode())
        start = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
        writer.write(start + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", came


@SDKS
async def test_what_an_sdk_sends(stream: Stream) -> None:
    """A GET with a JSON body in which nothing empty stands."""
    async with canned(b'{"identifier":1}\n') as (base, came):
        await stream(base, 1, **ASKED)
    head, _, body = came[0].partition("\r\n\r\n")
    first, *headers = head.split("\r\n")
    names = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in headers}
    assert first == "GET /v2/articles HTTP/1.1"
    assert json.loads(body) == json.loads(PYTHON_BODY if stream is by_python else BODY)
    assert names["content-type"] == "application/json"
    assert names["authorization"] == f"Bearer {KEY}"
    assert names["accept"] == "application/x-ndjson"
    assert "gzip" in names["accept-encoding"]
    assert names.get("user-agent") == ("WME Python SDK" if stream is by_python else None)


ONE, TWO = b'{"identifier":1}', b'{"identifier":2}'


@pytest.mark.parametrize(
    ("body", "in_python", "in_go"),
    [
        (ONE + b"\n" + TWO + b"\n", [1, 2], [1, 2]),
        (b" " + ONE + b"\n  " + TWO + b"\n", [1, 2], [1, 2]),
        (ONE + b"\n\n" + TWO + b"\n", [1, 2], [1]),
        (ONE + b"\n:hb\n" + TWO + b"\n", [1, 2], [1]),
        (ONE + b'\n{"identifier":3,"date_modified":"2026-11-21"}\n' + TWO + b"\n", [1], [1]),
        ('{"identifier":1,"name":"a\u2028b"}\n'.encode() + TWO + b"\n", [2], [1, 2]),
    ],
    ids=["lines", "spaces", "blank", "comment", "date", "U+2028"],
)
async def test_what_an_sdk_does_not_take(body: bytes, in_python: list[int], in_go: list[int]) -> None:
    """A blank line or a comment ends the stream in Go, a raw U+2028 loses the article in Python, a date of
    another form fails in both; spaces between lines pass. So these clients can tell.
    """
    async with canned(body) as (base, _):
        if shutil.which("go"):
            settings: dict[str, object] = {"url": base, "token": KEY}
            told = [line async for line in programs.lines(programs.go(), settings)]
            assert [line["article"]["identifier"] for line in told if "article" in line] == in_go
            assert ("error" in told[-2]) == (in_go == [1])
        pytest.importorskip("httpx")
        from clients.on_httpx import PythonSdk, strict_dates  # noqa: PLC0415 - where httpx is

        got: list[int] = []

        def each(article: dict[str, Any]) -> bool:
            try:
                strict_dates(article)
            except ValueError:
                return False
            got.append(article["identifier"])
            return True

        await asyncio.to_thread(PythonSdk(base, KEY).stream_articles, each)
        assert got == in_python
