"""Prometheus as Debian ships it, with our rules made faster; and what fires."""

import asyncio
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
import yaml

from deploy.gameday.process import ROOT, START_S, Failed, Running
from deploy.prometheus.scaled import scaled_rules

RULES: Final = ROOT / "deploy" / "prometheus" / "rules"
SCRAPE_S: Final = 1.0
EVALUATION_S: Final = 0.5
LEAST_FOR_S: Final = 8.0
"""On a busy machine one scrape may fail, or some: that is no process that is down."""
LISTENING: Final = re.compile(r'"Listening on" address=\S+?:(\d+)')
ALWAYS: Final = "Watchdog"


def is_there() -> bool:
    return shutil.which("prometheus") is not None


class Prometheus:
    """Until it is left. `targets`: job → `host:port`."""

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[str]], *, factor: float) -> None:
        self._folder = folder
        self._targets = targets
        self._factor = factor
        self._session: aiohttp.ClientSession | None = None
        self._process = Running(
            "prometheus",
            folder,
            (
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                "--web.listen-address=127.0.0.1:0",
            ),
        )
        self.url = ""

    async def __aenter__(self) -> Self:
        self._write()
        await self._process.start()
        try:
            self.url = f"http://127.0.0.1:{await self._port()}"
            self._session = aiohttp.ClientSession(self.url)
        except BaseException:
            await self._process.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        await self._process.kill()  # what it has gathered goes with the folder

    async def firing(self, *, pages: bool = False) -> frozenset[str]:
        """Names, without the one that always fires; `pages`: of those that call someone now."""
        assert self._session is not None
        try:
            async with self._session.get("/api/v1/alerts") as answer:
                told = await answer.json()
        except (aiohttp.ClientError, OSError):  # it has only begun, or is busy
            return frozenset()
        alerts = told.get("data", {}).get("alerts", [])
        return frozenset(
            alert["labels"]["alertname"]
            for alert in alerts
            if alert["state"] == "firing"
            and alert["labels"]["alertname"] != ALWAYS
            and (not pages or alert["labels"].get("severity") == "page")
        )

    def _write(self) -> None:
        rules = scaled_rules(
            RULES, self._folder / "rules", 1 / self._factor, days=False, least_for_s=LEAST_FOR_S
        )
        jobs = [
            {"job_name": job, "static_configs": [{"targets": list(targets)}]}
            for job, targets in self._targets.items()
        ]
        every = {
            "scrape_interval": f"{SCRAPE_S * 1_000:.0f}ms",
            "scrape_timeout": f"{SCRAPE_S * 1_000:.0f}ms",
            "evaluation_interval": f"{EVALUATION_S * 1_000:.0f}ms",
            "external_labels": {"runbooks": str(ROOT / "deploy" / "runbooks")},
        }
        settings = {"global": every, "rule_files": [str(rules)], "scrape_configs": jobs}
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(settings), "utf-8")

    async def _port(self) -> int:
        try:
            async with asyncio.timeout(START_S):
                while not (match := LISTENING.search(self._process.said())):
                    if not self._process.is_running:
                        raise Failed(f"Prometheus ended: {self._process.said()[-500:]}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise Failed("Prometheus did not begin to listen") from None
        return int(match[1])
