"""The dashboards on a real Prometheus that scrapes a service to which all kinds of things happen."""

import asyncio
import hashlib
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from harness.certificates import Pair, self_signed
from harness.grafana import FOLDER, WINDOW_S, Query, asked, dashboards, queries
from harness.on_kafka import OnKafka
from harness.prometheus import Prometheus
from harness.sandboxed import live_config
from harness.service import Service

from deploy.kafka import Brokers
from streamer.sandbox.faults import Fault
from streamer.sandbox.server import Sandbox, SandboxOptions

RULES = {
    "everything": 'content = ["wikitext"]',
    "rich": 'content = ["wikitext", "text", "html"]\nlists = ["categories"]',
    "settled": 'namespaces = [0]\nsettle = "10m"',
    "canary": 'content = ["wikitext"]',
}
KEYS = {name: f"wrs_test_key_of_{name}" for name in RULES}
RULES_FOLDER = FOLDER.parents[1] / "prometheus" / "rules"
DATA_S = 240.0
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


async def variables(prometheus: Prometheus, dashboard: Mapping[str, Any]) -> dict[str, list[str]]:
    """All values of each, found as Grafana finds them."""
    found: dict[str, list[str]] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert match
            of_late = f"last_over_time({asked(match[1], found)}[{WINDOW_S}s])"
            found[variable["name"]] = sorted({s.labels[match[2]] for s in await prometheus.query(of_late)})
    return found


EVERY = {query.where: query for board in dashboards().values() for query in queries(board)}
REBALANCES = "streamer-log: Rebalances, by group: {{group}}"
PERMITS = frozenset(
    {
        "streamer-source: Permits of the budget's keeper: {{outcome}}",
        "streamer-source: How long a permit takes: p50",
        "streamer-source: How long a permit takes: p99",
    }
)
"""What a service on the local log has no data of: its process has the whole budget."""
NOWHERE = {
    "streamer-log: Clients of Kafka made anew: {{client}}": "they are after a failure of a broker",
    "streamer-log: Offsets left out because they were deleted unread: {{role}} {{partition}}": "none are",
    "streamer-delivery: Errors of delivery, by code: {{code}}": "there are none without a fault of ours",
    "streamer-source: Late edits, and scores asked for: score: {{outcome}}": "real Wikipedias are asked only",
}
"""What has no data in either test, and why; that it parses and names what is exported is tested."""


def rules(folder: Path) -> Path:
    """Those of deploy/, each judged as often as Prometheus judges any: some wait for five minutes else."""
    folder.mkdir()
    for file in sorted(RULES_FOLDER.glob("*.yml")):
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in told["groups"]:
            group.pop("interval", None)
        (folder / file.name).write_text(yaml.safe_dump(told), encoding="utf-8")
    return folder / "*.yml"


async def test_every_query_has_data(tmp_path: Path) -> None:
    """Each query of each dashboard, with all its variables replaced, has values, and its legend names each
    series.
    """
    pair = self_signed(tmp_path)
    write_partners(tmp_path / "partners.toml")
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(SandboxOptions(seed=3, edits_per_s=6)))
        service = await stack.enter_async_context(Service(tmp_path, config(sandbox, pair)))
        prometheus = await stack.enter_async_context(
            Prometheus(tmp_path / "prometheus", [rules(tmp_path / "rules")])
        )
        await prometheus.scrape("streamer", [f"127.0.0.1:{await service.admin_port()}"])
        base = f"https://127.0.0.1:{await service.port()}"
        watcher = await stack.enter_async_context(canary(tmp_path, sandbox, pair, base))
        await prometheus.scrape("canary", [f"127.0.0.1:{await watcher.admin_port()}"])
        http = await stack.enter_async_context(
            aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=pair.trusting()))
        )
        admin = await stack.enter_async_context(aiohttp.ClientSession(sandbox.endpoint))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            group.create_task(Reader(http, KEYS["everything"]).read()),
            group.create_task(Reader(http, KEYS["rich"], "application/x-ndjson").read(EVER)),
            group.create_task(trouble(http, admin, sandbox, service)),
        ]
        missing = PERMITS | NOWHERE.keys()
        assert missing < EVERY.keys()
        await until_all_have_data(prometheus, {at: query for at, query in EVERY.items() if at not in missing})
        assert not await with_data(prometheus, {at: EVERY[at] for at in PERMITS}), "need not be left out"
        for task in tasks:
            task.cancel()


