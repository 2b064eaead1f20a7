"""The broker is gone: one alert says so, and all that follows from it says nothing."""

from pathlib import Path

import pytest
from harness.alerting import watched
from harness.on_kafka import OnKafka
from harness.sandboxed import live_config
from harness.service import Service
from recording_setup import write_partners

from deploy.kafka import Brokers, Unavailable
from streamer.sandbox.server import Sandbox, SandboxOptions


@pytest.mark.timeout(600)
async def test_broker_that_is_down_is_one_alert(tmp_path: Path) -> None:
    """LogFails fires, alone: neither source, wikis, lanes, keeper of the budget nor objectives call a second
    time, then or when the broker is back.
    """
    brokers = Brokers(tmp_path / "brokers")
    write_partners(tmp_path / "partners.toml")
    try:
        await brokers.__aenter__()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        async with Sandbox(SandboxOptions(seed=3, edits_per_s=5)) as sandbox:
            text = live_config(sandbox).replace('path = "streamer.db"', OnKafka(brokers).settings)
            async with Service(tmp_path, text) as service:
                await service.until_ready()
                async with watched(tmp_path, service) as alerts, alerts.alone("LogFails"):
                    await brokers.kill(1)
                    await alerts.fires("LogFails")
                    await brokers.start(1)
    finally:
        await brokers.__aexit__(None, None, None)
