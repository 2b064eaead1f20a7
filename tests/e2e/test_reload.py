"""SIGHUP: what may change is in force within seconds, what may not is named, a mistake changes nothing."""

import asyncio
import signal
from pathlib import Path

from harness.sandboxed import on_sandbox
from harness.service import Service
from test_bad_input import accounted, articles, write

FAILED = "streamer_config_reload_failed"
BUDGET = "streamer_origin_budget_requests"
SOON_S = 30.0


async def reload(service: Service, text: str) -> None:
    service.config.write_text(text)
    service.signal(signal.SIGHUP)


async def test_what_may_change_is_in_force_within_seconds(tmp_path: Path) -> None:
    """Budget, admission, and heartbeats of new streams; by the effect, not by what the log says."""
    async with on_sandbox(tmp_path) as (sandbox, service):
        text = service.config.read_text()
        assert (await service.metrics())[BUDGET] == 6_000
        await reload(
            service,
            text.replace("requests_per_minute = 6000", "requests_per_minute = 3000")
            + '[admit]\nwikis = ["nosuchwiki"]\n',
        )
        await service.until(lambda m: m[BUDGET] == 3_000, timeout_s=SOON_S)
        await write(sandbox, "Unwanted", "x")
        left_out = 'streamer_source_dropped_total{reason="not_admitted"}'
        await service.until(lambda m: m.get(left_out, 0) > 0)
        await reload(service, text)
        await service.until(lambda m: m[BUDGET] == 6_000, timeout_s=SOON_S)
        await write(sandbox, "Wanted", "x")
        (article,) = await articles(service, 1)
        assert article.article["name"] == "Wanted"
        assert await accounted(service, 1) == {"admitted": 1, "published": 1}
        assert await service.terminate() == 0


async def test_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    """In the log and as a metric, beside what was taken; nothing is ignored in silence."""
    async with on_sandbox(tmp_path) as (_, service):
        text = service.config.read_text()
        await reload(
            service,
            text.replace("admin_port = 0", "admin_port = 0\nbehind_tls = true\nmax_connections = 7")
            + '[partners]\nfile = "other.toml"\n',
        )
        said = await service.event("settings that need a restart to change", timeout_s=SOON_S)
        assert said["settings"] == ["deliver.behind_tls", "partners.file"]
        assert (await service.event("configuration reloaded"))["changed"] == ["deliver.max_connections"]
        needed = "streamer_config_restart_needed_settings"
        await service.until(lambda m: m[needed] == 2, timeout_s=SOON_S)
        await reload(service, text)
        await service.until(lambda m: m[needed] == 0, timeout_s=SOON_S)
        assert await service.terminate() == 0


async def test_a_mistake_keeps_the_settings(tmp_path: Path) -> None:
    """The key and what is wrong with it are logged, an alarm is raised, and the service goes on; the next
    good file lifts it.
    """
    async with on_sandbox(tmp_path) as (sandbox, service):
        text = service.config.read_text()
        loaded = (await service.metrics())["streamer_config_loaded_timestamp_seconds"]
        lower = text.replace("requests_per_minute = 6000", "requests_per_minute = 10")
        await reload(service, lower + "[admit]\nwikkis = []\n")
        await service.until(lambda m: m[FAILED] == 1, timeout_s=SOON_S)
        said = await service.event("configuration is wrong, the settings before it stay in force")
        assert "admit.wikkis" in str(said["where"])
        assert "unknown key" in str(said["reason"])
        metrics = await service.metrics()
        assert metrics[BUDGET] == 6_000
        assert metrics["streamer_config_loaded_timestamp_seconds"] == loaded
        service.config.unlink()
        service.signal(signal.SIGHUP)
        await write(sandbox, "Still", "x")
        assert len(await articles(service, 1)) == 1
        await reload(service, text)
        await service.until(lambda m: m[FAILED] == 0, timeout_s=SOON_S)
        assert (await service.metrics())["streamer_config_loaded_timestamp_seconds"] > loaded
        assert await service.terminate() == 0


async def test_at_any_time_it_kills_nobody(tmp_path: Path) -> None:
    """From the first moment at which the process is itself, through its start, to the middle of a drain."""
    async with on_sandbox(tmp_path) as (_, service):
        assert await service.terminate() == 0
        await service.start()
        async with asyncio.timeout(60):
            while "admin listening" not in service.told:
                if hears(service.pid):
                    service.signal(signal.SIGHUP)
                await asyncio.sleep(0.005)
        await service.event("connected to the stream")
        service.signal(signal.SIGTERM)
        for _ in range(20):
            if service.running:
                service.signal(signal.SIGHUP)
            await asyncio.sleep(0.005)
        assert await service.wait() == 0


def hears(pid: int) -> bool:
    """Whether the process ignores or handles SIGHUP: before that, the interpreter is still starting."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [line.split()[1] for line in status.splitlines() if line.startswith(("SigIgn", "SigCgt"))]
    return any(int(mask, 16) & 1 << (signal.SIGHUP - 1) for mask in masks)
