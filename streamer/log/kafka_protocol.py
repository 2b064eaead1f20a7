"""Five questions that aiokafka doesn't ask in the version that we need.

- Metadata v12 knows a topic's id, by which a topic made anew differs from the one before, and what we
  may do there.
- OffsetFetch v7 with `require_stable` waits for the transaction that is being decided. Without it the
  answer may be the position before the last commit, from which a lane would do its records again.
- IncrementalAlterConfigs v0 leaves alone what it doesn't name: an operator's own settings of a topic.
- DeleteTopics v6 names a topic by its id, so that one made anew meanwhile is not deleted in its place.
- ListGroups v4 tells the groups' states: whether one has members.

All five are older than the oldest broker that is supported (3.0).
"""

from io import BytesIO
from typing import Any, ClassVar, Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

TOPIC: Final = 2
"""The kind of a resource whose settings are asked or changed."""
SET: Final = 0

READ: Final = 1 << 3
WRITE: Final = 1 << 4
DESCRIBE: Final = 1 << 8
"""Of the operations in a topic's metadata."""

_TEXT: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)


class Uuid(AbstractType[bytes]):  # type: ignore[misc] # aiokafka is untyped here
    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value


class MetadataResponse_v12(Response):  # type: ignore[misc] # noqa: N801 - named as aiokafka's are
    API_KEY: ClassVar = 3
    API_VERSION: ClassVar = 12
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class MetadataRequest_v12(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 3
    API_VERSION: ClassVar = 12
    FLEXIBLE_VERSION: ClassVar = True
    RESPONSE_TYPE: ClassVar = MetadataResponse_v12
    SCHEMA: ClassVar = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        _TAGS,
    )


class MetadataQuery(Request[MetadataRequest_v12]):  # type: ignore[misc]
    """Of the topics by name, or of all, with what this user may do there; makes none."""

    API_KEY: ClassVar = 3

    def __init__(self, names: list[str] | None) -> None:
        self._topics: list[Any] | None = None if names is None else [(bytes(16), n, {}) for n in names]

    def build(self, request_struct_class: type[MetadataRequest_v12]) -> MetadataRequest_v12:
        return request_struct_class(self._topics, False, True, {})


class OffsetFetchResponse_v7(Response):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 9
    API_VERSION: ClassVar = 7
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("error_code", Int16),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("error_code", Int16),
        _TAGS,
    )


class OffsetFetchRequest_v7(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 9
    API_VERSION: ClassVar = 7
    FLEXIBLE_VERSION: ClassVar = True
    RESPONSE_TYPE: ClassVar = OffsetFetchResponse_v7
    SCHEMA: ClassVar = Schema(
        ("group_id", _TEXT),
        ("topics", CompactArray(("name", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)),
        ("require_stable", Boolean),
        _TAGS,
    )


class OffsetsQuery(Request[OffsetFetchRequest_v7]):  # type: ignore[misc]
    """All that a group has committed, or at some partitions."""

    API_KEY: ClassVar = 9

    def __init__(self, group: str, partitions: dict[str, list[int]] | None) -> None:
        self._group = group
        self._topics: list[Any] | None = None
        if partitions is not None:
            self._topics = [(name, numbers, {}) for name, numbers in partitions.items()]

    def build(self, request_struct_class: type[OffsetFetchRequest_v7]) -> OffsetFetchRequest_v7:
        return request_struct_class(self._group, self._topics, True, {})


class AlterResponse_v0(Response):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 44
    API_VERSION: ClassVar = 0
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("name", String("utf-8")),
            ),
        ),
    )


class AlterRequest_v0(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 44
    API_VERSION: ClassVar = 0
    RESPONSE_TYPE: ClassVar = AlterResponse_v0
    SCHEMA: ClassVar = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("name", String("utf-8")),
                (
                    "configs",
                    Array(("name", String("utf-8")), ("operation", Int8), ("value", String("utf-8"))),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class AlterTopics(Request[AlterRequest_v0]):  # type: ignore[misc]
    """Sets some settings of topics: `{topic: {setting: value}}`."""

    API_KEY: ClassVar = 44

    def __init__(self, settings: dict[str, dict[str, str]]) -> None:
        self._resources = [
            (TOPIC, topic, [(name, SET, value) for name, value in values.items()])
            for topic, values in settings.items()
        ]

    def build(self, request_struct_class: type[AlterRequest_v0]) -> AlterRequest_v0:
        return request_struct_class(self._resources, False)


class DeleteTopicsResponse_v6(Response):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 20
    API_VERSION: ClassVar = 6
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            CompactArray(
                ("name", _TEXT),
                ("topic_id", Uuid),
                ("error_code", Int16),
                ("error_message", _TEXT),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class DeleteTopicsRequest_v6(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 20
    API_VERSION: ClassVar = 6
    FLEXIBLE_VERSION: ClassVar = True
    RESPONSE_TYPE: ClassVar = DeleteTopicsResponse_v6
    SCHEMA: ClassVar = Schema(
        ("topics", CompactArray(("name", _TEXT), ("topic_id", Uuid), _TAGS)),
        ("timeout_ms", Int32),
        _TAGS,
    )


class DeleteTopic(Request[DeleteTopicsRequest_v6]):  # type: ignore[misc]
    """One topic, by its id."""

    API_KEY: ClassVar = 20

    def __init__(self, topic_id: bytes, timeout_ms: int) -> None:
        self._topic_id = topic_id
        self._timeout_ms = timeout_ms

    def build(self, request_struct_class: type[DeleteTopicsRequest_v6]) -> DeleteTopicsRequest_v6:
        return request_struct_class([(None, self._topic_id, {})], self._timeout_ms, {})


class ListGroupsResponse_v4(Response):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 16
    API_VERSION: ClassVar = 4
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "groups",
            CompactArray(("group_id", _TEXT), ("protocol_type", _TEXT), ("group_state", _TEXT), _TAGS),
        ),
        _TAGS,
    )


class ListGroupsRequest_v4(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 16
    API_VERSION: ClassVar = 4
    FLEXIBLE_VERSION: ClassVar = True
    RESPONSE_TYPE: ClassVar = ListGroupsResponse_v4
    SCHEMA: ClassVar = Schema(("states_filter", CompactArray(_TEXT)), _TAGS)


class GroupsQuery(Request[ListGroupsRequest_v4]):  # type: ignore[misc]
    """The groups that one broker keeps, as far as this user may see them, with their states."""

    API_KEY: ClassVar = 16

    def build(self, request_struct_class: type[ListGroupsRequest_v4]) -> ListGroupsRequest_v4:
        return request_struct_class([], {})
