"""What fires on a real Prometheus by the rules of deploy/prometheus, an hour of them in a minute."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from deploy.prometheus.scaled import scaled_rules
from harness.prometheus import Prometheus
from harness.service import Service

RULES: Final = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "rules"
FACTOR: Final = 1 / 60
BASE: Final = "https://runbooks.example/here"
ALWAYS: Final = {"Watchdog", "EventLoopLag"}
"""The latter tells of this machine, which may have too much to do."""


class Watched:
    """What fires, looked at without a pause worth the name."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    async def firing(self) -> set[str]:
        return await self._prometheus.firing() - ALWAYS

    async def quiet(self) -> None:
        assert await self.firing() == set()

    async def until(self, wanted: set[str], *, amid: set[str], timeout_s: float = 90.0) -> None:
        """Until these fire; all the while nothing but `amid` may."""
        seen: set[str] = set()
        try:
            async with asyncio.timeout(timeout_s):
                while (seen := await self.firing()) != wanted:
                    assert seen <= amid, f"{seen - amid} fired"
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{seen} fire and not {wanted}: {await self._prometheus.alerts()}") from None

    @asynccontextmanager
    async def alone(self, alert: str) -> AsyncIterator[None]:
        """The fault lasts until this fires, and nothing else does, meanwhile or until it has cleared."""
        await self.quiet()
        yield
        await self.until(set(), amid={alert})

    async def fires(self, alert: str) -> None:
        await self.until({alert}, amid={alert})
        (told,) = [one for one in await self._prometheus.alerts() if one.name == alert and one.firing]
        assert told.annotations["runbook_url"] == f"{BASE}/{alert}.md"
        assert "<no value>" not in "".join(told.annotations.values())


@asynccontextmanager
async def watched(folder: Path, service: Service) -> AsyncIterator[Watched]:
    rules = scaled_rules(RULES, folder / "rules", FACTOR)
    async with Prometheus(
        folder / "prometheus", scrape_s=1.0, evaluation_s=0.5, external_labels={"runbooks": BASE}
    ) as prometheus:
        await prometheus.scrape("streamer", [f"127.0.0.1:{await service.admin_port()}"])
        await prometheus.judge([rules])
        await prometheus.until_alerts(lambda names: "Watchdog" in names)
        await prometheus.until(
            lambda samples: bool(samples and samples[0].value > 0),
            "sum(increase(streamer_edit_to_publish_seconds_count[4s]))",
        )
        yield Watched(prometheus)
