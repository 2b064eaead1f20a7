"""The dashboards on a real Prometheus that scrapes a service to which all kinds of things happen."""

import asyncio
import hashlib
import math
import re
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import aiohttp
from harness.certificates import Pair, self_signed
from harness.grafana import WINDOW_S, Query, dashboards, queries
from harness.prometheus import Prometheus
from harness.sandboxed import live_config
from harness.service import Service

from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

RULES = {
    "everything": 'content = ["wikitext"]',
    "rich": 'content = ["wikitext", "text", "html"]\nlists = ["categories"]',
    "settled": 'namespaces = [0]\nsettle = "10m"',
    "canary": 'content = ["wikitext"]',
}
KEYS = {name: f"wrs_test_key_of_{name}" for name in RULES}
EVER = "2020-01-01T00:00:00Z"


def write_partners(file: Path, *more: str) -> None:
    tables = [
        f'[{name}]\nkeys = ["sha256:{hashlib.sha256(key.encode()).hexdigest()}"]\n{RULES[name]}\n'
        for name, key in KEYS.items()
    ]
    file.write_text("\n".join([*tables, *more]), encoding="utf-8")


def config(sandbox: Sandbox, pair: Pair) -> str:
    """With TLS, answers of HTML, and letters that die after one retry."""
    return (
        live_config(sandbox).replace("timeout_s = 1.0", "timeout_s = 1.0\nretries = 1\nconcurrency = 12")
        + f'certificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"\n'
    )


class Reader:
    """A partner's client; it keeps nothing of what it gets."""

    def __init__(self, http: aiohttp.ClientSession, key: str, accept: str = "text/event-stream") -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}", "Accept": accept}

    async def read(self, since: str = "", bytes_at_most: float = math.inf) -> int:
        """The status. Reads until it has so many bytes, which for most is never."""
        query = {"since": since} if since else {}
        async with self._http.get("/v2/articles", headers=self._headers, params=query) as answer:
            size = 0
            if answer.status == 200:
                async for chunk in answer.content.iter_any():
                    size += len(chunk)
                    if size > bytes_at_most:
                        break
            return answer.status


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nobody else writes to the log."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


async def variables(prometheus: Prometheus, dashboard: dict[str, object]) -> dict[str, list[str]]:
    """All values of each, found as Grafana finds them."""
    found: dict[str, list[str]] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert match
            asked = f"last_over_time({Query('', match[1], '').asked(found)}[{WINDOW_S}s])"
            found[variable["name"]] = sorted({s.labels[match[2]] for s in await prometheus.query(asked)})
            assert found[variable["name"]], variable
    return found


NONE_HERE: dict[str, str] = {}


async def test_every_query_has_data(tmp_path: Path) -> None:
    """Each query of each dashboard, with all its variables replaced, has values, and its legend names each
    series.
    """
    pair = self_signed(tmp_path)
    write_partners(tmp_path / "partners.toml")
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(SandboxOptions(seed=3, edits_per_s=10)))
        service = await stack.enter_async_context(Service(tmp_path, config(sandbox, pair)))
        prometheus = await stack.enter_async_context(Prometheus(tmp_path / "prometheus"))
        await prometheus.scrape("streamer", [f"127.0.0.1:{await service.admin_port()}"])
        base = f"https://127.0.0.1:{await service.port()}"
        watcher = await stack.enter_async_context(canary(tmp_path, sandbox, pair, base))
        port = (await watcher.event("canary listening"))["port"]
        await prometheus.scrape("canary", [f"127.0.0.1:{port}"])
        http = await stack.enter_async_context(
            aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=pair.trusting()))
        )
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            group.create_task(Reader(http, KEYS["everything"]).read()),
            group.create_task(Reader(http, KEYS["rich"], "application/x-ndjson").read(EVER)),
            group.create_task(trouble(http, sandbox, service, tmp_path)),
        ]
        left = await until_all_have_data(prometheus)
        for task in tasks:
            task.cancel()
    assert not left, "\n".join(f"{where}: {text}" for where, text in left.items())


def canary(folder: Path, sandbox: Sandbox, pair: Pair, base: str) -> Service:
    own = folder / "canary"
    own.mkdir()
    words = ["canary", "--feed", base, "--ca-file", str(pair.certificate), "--port", "0"]
    words += ["--wiki", "ensandbox", "--page", "User:Canary/page", "--edit", f"{sandbox.endpoint}/w/api.php"]
    words += ["--server", "en.sandbox.example", "--interval", "2"]
    return Service(own, "", *words, environ={"STREAMER_CANARY_KEY": KEYS["canary"]})


async def trouble(http: aiohttp.ClientSession, sandbox: Sandbox, service: Service, folder: Path) -> None:
    """What a service meets in months."""
    assert await Reader(http, "wrs_of_nobody").read() == 401
    for kind in ("broken_json", "another_page", "text_missing", "ratelimited"):
        sandbox.faults.add(Fault(kind, count=2, probability=0.3))
    async with aiohttp.ClientSession(sandbox.endpoint) as session:
        async with session.post("/sandbox/cut", json={}) as answer:
            assert answer.status == 200
    write_partners(folder / "partners.toml", '[new]\nkeys = ["sha256:' + "0" * 64 + '"]\n')
    await service.until(lambda m: m.get('streamer_partners_reloads_total{result="applied"}', 0) > 0)
    with locked(folder / "streamer.db"):
        await service.until(lambda m: any("lane_restarts_total" in name for name in m))
    withheld = 'streamer_deliver_withheld_records_total{partner="everything",reason="withdrawn"}'
    while not (await service.metrics()).get(withheld):
        await Reader(http, KEYS["everything"]).read(EVER, bytes_at_most=200_000)


async def until_all_have_data(prometheus: Prometheus, timeout_s: float = 60) -> dict[str, str]:
    boards = dashboards().values()
    found: set[str] = set()
    left: dict[str, str] = {}
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                left = {}
                for board in boards:
                    values = await variables(prometheus, board)
                    for query in queries(board):
                        if query.where not in found and query.where not in NONE_HERE:
                            samples = await prometheus.query(query.asked(values))
                            if any(not math.isnan(sample.value) for sample in samples):
                                for sample in samples:
                                    assert query.labels <= set(sample.labels), (query, sample)
                                found.add(query.where)
                            else:
                                left[query.where] = query.asked(values)
                if not left:
                    return {}
                await asyncio.sleep(0.5)
    except TimeoutError:
        return left
