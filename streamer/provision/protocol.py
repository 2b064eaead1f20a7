"""Users, their quotas and their ACLs, where no Python client asks, or none well.

- AlterClientQuotas v0 (Kafka 2.6), and what DescribeClientQuotas answers.
- DescribeUserScramCredentials v0 (Kafka 2.7), of users by name. Asked for all of them, a broker that refuses
  fails over its own refusal (4.1), and librdkafka, which can ask too, ends the process (2.16).
- DescribeAcls v1 (Kafka 2.0): librdkafka doesn't tell a cluster without an authorizer from one without ACLs.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from aiokafka.protocol.admin import DescribeClientQuotasRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Float64,
    Int8,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

from streamer.provision.desired import Quota

USER: Final = "user"
ANY: Final = 2
"""All users that have a quota of their own, and the default of those that have none."""

MECHANISMS: Final = {1: "SCRAM-SHA-256", 2: "SCRAM-SHA-512"}

NO_AUTHORIZER: Final = 54
"""SECURITY_DISABLED."""
_ANY: Final = 1
_ALLOW: Final = 3

_TEXT: Final = String("utf-8")
_COMPACT: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)
_ENTITY: Final = ("entity", Array(("entity_type", _TEXT), ("entity_name", _TEXT)))


class AlterQuotasResponse_v0(Response):  # type: ignore[misc] # noqa: N801 - named as aiokafka's are
    API_KEY: ClassVar = 49
    API_VERSION: ClassVar = 0
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        ("entries", Array(("error_code", Int16), ("error_message", _TEXT), _ENTITY)),
    )


class AlterQuotasRequest_v0(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 49
    API_VERSION: ClassVar = 0
    RESPONSE_TYPE: ClassVar = AlterQuotasResponse_v0
    SCHEMA: ClassVar = Schema(
        ("entries", Array(_ENTITY, ("ops", Array(("key", _TEXT), ("value", Float64), ("remove", Boolean))))),
        ("validate_only", Boolean),
    )


class AlterQuotas(Request[AlterQuotasRequest_v0]):  # type: ignore[misc]
    """Sets some quotas of users, None takes one away; the others stay."""

    API_KEY: ClassVar = 49

    def __init__(self, changes: Mapping[str, Mapping[str, float | None]]) -> None:
        self._entries = [
            ([(USER, user)], [(name, value or 0.0, value is None) for name, value in values.items()])
            for user, values in changes.items()
        ]

    def build(self, request_struct_class: type[AlterQuotasRequest_v0]) -> AlterQuotasRequest_v0:
        return request_struct_class(self._entries, False)


def quotas_query() -> DescribeClientQuotasRequest:
    """Of users alone: those of a user and a client id together are another thing."""
    return DescribeClientQuotasRequest([(USER, ANY, None)], True)


def quotas_of(entries: Iterable[Any]) -> dict[str, Quota]:
    """By user, of the answer's entries; the default's is left out."""
    found: dict[str, Quota] = {}
    for entity, values in entries:
        for kind, name in entity:
            if kind == USER and name is not None:
                found[name] = dict(values)
    return found


class UsersResponse_v0(Response):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 50
    API_VERSION: ClassVar = 0
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", _COMPACT),
        (
            "results",
            CompactArray(
                ("user", _COMPACT),
                ("error_code", Int16),
                ("error_message", _COMPACT),
                ("credentials", CompactArray(("mechanism", Int8), ("iterations", Int32), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class UsersRequest_v0(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 50
    API_VERSION: ClassVar = 0
    FLEXIBLE_VERSION: ClassVar = True
    RESPONSE_TYPE: ClassVar = UsersResponse_v0
    SCHEMA: ClassVar = Schema(("users", CompactArray(("name", _COMPACT), _TAGS)), _TAGS)


class UsersQuery(Request[UsersRequest_v0]):  # type: ignore[misc]
    """How users log in, of some by name."""

    API_KEY: ClassVar = 50

    def __init__(self, names: Iterable[str]) -> None:
        self._users: list[Any] = [(name, {}) for name in names]

    def build(self, request_struct_class: type[UsersRequest_v0]) -> UsersRequest_v0:
        return request_struct_class(self._users, {})


def users_of(results: Iterable[Any]) -> dict[str, frozenset[str]]:
    """The mechanisms of each that exists, of the answer's results."""
    return {
        user: frozenset(MECHANISMS[mechanism] for mechanism, *_ in credentials)
        for user, _, _, credentials, _ in results
        if credentials
    }


class AclsResponse_v1(Response):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 29
    API_VERSION: ClassVar = 1
    SCHEMA: ClassVar = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", _TEXT),
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", _TEXT),
                ("pattern_type", Int8),
                (
                    "acls",
                    Array(("principal", _TEXT), ("host", _TEXT), ("operation", Int8), ("permission", Int8)),
                ),
            ),
        ),
    )


class AclsRequest_v1(RequestStruct):  # type: ignore[misc] # noqa: N801
    API_KEY: ClassVar = 29
    API_VERSION: ClassVar = 1
    RESPONSE_TYPE: ClassVar = AclsResponse_v1
    SCHEMA: ClassVar = Schema(
        ("resource_type", Int8),
        ("resource_name", _TEXT),
        ("pattern_type", Int8),
        ("principal", _TEXT),
        ("host", _TEXT),
        ("operation", Int8),
        ("permission", Int8),
    )


class AclsQuery(Request[AclsRequest_v1]):  # type: ignore[misc]
    """All ACLs that allow something."""

    API_KEY: ClassVar = 29

    def build(self, request_struct_class: type[AclsRequest_v1]) -> AclsRequest_v1:
        return request_struct_class(_ANY, None, _ANY, None, None, _ANY, _ALLOW)
