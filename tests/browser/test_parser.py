"""The page's reader of events, against the browser's own."""

import random
from pathlib import Path

import pytest
from aiohttp import web
from harness.browsing import watched
from harness.delivering import delivering
from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")
PIECES = (
    *("data: {}\n", "data:x\n", "data\n", "data: \n", "data:  two spaces\n", "data: a:b: c\n"),
    *("data: ünïcödé 東京 😀\n", " data: no field\n", "data: cr\r", "data: crlf\r\n", "data: \u2028\n"),
    *("id: {}\n", "id\n", "id: a\0b\n", "event: cursor\n", "event\n", "retry: 3000\n", "colour: red\n"),
    *(":hb\n", ":\n", "\n", "\n", "\n\n", "\r\n"),
)

SPLIT = """async streams => {
  const { EventParser } = await import('/page/sse.js');
  return streams.map(({ bytes, cuts }) => {
    const parser = new EventParser();
    const all = new Uint8Array(bytes);
    const events = [];
    let from = 0;
    for (const to of [...cuts, all.length]) { events.push(...parser.push(all.subarray(from, to))); from = to }
    return [events.map(e => [e.type, e.data, e.id]), parser.lastId];
  });
}"""
NATIVE = """path => new Promise(done => {
  const got = [];
  const source = new EventSource(path);
  for (const type of ['message', 'cursor']) {
    source.addEventListener(type, e => got.push([e.type, e.data, e.lastEventId]));
  }
  source.onerror = () => { source.close(); done(got) };
})"""


def stream_of(rng: random.Random) -> bytes:
    text = "".join(
        rng.choice(PIECES).replace("{}", str(rng.randrange(1000))) for _ in range(rng.randrange(40))
    )
    return text.encode() + rng.choice([b"", b"data: \xff\xfe\n\n"])


async def test_it_reads_as_the_browser_does(tmp_path: Path, browser: Browser, rng: random.Random) -> None:
    """Whatever comes, split at whatever bytes: the same events, ids and names as EventSource gives. Behind a
    BOM, too, with which Chromium loses the first line.
    """
    streams = [stream_of(rng) for _ in range(40)]

    async def stream(request: web.Request) -> web.Response:
        body = streams[int(request.match_info["number"])]
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/event-stream"}
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.router.add_get("/{number}", stream)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    elsewhere = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with delivering(tmp_path) as server, watched(browser, bypass_csp=True) as seen:
            await seen.page.goto(f"http://127.0.0.1:{server.port}/")
            for_ours = []
            for one in streams:
                cuts = sorted(rng.randrange(len(one) + 1) for _ in range(rng.choice([0, 3, len(one)])))
                mark = rng.choice([[], [0xEF, 0xBB, 0xBF]])
                for_ours.append({"bytes": [*mark, *one], "cuts": cuts})
            ours = await seen.page.evaluate(SPLIT, for_ours)
            for number, one in enumerate(streams):
                native = await seen.page.evaluate(NATIVE, f"{elsewhere}{number}")
                assert ours[number][0] == native, one
    finally:
        await runner.cleanup()
