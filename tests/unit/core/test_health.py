"""Live and ready, as a probe sees them."""

import time

from aiohttp.test_utils import TestClient, TestServer

from streamer.health import LOOP_STALL_S, Health, admin_app
from streamer.metrics import REGISTRY


async def test_ready_only_when_every_component_is() -> None:
    """503 with the reasons until all are ready, and again when one isn't."""
    health = Health()
    health.expect("log")
    health.expect("source")
    async with TestClient(TestServer(admin_app(health))) as client:
        health.ready("log")
        async with client.get("/readyz") as response:
            assert response.status == 503
            assert await response.json() == {
                "ready": False,
                "components": {"log": "ready", "source": "starting"},
            }
        health.ready("source")
        async with client.get("/readyz") as response:
            assert response.status == 200
        health.unready("source", "silent for 60 s")
        async with client.get("/readyz") as response:
            assert (await response.json())["components"]["source"] == "silent for 60 s"


async def test_not_live_when_the_loop_stands_still() -> None:
    """A process whose loop no longer turns is to be restarted."""
    health = Health()
    async with TestClient(TestServer(admin_app(health))) as client:
        async with client.get("/livez") as response:
            assert response.status == 200
        health.beaten_s = time.monotonic() - LOOP_STALL_S - 1
        async with client.get("/livez") as response:
            assert response.status == 503


async def test_metrics_are_exposed() -> None:
    """Prometheus reads them as text."""
    async with TestClient(TestServer(admin_app(Health()))) as client, client.get("/metrics") as response:
        assert response.status == 200
        assert "streamer_errors_total" in await response.text()


def test_a_stand_by_is_ready() -> None:
    """It has no work and says so; what it says later replaces that, and what is forgotten was never said."""
    health = Health()
    health.expect("route")
    health.standing_by("route")
    assert health.problems() == {}
    assert health.components() == {"route": "standing by"}
    health.unready("route", "starting")
    assert health.components() == {"route": "starting"}
    health.ready("route")
    assert health.components() == {"route": "ready"}
    health.unready("route_log", "it takes no commit")
    health.forget("route_log")
    assert health.problems() == {}
    assert health.components() == {"route": "ready"}


def test_metrics_say_what_readyz_says() -> None:
    """An alert needs no second way to know: 1, 0, and nothing for what is no longer this process's."""
    health = Health()

    def told() -> float | None:
        return REGISTRY.get_sample_value("streamer_component_ready", {"component": "of_this_test"})

    assert told() is None
    health.expect("of_this_test")
    assert told() == 0
    health.standing_by("of_this_test")
    assert told() == 1
    health.unready("of_this_test", "it answered 503")
    assert told() == 0
    health.forget("of_this_test")
    assert told() is None
