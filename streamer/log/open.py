"""The log that the settings ask for."""

from streamer.config import Settings
from streamer.errors import ConfigError
from streamer.log.local import LocalLog


def open_log(settings: Settings) -> LocalLog:
    """To be opened with `async with`."""
    if settings.log.kind == "kafka":
        raise ConfigError("log.kind", "kafka is not built yet: use local")
    return LocalLog(settings.log.path, retention_bytes=int(settings.log.retention_gb * 1024**3))
