"""Alertmanager with the file of deploy/prometheus: who is called for what, and what is told once."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from harness.prometheus import LISTENING, program
from harness.service import LEASH, START_S

CONFIG: Final = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "alertmanager.yml"


@asynccontextmanager
async def alertmanager(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Alone, on a port of its own; what it would send goes to names that don't exist."""
    log = folder / "log"
    command = [
        *LEASH,
        program("prometheus-alertmanager"),
        f"--config.file={CONFIG}",
        f"--storage.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)  # noqa: ASYNC220 - it forks and is gone
    try:
        async with asyncio.timeout(START_S):
            while not (match := LISTENING.search(log.read_text("utf-8"))):
                assert process.poll() is None, log.read_text("utf-8")
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{match[1]}") as http:
            yield http
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


WANTED: Final = {
    ("Watchdog", "none"): "watchdog",
    ("CompletenessBudgetBurn", "page"): "page",
    ("CompletenessBudgetBurn", "ticket"): "inhibited",
    ("DeadLetters", "ticket"): "inhibited",
    ("SlowPartner", "ticket"): "ticket",
}
"""By alert and severity its receiver."""


def fate(alert: Mapping[str, Any]) -> str:
    if alert["status"]["state"] == "unprocessed":
        return "unprocessed"
    return "inhibited" if alert["status"]["inhibitedBy"] else str(alert["receivers"][0]["name"])


async def test_each_is_told_to_whom_it_concerns_and_once(tmp_path: Path) -> None:
    """Pages, tickets and the dead man's switch have receivers of their own; the ticket of what pages already
    is held back, and so are dead letters where completeness pages. Other tickets are not.
    """
    alerts = [
        {"labels": {"alertname": name, "severity": severity, "cluster": "streamer"}}
        for name, severity in WANTED
    ]
    async with alertmanager(tmp_path) as http:
        async with http.post("/api/v2/alerts", json=alerts) as answer:
            assert answer.status == 200
        found: dict[tuple[str, str], str] = {}
        for _ in range(200):  # it looks at them by itself
            async with http.get("/api/v2/alerts") as answer:
                found = {
                    (one["labels"]["alertname"], one["labels"]["severity"]): fate(one)
                    for one in await answer.json()
                }
            if found == WANTED:
                break
            await asyncio.sleep(0.1)
        assert found == WANTED
