"""What a cluster says of a topic: whether we may read it, its partitions, and the id by which a topic that
was made anew differs from the one before.

A consumer that takes partitions by itself is not told that it may not, and goes on at its offset in a topic
made anew, so this is asked apart, by a connection of its own: a password that is wrong has a name here too.
"""

import asyncio
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from aiokafka import errors as kafka
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from consumers.errors import FeedRefused

REQUEST_TIMEOUT_MS: Final = 10_000
ASK_S: Final = 20.0
END_S: Final = 2.0
CONFIRMED: Final = 3
CONFIRM_S: Final = 1.0
MECHANISM: Final = "SCRAM-SHA-512"
READ: Final = 1 << 3
"""Of the operations in a topic's metadata."""

BROKEN: Final = (
    kafka.KafkaError,
    OSError,
    EOFError,
    AssertionError,
    asyncio.InvalidStateError,
    KeyError,  # a connection that is gone meanwhile
    RuntimeError,  # the same, by uvloop
)
"""What aiokafka raises while a cluster is not well."""
REFUSED: Final = (
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """Where the cluster is and who we are."""

    bootstrap: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    is_encrypted: bool = True
    ca_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """In aiokafka's words, but for the addresses. Raises FeedRefused."""
        options: dict[str, Any] = {"request_timeout_ms": REQUEST_TIMEOUT_MS}
        protocol = "SSL" if self.is_encrypted else "PLAINTEXT"
        if self.is_encrypted:
            try:
                options["ssl_context"] = create_ssl_context(cafile=self.ca_file)
            except OSError as error:
                reason = error.strerror or "holds no certificate"
                raise FeedRefused(f"--ca-file {self.ca_file}: {reason}") from None
        if self.user:
            protocol = f"SASL_{protocol}"
            options["sasl_mechanism"] = MECHANISM
            options["sasl_plain_username"] = self.user
            options["sasl_plain_password"] = self.password
        return options | {"security_protocol": protocol}


class Topic(NamedTuple):
    id: str
    """In hex."""
    partitions: int


NONE: Final = Topic("", 0)


async def asked(access: Access, name: str) -> Topic:
    """Of the first host that answers. Raises FeedRefused, or one of BROKEN where none does.

    A broker that has just begun may know no topics and no users for a moment: a refusal is confirmed.
    """
    for _ in range(CONFIRMED - 1):
        with suppress(FeedRefused):
            return await _once(access, name)
        await asyncio.sleep(CONFIRM_S)
    return await _once(access, name)


async def _once(access: Access, name: str) -> Topic:
    last: Exception = kafka.KafkaConnectionError("no host")
    for place in access.bootstrap:
        host, _, port = place.rpartition(":")
        try:
            return await within(ASK_S, _asked(access, name, host.strip("[]"), int(port)))
        except REFUSED as error:
            raise FeedRefused(
                f"the cluster does not let the user in ({type(error).__name__}): look at --user and"
                " --password-file"
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise FeedRefused(
                f"the cluster's certificate: {error.verify_message}; --ca-file names who signs it"
            ) from None
        except BROKEN as error:
            last = error
    raise last


async def _asked(access: Access, name: str, host: str, port: int) -> Topic:
    connection: AIOKafkaConnection = await create_conn(host, port, client_id="corpus", **access.options())
    try:
        answer = await connection.send(_MetadataQuery(name))
    finally:
        connection.close()
    [(code, _, topic_id, _, partitions, operations, _)] = answer.topics
    error = kafka.for_code(code)
    # whose it is not to see is not told whether it is there
    if error is kafka.TopicAuthorizationFailedError or (operations > 0 and not operations & READ):
        raise FeedRefused(f"the user may not read the topic {name}: is it the partner's own?")
    if error is kafka.UnknownTopicOrPartitionError:
        raise FeedRefused(f"there is no topic {name}: look at --topic")
    if error is not kafka.NoError:
        raise error(name)
    return Topic(topic_id.hex(), len(partitions))


async def within(deadline_s: float, work: Awaitable[T]) -> T:
    """Its result, or TimeoutError. Not `asyncio.timeout`: that waits for the cancelled work to end, and
    aiokafka's may not while a broker is down.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=deadline_s)
        if not task.done():
            raise TimeoutError(f"no answer within {deadline_s:g} s")
        if task.cancelled():  # by itself: who waits is not
            raise ConnectionError("the connection ended")
        return task.result()
    finally:
        if not task.done():
            task.add_done_callback(_hear)
            task.cancel()
            await asyncio.wait({task}, timeout=END_S)


def _hear(task: "asyncio.Future[Any]") -> None:
    """An error that nobody waits for is not one that was never heard of."""
    if not task.cancelled():
        task.exception()


# ── Metadata v12, which aiokafka does not ask in the version that knows a topic's id ───────────

_TEXT: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc] # aiokafka is untyped here
    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value


_BROKER: Final = (("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS)
_PARTITION: Final = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("in_sync", CompactArray(Int32)),
    ("offline", CompactArray(Int32)),
    _TAGS,
)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY: ClassVar = 3
    API_VERSION: ClassVar = 12
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(*_BROKER)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                ("partitions", CompactArray(*_PARTITION)),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    API_KEY: ClassVar = 3
    API_VERSION: ClassVar = 12
    FLEXIBLE_VERSION: ClassVar = True
    RESPONSE_TYPE: ClassVar = _MetadataResponse
    SCHEMA: ClassVar = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        _TAGS,
    )


class _MetadataQuery(Request[_MetadataRequest]):  # type: ignore[misc]
    """Of one topic; makes none."""

    API_KEY: ClassVar = 3

    def __init__(self, name: str) -> None:
        self._topics: list[Any] = [(bytes(16), name, {})]

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        return request_struct_class(self._topics, False, True, {})
