"""The log that the settings ask for."""

from contextlib import AbstractAsyncContextManager

from streamer.config import Settings
from streamer.log.base import Log
from streamer.log.kafka import KafkaLog
from streamer.log.local import LocalLog


def open_log(settings: Settings) -> AbstractAsyncContextManager[Log]:
    """To be opened with `async with`. Raises ConfigError for a file that `log.security` names in vain."""
    log = settings.log
    if log.kind == "kafka":
        return KafkaLog(log.bootstrap, security=log.security, prefix=log.prefix, replication=log.replication)
    return LocalLog(log.path, retention_bytes=int(log.retention_gb * 1024**3))
