"""The browser as a partner's client: fetch and EventSource, from a page of another origin.

So every rule of CORS applies: preflights for what carries a key, and a key that only fetch can send.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from harness.browsing import Watched, watched
from harness.cutting import Hop
from harness.delivering import KEY, Delivering, delivering, metric, streams_open
from playwright.async_api import Browser, Page, Response

pytestmark = pytest.mark.asyncio(loop_scope="module")
BROKEN = r"net::ERR_(CONNECTION_|INCOMPLETE_|EMPTY_|CONTENT_DECODING)"
SINCE = "since=2020-01-01T00:00:00Z"
"""Who starts live and is cut before the first id has nothing to go on from."""
CUTS_OF_FETCH = 8
CUTS_OF_EVENT_SOURCE = 2
"""Each costs the 3 s that the endpoint asks a client to wait."""

# What a partner would write: one loop, the last id, nothing else. Broken UTF-8 would be an error.
FETCH = """async ({ url, key, count }) => {
  const got = [];
  let lastId = '', breaks = 0;
  while (got.length < count) {
    try {
      const headers = { Authorization: `Bearer ${key}`, ...(lastId && { 'Last-Event-ID': lastId }) };
      const answer = await fetch(url, { headers });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      window.opened = (window.opened ?? 0) + 1;
      const reader = answer.body.pipeThrough(new TextDecoderStream('utf-8', { fatal: true })).getReader();
      let rest = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const events = (rest + value).split('\\n\\n');
        rest = events.pop();
        for (const event of events) {
          const fields = Object.fromEntries(event.split('\\n').filter(l => !l.startsWith(':'))
            .map(l => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 2)]));
          lastId = fields.id ?? lastId;
          if (fields.event === undefined && fields.data) got.push(JSON.parse(fields.data).event);
        }
        if (got.length >= count) await reader.cancel();
      }
    } catch (error) { if (!(error instanceof TypeError)) throw error }
    breaks += got.length < count;
  }
  return { got: got.map(e => [e.partition, e.sequence]), breaks };
}"""

EVENT_SOURCE = """async ({ url, key, count }) => {
  const headers = { Authorization: `Bearer ${key}` };
  const made = await fetch(new URL('/v2/tickets', url), { method: 'POST', headers });
  const { ticket } = await made.json();
  return await new Promise((done, failed) => {
    const got = [];
    let breaks = 0;
    const source = new EventSource(`${url}&ticket=${encodeURIComponent(ticket)}`);
    source.onopen = () => { window.opened = (window.opened ?? 0) + 1 };
    source.onerror = () => {
      breaks += 1;
      if (source.readyState === EventSource.CLOSED) failed(new Error('closed'));
    };
    source.onmessage = ({ data }) => {
      const { partition, sequence } = JSON.parse(data).event;
      got.push([partition, sequence]);
      if (got.length >= count) { source.close(); done({ got, breaks }) }
    };
  });
}"""


@asynccontextmanager
async def partner_page(browser: Browser) -> AsyncIterator[tuple[Watched, Page]]:
    """An empty page on a server of its own: another port is another origin."""

    async def blank(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>A partner</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{any:.*}", blank)  # a browser asks for its icon
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with watched(browser) as seen:
            seen.expected.append(BROKEN)
            await seen.page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
            yield seen, seen.page
    finally:
        await runner.cleanup()


async def over_breaks(
    server: Delivering, hop: Hop, page: Page, script: str, *, cuts: int, rng: random.Random
) -> list[str]:
    """Reads by `script` while the line is cut so many times; asserts that each article came once, in its
    partition's order. The encodings of the answers.
    """
    encodings: list[str] = []

    def note(response: Response) -> None:
        if "/v2/articles" in response.url and response.request.method == "GET":
            encodings.append(response.headers.get("content-encoding", "identity"))

    page.on("response", note)
    told = range(6 * (cuts + 1))
    asked = {"url": f"http://127.0.0.1:{hop.port}/v2/articles?{SINCE}", "key": KEY, "count": len(told)}
    reading = asyncio.create_task(page.evaluate(script, asked))
    for cut in range(cuts):
        # not among the headers: without TLS a browser takes half of them for all of them
        await page.wait_for_function("cut => window.opened > cut", arg=cut)
        hop.cut_after(rng.randrange(40, 400), abort=cut % 2 == 0)  # packed, six articles are some 500 bytes
        await server.write(told[6 * cut : 6 * cut + 6])
        async with asyncio.timeout(30):
            while hop.cuts <= cut:
                await asyncio.sleep(0.01)
    await server.write(told[6 * cuts :])
    async with asyncio.timeout(30):
        result = await reading
    got = [tuple(one) for one in result["got"]]
    assert sorted(got) == sorted(server.written)
    for partition in range(10):
        assert [s for p, s in got if p == partition] == [s for p, s in server.written if p == partition]
    assert result["breaks"] >= cuts
    return encodings


async def test_fetch_reads_on_over_breaks(tmp_path: Path, browser: Browser, rng: random.Random) -> None:
    """With a key in its header and the last id, gzip under way: nothing is lost, nothing comes twice."""
    async with (
        delivering(tmp_path) as server,
        Hop(server.port) as hop,
        partner_page(browser) as (_, page),
    ):
        encodings = await over_breaks(server, hop, page, FETCH, cuts=CUTS_OF_FETCH, rng=rng)
        assert len(encodings) >= CUTS_OF_FETCH
        assert set(encodings) == {"gzip"}


async def test_event_source_reads_on_over_breaks(
    tmp_path: Path, browser: Browser, rng: random.Random
) -> None:
    """With a ticket that was got by the key: the browser itself comes back, by the last id."""
    async with (
        delivering(tmp_path) as server,
        Hop(server.port) as hop,
        partner_page(browser) as (_, page),
    ):
        encodings = await over_breaks(server, hop, page, EVENT_SOURCE, cuts=CUTS_OF_EVENT_SOURCE, rng=rng)
        assert len(encodings) >= CUTS_OF_EVENT_SOURCE
        assert set(encodings) == {"gzip"}


async def test_a_partner_can_read_why(tmp_path: Path, browser: Browser) -> None:
    """A refusal is readable from another origin, and so are the headers that say when to come back; a
    ticket that is none closes an EventSource for good.
    """
    async with (
        delivering(tmp_path, limits="limits = { requests_per_minute = 1 }") as server,
        partner_page(browser) as (seen, page),
    ):
        seen.expected.append("status of (401|429)")
        answers = await page.evaluate(
            """async ({ url, keys }) => {
              const answers = [];
              for (const key of keys) {
                const a = await fetch(url, { headers: { Authorization: `Bearer ${key}` } });
                const header = name => a.headers.get(name);
                const told = ['RateLimit', 'Retry-After', 'WWW-Authenticate'].map(header);
                answers.push([a.status, ...told,
                              a.ok ? (await a.body.cancel(), '') : (await a.json()).type]);
              }
              return answers;
            }""",
            {"url": server.url, "keys": [KEY, KEY, "wrs_no"]},
        )
        (ok, limited, unknown) = answers
        assert ok[0] == 200
        assert ok[1].startswith('"requests";r=0;')
        assert limited[0] == 429
        assert int(limited[2]) > 0
        assert limited[4] == "urn:streamer:problem:too_many_requests"
        assert unknown == [401, None, None, 'Bearer realm="streamer"', "urn:streamer:problem:unauthorized"]
        state = await page.evaluate(
            """url => new Promise(done => {
              const source = new EventSource(url + '?ticket=none');
              source.onerror = () => done(source.readyState);
            })""",
            server.url,
        )
        assert state == 2
        await streams_open(0)  # the stream that was cancelled is gone from here too
        assert metric("streamer_deliver_connections", partner="acme", format="sse") == 0
