"""How the page for people is served: small, fresh, without a key, and nothing in it can be made to run."""

import gzip
from pathlib import Path

import aiohttp
import pytest
from harness.delivering import delivering, raw

from streamer.deliver import people

NAMES = sorted(entry.name for entry in (Path(people.__file__).parent / "page").iterdir())


async def test_it_needs_no_key_and_can_run_nothing_foreign(tmp_path: Path) -> None:
    """Every file of the page, and nothing but those; the policy names this server and no `unsafe-…`."""
    async with delivering(tmp_path) as server, aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{server.port}"
        paths = ["/", *(f"/page/{name}" for name in NAMES if name != "index.html")]
        assert len(paths) > 3
        for path in paths:
            async with session.get(base + path) as answer:
                assert answer.status == 200, path
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "require-trusted-types-for 'script'" in policy
                assert "unsafe" not in policy
                assert "*" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                text = await answer.text()
                assert "charset=utf-8" in answer.headers["Content-Type"] or path.endswith(".svg")
                assert not [word for word in ("innerHTML", "eval(", "<style", "style=") if word in text]
        for path in ("/page/", "/page/index.html", "/page/..%2fpeople.py", "/page/x.js", "/index.html"):
            async with session.get(base + path) as answer:
                assert answer.status == 404, path
                assert answer.content_type == "application/problem+json"


async def test_it_is_asked_for_each_time_and_sent_once(tmp_path: Path) -> None:
    """An ETag in each encoding, a 304 for either; HEAD says what GET says."""
    async with (
        delivering(tmp_path) as server,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        url = f"http://127.0.0.1:{server.port}/"
        tags = {}
        bodies = {}
        for coding in ("identity", "gzip", "gzip;q=0"):
            async with session.get(url, headers={"Accept-Encoding": coding}) as answer:
                assert answer.headers["Cache-Control"] == "no-cache"
                assert "Accept-Encoding" in answer.headers["Vary"]
                assert answer.headers.get("Content-Encoding") == ("gzip" if coding == "gzip" else None)
                tags[coding] = answer.headers["ETag"]
                bodies[coding] = await answer.read()
                length = answer.headers["Content-Length"]
            async with session.head(url, headers={"Accept-Encoding": coding}) as answer:
                assert (answer.status, answer.headers["Content-Length"]) == (200, length)
                assert answer.headers["ETag"] == tags[coding]
        for nothing in (
            "*;q=0",
            "identity;q=0, gzip;q=0",
        ):  # the feed says 406; a page can be read all the same
            async with session.get(url, headers={"Accept-Encoding": nothing}) as answer:
                assert (answer.status, answer.headers["ETag"]) == (200, tags["identity"])
        assert tags["gzip"] != tags["identity"] == tags["gzip;q=0"]
        assert gzip.decompress(bodies["gzip"]) == bodies["identity"] == bodies["gzip;q=0"]
        for known in (tags["gzip"], tags["identity"], f'"x", W/{tags["gzip"]}', "*"):
            async with session.get(url, headers={"If-None-Match": known}) as answer:
                assert answer.status == 304, known
                assert await answer.read() == b""
                assert answer.headers["Content-Security-Policy"]
        async with session.get(url, headers={"If-None-Match": '"x"'}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("target", ["/page/../articles.py", "/page/..%2F..%2Fconfig.py", "/page//etc/passwd"])
async def test_no_path_leads_out_of_it(tmp_path: Path, target: str) -> None:
    """Names are looked up in a table: there is no file system behind them."""
    async with delivering(tmp_path) as server, raw(server, target=target) as (reader, _):
        assert b"404" in await reader.readline()
