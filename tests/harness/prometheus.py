"""A real Prometheus, as Debian ships it: it scrapes what a test runs, and judges the rules of deploy/."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import pytest

from harness.service import LEASH, START_S

SCRAPE_S: Final = 0.5
EVALUATION_S: Final = 1.0
LISTENING: Final = re.compile(r'"Listening on" address=\S+?:(\d+)')


def program(name: str) -> str:
    """Where it is; skips where it isn't."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: `make apt-prometheus` installs it")
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    labels: Mapping[str, str]
    """Without the name."""
    value: float


@dataclass(frozen=True, slots=True)
class Alert:
    name: str
    firing: bool
    """Else it is pending: its `for` has yet to pass."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Prometheus:
    """On a port of its own, its data in `folder`; ends with the test, however that ends.

    `rules` are files or patterns of files. `scrape` may be called at any time: targets change when a service
    comes back on another port. Each target is asked every `scrape_s`, and has as long to answer; rules are
    judged every `evaluation_s`.
    """

    def __init__(
        self,
        folder: Path,
        rules: Sequence[Path] = (),
        *,
        scrape_s: float = SCRAPE_S,
        evaluation_s: float = EVALUATION_S,
        external_labels: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program("prometheus")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._config: dict[str, Any] = {
            "global": {
                "scrape_interval": f"{scrape_s * 1_000:.0f}ms",
                "scrape_timeout": f"{scrape_s * 1_000:.0f}ms",
                "evaluation_interval": f"{evaluation_s * 1_000:.0f}ms",
                "external_labels": dict(external_labels or {}),
            },
            "rule_files": [str(path) for path in rules],
        }
        self._targets: dict[str, list[str]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._write()
        command = [
            *LEASH,
            self._program,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - it forks and is gone
        try:
            port = await self._port()
            self._http = aiohttp.ClientSession(f"http://127.0.0.1:{port}")
            await self._until_ready()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def scrape(self, job: str, targets: Collection[str]) -> None:
        """From now on the job is these `host:port`, and no others. Where it runs, returns once each has been
        looked at.
        """
        self._targets[job] = sorted(targets)
        self._write()
        if self._process is None:
            return
        await self._reload()
        await self.until(
            lambda samples: {sample.labels["instance"] for sample in samples} >= set(targets),
            f'up{{job="{job}"}}',
        )

    async def judge(self, rules: Sequence[Path]) -> None:
        """From now on by these rules. Those given at the start are judged before anything is scraped, which
        takes some five seconds: until then everything is down.
        """
        self._config["rule_files"] = [str(path) for path in rules]
        self._write()
        await self._reload()

    async def query(self, expression: str) -> list[Sample]:
        """An instant vector, or a scalar as one sample. Raises AssertionError where it makes no sense."""
        told = await self._ask("query", query=expression)
        if told["resultType"] == "scalar":
            return [Sample({}, float(told["result"][1]))]
        assert told["resultType"] == "vector", f"{expression} is a {told['resultType']}"
        return [
            Sample(
                {name: value for name, value in one["metric"].items() if name != "__name__"},
                float(one["value"][1]),
            )
            for one in told["result"]
        ]

    async def until(
        self, holds: Callable[[list[Sample]], bool], expression: str, timeout_s: float = START_S
    ) -> list[Sample]:
        """Waits for the answer that the test wants; a failure tells the last one."""
        samples: list[Sample] = []
        try:
            async with asyncio.timeout(timeout_s):
                while not holds(samples := await self.query(expression)):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s} s: {expression} is {samples}") from None
        return samples

    async def alerts(self) -> list[Alert]:
        """Those that fire or are pending, by name."""
        told = await self._ask("alerts")
        found = [
            Alert(
                name=one["labels"]["alertname"],
                firing=one["state"] == "firing",
                labels=one["labels"],
                annotations=one["annotations"],
            )
            for one in told["alerts"]
        ]
        return sorted(found, key=lambda alert: (alert.name, sorted(alert.labels.items())))

    async def firing(self) -> set[str]:
        """Names."""
        return {alert.name for alert in await self.alerts() if alert.firing}

    async def pending(self) -> set[str]:
        return {alert.name for alert in await self.alerts() if not alert.firing}

    async def until_alerts(self, holds: Callable[[set[str]], bool], timeout_s: float = START_S) -> set[str]:
        """Waits until the names of those that fire are as wanted."""
        names: set[str] = set()
        try:
            async with asyncio.timeout(timeout_s):
                while not holds(names := await self.firing()):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s} s; {sorted(names)} fire") from None
        return names

    # ── how ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def _log(self) -> Path:
        return self._folder / "prometheus.log"

    def _write(self) -> None:
        jobs = [
            {"job_name": job, "static_configs": [{"targets": targets}]}
            for job, targets in self._targets.items()
        ]
        text = json.dumps({**self._config, "scrape_configs": jobs})  # JSON is YAML
        (self._folder / "prometheus.yml").write_text(text, encoding="utf-8")

    async def _reload(self) -> None:
        assert self._process
        loaded = self._log.read_text(encoding="utf-8").count("Completed loading of configuration file")
        self._process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(START_S):
            while True:
                text = self._log.read_text(encoding="utf-8")
                assert "Error reloading config" not in text, text[-2_000:]
                if text.count("Completed loading of configuration file") > loaded:
                    return
                await asyncio.sleep(0.05)

    async def _port(self) -> int:
        async with asyncio.timeout(START_S):
            while not (match := LISTENING.search(self._log.read_text(encoding="utf-8"))):
                self._check_running()
                await asyncio.sleep(0.05)
        return int(match[1])

    async def _until_ready(self) -> None:
        assert self._http
        async with asyncio.timeout(START_S):
            while True:
                self._check_running()
                async with self._http.get("/-/ready") as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.05)

    def _check_running(self) -> None:
        assert self._process
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")[-2_000:]

    async def _ask(self, route: str, **parameters: str) -> Any:
        assert self._http
        async with self._http.get(f"/api/v1/{route}", params=parameters) as answer:
            told = await answer.json()
        assert told["status"] == "success", f"{parameters}: {told}"
        return told["data"]

    async def _end(self) -> None:
        if self._http is not None:
            await self._http.close()
        if self._process is not None:
            self._process.kill()  # what it has gathered is the test's, and goes with it
            await asyncio.to_thread(self._process.wait)
