"""How a cluster is reached, what its refusals are called here, and the deadlines of our own."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from aiokafka import errors as kafka
from aiokafka.client import AIOKafkaClient
from aiokafka.helpers import create_ssl_context

from streamer.config import SecuritySettings, read_text
from streamer.errors import (
    ConfigError,
    LaneLost,
    LogError,
    LogTimeout,
    LogUnavailable,
    TopicMissing,
    TopicRefused,
)

REQUEST_TIMEOUT_MS: Final = 10_000
METADATA_MAX_AGE_MS: Final = 30_000
END_S: Final = 1.0
"""What was cancelled has so long to end; then it is left behind."""

LIBRARY_ERRORS: Final = (
    kafka.KafkaError,
    OSError,
    AssertionError,  # the producer's "this state is final" (never run with -O)
    asyncio.InvalidStateError,
    KeyError,  # the connection of a request that timed out, which may be gone by then
    RuntimeError,  # uvloop's word for a connection that was closed
)
"""What aiokafka raises while the cluster is not well."""

FENCED: Final = (kafka.ProducerFenced, kafka.InvalidProducerEpoch, kafka.InvalidProducerIdMapping)
TOO_LARGE: Final = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)
MISSING: Final = (kafka.UnknownTopicOrPartitionError,)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """Where the cluster is and who we are; `options` are aiokafka's own words for every client of it."""

    bootstrap: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, bootstrap: tuple[str, ...], security: SecuritySettings) -> "Access":
        """Raises ConfigError for a file that can't be read."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(bootstrap),
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "metadata_max_age_ms": METADATA_MAX_AGE_MS,
            "security_protocol": security.protocol,
        }
        if security.protocol.endswith("SSL"):
            try:
                options["ssl_context"] = create_ssl_context(cafile=security.ca_file or None)
            except OSError as error:
                raise ConfigError("log.security.ca_file", f"{security.ca_file}: {error.strerror}") from None
        if security.protocol.startswith("SASL"):
            options["sasl_mechanism"] = security.mechanism
            options["sasl_plain_username"] = security.username
            options["sasl_plain_password"] = _password(security)
        return cls(bootstrap, options)


def _password(security: SecuritySettings) -> str:
    if not security.password_file:
        return security.password
    return read_text(Path(security.password_file)).strip()


def named(error: BaseException, what: str) -> LogError:
    """The error of ours that a caller of the log can act on."""
    if isinstance(error, LogError):
        return error
    reason = f"{what}: {type(error).__name__}"
    if isinstance(error, FENCED):
        return LaneLost(f"{reason}: another worker has taken over")
    if isinstance(error, kafka.TopicAuthorizationFailedError):
        topics = sorted(_topics_in(error.args))
        return TopicRefused(f"{what}: this user may not ({', '.join(topics)}: ACLs)", *topics)
    if isinstance(error, MISSING):
        return TopicMissing(f"{reason}: the topic is gone")
    return LogUnavailable(reason)


def _topics_in(args: Iterable[object]) -> Iterator[str]:
    """One, or a set of them."""
    for arg in args:
        if isinstance(arg, str):
            yield arg
        elif isinstance(arg, Iterable):
            yield from _topics_in(arg)


def is_broken(client: AIOKafkaClient) -> bool:
    """Its background task has died of one of these, and never tells: who waits for fresh metadata waits for
    ever.
    """
    return client._sync_task is None or bool(client._sync_task.done())  # noqa: SLF001


async def within(deadline_s: float, work: Coroutine[Any, Any, T], what: str) -> T:
    """`work`, or LogTimeout after `deadline_s`, or the name of what the library raised.

    Not `asyncio.wait_for`: that waits for the cancelled work to end, and aiokafka's may not while the
    broker is down. What doesn't end soon after its cancellation is left behind; whoever calls this drops
    the client that it belongs to.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=deadline_s)
        if not task.done():
            raise LogTimeout(f"{what}: no answer within {deadline_s:g} s")
        return task.result()
    except LIBRARY_ERRORS as error:
        raise named(error, what) from error
    finally:
        if not task.done():
            await abandon(task)


async def abandon(task: asyncio.Future[Any]) -> None:
    """Cancels; waits END_S at most."""
    task.add_done_callback(hear)
    task.cancel()
    await asyncio.wait({task}, timeout=END_S)


def hear(future: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is no news, and not logged as one that was never heard of."""
    if future.done() and not future.cancelled():
        future.exception()


async def ended(work: Awaitable[object], deadline_s: float) -> None:
    """Closing what may be broken: whatever it raises, and `deadline_s` at most. A cancellation waits for it:
    what is closed halfway keeps its sockets.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    until_s = loop.time() + deadline_s
    cancelled: asyncio.CancelledError | None = None
    while not task.done() and loop.time() < until_s:
        try:
            await asyncio.wait({task}, timeout=until_s - loop.time())
        except asyncio.CancelledError as error:
            cancelled = error
    if task.done():
        hear(task)
    else:
        await abandon(task)
    if cancelled is not None:
        raise cancelled