async def test_queries_of_kafka_have_data(tmp_path: Path, brokers: Brokers) -> None:
    """Those that are of a fleet have values of a service on a real broker."""
    write_partners(tmp_path / "partners.toml")
    async with (
        Sandbox(SandboxOptions(seed=3, edits_per_s=5)) as sandbox,
        Service(
            tmp_path,
            live_config(sandbox).replace('path = "streamer.db"', OnKafka(brokers).settings),
        ) as service,
        Prometheus(tmp_path / "prometheus") as prometheus,
    ):
        await prometheus.scrape("streamer", [f"127.0.0.1:{await service.admin_port()}"])
        await until_all_have_data(prometheus, {at: EVERY[at] for at in (REBALANCES, *PERMITS)})


def canary(folder: Path, sandbox: Sandbox, pair: Pair, base: str) -> Service:
    own = folder / "canary"
    own.mkdir()
    words = ["canary", "--feed", base, "--ca-file", str(pair.certificate), "--port", "0"]
    words += ["--wiki", "ensandbox", "--page", "User:Canary/page", "--edit", f"{sandbox.endpoint}/w/api.php"]
    words += ["--server", "en.sandbox.example", "--interval", "2"]
    return Service(own, "", *words, environ={"STREAMER_CANARY_KEY": KEYS["canary"]})


async def trouble(
    http: aiohttp.ClientSession,
    admin: aiohttp.ClientSession,
    sandbox: Sandbox,
    service: Service,
) -> None:
    """What a service meets in months: a wrong key, answers that are none, replicas that lag, a stream that is
    cut, a page too large for its text, other partners, a log that takes nothing, letters by the dozen, and
    texts that are withdrawn while somebody reads them.
    """
    assert await Reader(http, "wrs_of_nobody").read() == 401
    sandbox.faults.add(Fault("replica_lag", seconds=3.0))
    what = {"wiki": "ensandbox", "action": "create", "title": "Vast", "text": "word " * 200_001}
    await post(admin, "edit", what)
    write_partners(service.folder / "partners.toml", '[new]\nkeys = ["sha256:' + "0" * 64 + '"]\n')
    await until(service, 'partners_reloads_total{result="applied"}')
    await until(service, 'enrich_retries_total{reason="missing"}')
    await until(service, 'enrich_text_failures_total{reason="too_long"}')
    sandbox.faults.clear()
    with locked(service.folder / "streamer.db"):
        await until(service, "log_lane_restarts_total")
    sandbox.faults.add(Fault("another_page"))
    dead = 'discarded_records_total{intentional="false",reason="deadletter",stage="enrich"}'
    await until(service, dead, 14)
    sandbox.faults.clear()
    while True:  # what has happened once only is no increase yet
        await post(admin, "cut", {})
        await Reader(http, "wrs_of_nobody").read()
        await Reader(http, KEYS["everything"]).read(EVER, bytes_at_most=100_000)
        await asyncio.sleep(1.0)


async def post(session: aiohttp.ClientSession, route: str, what: dict[str, str]) -> None:
    async with session.post(f"/sandbox/{route}", json=what) as answer:
        assert answer.status == 200, await answer.text()


async def until(service: Service, beginning: str, least: float = 1.0) -> None:
    """A metric whose sample begins so has come to so much."""
    await service.until(
        lambda samples: any(
            value >= least for name, value in samples.items() if name.startswith(f"streamer_{beginning}")
        )
    )


async def until_all_have_data(prometheus: Prometheus, left: dict[str, Query]) -> None:
    """Asks again for what had none, as long as it takes; a failure names what still has none."""
    try:
        async with asyncio.timeout(DATA_S):
            while left:
                for where in await with_data(prometheus, left):
                    del left[where]
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise AssertionError("\n".join(["without data:", *map(str, left.values())])) from None


async def with_data(prometheus: Prometheus, wanted: Mapping[str, Query]) -> list[str]:
    """Where there is a number. Raises AssertionError where a legend can't name its series."""
    values = {board["uid"]: await variables(prometheus, board) for board in dashboards().values()}
    found = []
    for where, query in wanted.items():
        samples = await prometheus.query(asked(query.text, values[query.board]))
        for sample in samples:
            assert query.labels <= sample.labels.keys(), f"{where} is named by what it lacks: {sample}"
        if any(not math.isnan(sample.value) for sample in samples):
            found.append(where)
    return found
