"""What should be on the cluster. Pure.

Every right is one that a run under these users was seen to need (tests/integration/test_provision.py). To
read or write a topic, to write under a transactional id and to read in a group imply DESCRIBE there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from streamer.accounts import GROUP as ROUTE
from streamer.config import LogSettings, Settings
from streamer.deadletters import GROUP as DEFERRED
from streamer.enrich.fleet import GROUP as BUDGET
from streamer.enrich.outbox import GROUP as ENRICH
from streamer.errors import ConfigError
from streamer.log.base import TopicSpec
from streamer.log.kafka_lane import group_id
from streamer.model import Topics
from streamer.partners import Partners
from streamer.reconciled import GROUP as RECONCILE
from streamer.runtime import article_spec, topic_specs
from streamer.source.stage import GROUP as SOURCE

Kind = Literal["topic", "group", "transactional_id"]
Pattern = Literal["literal", "prefixed"]
Quota = Mapping[str, float]

BYTES: Final = "consumer_byte_rate"
REQUESTS: Final = "request_percentage"
QUOTAS: Final = (BYTES, REQUESTS)
"""Those that we set for a partner's user where the settings ask for it; else they are left as they are."""


class Acl(NamedTuple):
    """A user may do `operation` there."""

    user: str
    kind: Kind
    pattern: Pattern
    name: str
    operation: str
    host: str = "*"

    def __str__(self) -> str:
        everything = "*" if self.pattern == "prefixed" else ""
        host = "" if self.host == "*" else f" from {self.host}"
        return f"{self.user}: {self.operation} {self.kind} {self.name}{everything}{host}"


@dataclass(frozen=True, slots=True)
class Desired:
    topics: tuple[TopicSpec, ...]
    users: tuple[str, ...]
    acls: frozenset[Acl]
    quotas: Mapping[str, Quota]
    """By user: those that it should have, whatever else it has."""


@dataclass(frozen=True, slots=True)
class _Rights:
    """`reads` and `writes` are names of Topics; `partners` is what may be done to the partners' topics."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    partners: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Positions are stored in these, in transactions of their own ids."""
    sees: tuple[str, ...] = ()
    """Groups whose positions it looks at; to join one, or to commit there, takes more."""


_ROLES: Final[Mapping[str, _Rights]] = {
    # a role reads what it stores positions at, too: brokers ask for that
    "source": _Rights(reads=("changes",), writes=("changes",), groups=(SOURCE,)),
    "enrich": _Rights(
        reads=("changes", "articles", "withdrawals", "deadletter", "meta", "budget"),
        writes=("changes", "articles", "withdrawals", "signals", "deadletter", "meta", "budget"),
        groups=(ENRICH, DEFERRED, RECONCILE, BUDGET),
        sees=(SOURCE,),  # how far the stream was read
    ),
    "route": _Rights(
        reads=("articles", "withdrawals", "signals", "meta"),
        # the last tells it when a topic that was too small takes more
        partners=("READ", "WRITE", "DESCRIBE_CONFIGS"),
        groups=(ROUTE,),
        sees=(ENRICH,),  # up to where all that was reverted is known
    ),
    "deliver": _Rights(reads=("withdrawals",), partners=("READ",), sees=(ROUTE,)),  # for /v2/status
}


def role_user(prefix: str, role: str) -> str:
    return f"{prefix}-{role}"


def role_users(prefix: str) -> tuple[str, ...]:
    return tuple(role_user(prefix, role) for role in _ROLES)


def desired(settings: Settings, partners: Partners) -> Desired:
    """Raises ConfigError for a partner whose name is another user's."""
    log = settings.log
    for name in partners:
        check_name(name, log, settings.partners.file)
    topics = Topics(log.prefix)
    acls = {acl for role in _ROLES for acl in _of_role(log.prefix, role)}
    for name in partners:
        acls |= partner_acls(topics, name) | {sight_acl(log.prefix, name)}
    return Desired(
        (*topic_specs(settings), *(article_spec(settings, topics.of_partner(name)) for name in partners)),
        (*role_users(log.prefix), *partners),
        frozenset(acls),
        dict.fromkeys(partners, _quota(log)),
    )


def check_name(name: str, log: LogSettings, where: str) -> None:
    """Whoever has the name of a partner gets that partner's rights, and loses its user with it."""
    if name in (*role_users(log.prefix), log.security.username):
        raise ConfigError(
            f"{where}: {name}", "is a user of the service on the cluster: give the partner another name"
        )


def partner_acls(topics: Topics, name: str) -> frozenset[Acl]:
    own = topics.of_partner(name)
    return frozenset(
        {
            Acl(name, "topic", "literal", own, "READ"),
            Acl(name, "topic", "literal", own, "DESCRIBE"),
            Acl(name, "group", "prefixed", f"{name}.", "READ"),
        }
    )


def sight_acl(prefix: str, name: str) -> Acl:
    """Deliver tells the operator how far a partner's own groups are behind: it may look at them."""
    return Acl(role_user(prefix, "deliver"), "group", "prefixed", f"{name}.", "DESCRIBE")


def _of_role(prefix: str, role: str) -> Iterable[Acl]:
    user, rights, topics = role_user(prefix, role), _ROLES[role], Topics(prefix)
    for name in vars(topics).keys() - {*rights.reads, *rights.writes}:
        # at its start it looks whether all are there; to read or to write implies it
        yield Acl(user, "topic", "literal", getattr(topics, name), "DESCRIBE")
    for operation, names in (("READ", rights.reads), ("WRITE", rights.writes)):
        for name in names:
            yield Acl(user, "topic", "literal", getattr(topics, name), operation)
    for operation in rights.partners:
        yield Acl(user, "topic", "prefixed", topics.of_partner(""), operation)
    for group in rights.groups:
        yield Acl(user, "group", "literal", group_id(prefix, group), "READ")
        yield Acl(user, "transactional_id", "prefixed", f"{group_id(prefix, group)}-", "WRITE")
    for group in rights.sees:
        yield Acl(user, "group", "literal", group_id(prefix, group), "DESCRIBE")


def _quota(log: LogSettings) -> Quota:
    asked = {BYTES: log.partner_bytes_per_second, REQUESTS: log.partner_request_percentage}
    return {name: float(value) for name, value in asked.items() if value}
