"""SIGHUP: `streamer.toml` is read again, and what may change while the service runs is in force.

What may not is named in the log and by a metric, and waits for a restart; a mistake changes nothing and
raises an alarm (`streamer_config_reload_failed`, a log event). Files that settings name (a renewed
certificate) are read again too.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from msgspec import Struct, structs

from streamer.config import Settings
from streamer.errors import ConfigError
from streamer.metrics import CONFIG_LOADED, CONFIG_RELOAD_FAILED, CONFIG_RESTART_NEEDED
from streamer.runtime import Runtime

LIVE: Final[Mapping[str, frozenset[str]]] = {
    "admit": frozenset({"wikis", "namespaces", "bots"}),
    "mediawiki": frozenset(
        {"hosts", "requests_per_minute", "concurrency", "batch", "maxlag", "timeout_s"}
        | {"retries", "missing_retry_s", "defer_after_s", "html_share", "html_timeout_s"}
    ),
    "deliver": frozenset({"heartbeat_s", "retained_mb", "max_connections", "max_feeds", "drain_s"}),
    "reconcile": frozenset({"every_hours", "look_back_hours", "lag_s"}),
}
"""By section, what is asked for at each use. The rest is built into what was opened at the start: sockets,
files, topics, the User-Agent that a wiki knows us by.
"""

logger = logging.getLogger(__name__)


def merged(running: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """`running` with what may change taken from `wanted`; and the names of the rest that differs."""
    sections: dict[str, Struct] = {}
    waiting: list[str] = []
    for section in Settings.__struct_fields__:
        now, then = getattr(running, section), getattr(wanted, section)
        live = LIVE.get(section, frozenset())
        differing = [key for key in now.__struct_fields__ if getattr(now, key) != getattr(then, key)]
        waiting += [f"{section}.{key}" for key in differing if key not in live]
        sections[section] = structs.replace(now, **{k: getattr(then, k) for k in differing if k in live})
    return structs.replace(running, **sections), waiting


def loaded() -> None:
    """The metrics after a good load: at the start, and after each reload."""
    CONFIG_LOADED.set(time.time())
    CONFIG_RELOAD_FAILED.set(0)


class Reload:
    """`wish` from a signal handler, at any time; `run` beside the roles fulfils it."""

    def __init__(self, runtime: Runtime, load: Callable[[], Settings], wished: asyncio.Event) -> None:
        self._runtime = runtime
        self._load = load
        self._wished = wished

    async def run(self) -> NoReturn:
        while True:
            await self._wished.wait()
            self._wished.clear()
            await self._reload()

    async def _reload(self) -> None:
        try:
            wanted = await asyncio.to_thread(self._load)
            running = self._runtime.settings
            settings, waiting = merged(running, wanted)
            await self._runtime.reread()
        except (ConfigError, OSError) as error:
            CONFIG_RELOAD_FAILED.set(1)
            # a wrong file is told by its place, not by a traceback
            logger.error(  # noqa: TRY400
                "configuration is wrong, the settings before it stay in force",
                extra={
                    "where": error.where if isinstance(error, ConfigError) else error.filename,
                    "reason": error.problem if isinstance(error, ConfigError) else error.strerror,
                },
            )
            return
        if settings != running:
            self._runtime.put_in_force(settings)
        loaded()
        CONFIG_RESTART_NEEDED.set(len(waiting))
        logger.info("configuration reloaded", extra={"changed": _differing(running, settings)})
        if waiting:
            logger.warning("settings that need a restart to change", extra={"settings": waiting})


def _differing(one: Settings, other: Settings) -> list[str]:
    return [
        f"{section}.{key}"
        for section in Settings.__struct_fields__
        for key in getattr(one, section).__struct_fields__
        if getattr(getattr(one, section), key) != getattr(getattr(other, section), key)
    ]
