"""What has to be done to a cluster so that it is as desired. Pure.

Never named here, and so never touched: other people's topics and users, what they may do, what is denied to
anybody, and what our users may do elsewhere than on our topics, groups and transactional ids.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from streamer.errors import ConfigError
from streamer.log.base import TopicSpec
from streamer.model import Topics
from streamer.provision.desired import Acl, Desired, Quota, partner_acls, role_users, sight_acl

Verb = Literal["make", "change", "remove", "right", "note"]
MECHANISM: Final = "SCRAM-SHA-512"


@dataclass(frozen=True, slots=True)
class Present:
    """What was found. `settings`: of the desired topics that exist, what differs from their policy. `acls`:
    all that allow a user something; None where the cluster has no authorizer.
    """

    topics: frozenset[str] = frozenset()
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The mechanisms of each."""
    acls: frozenset[Acl] | None = frozenset()
    quotas: Mapping[str, Quota] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """Passwords that lie here: `done` are in force, `begun` were written and not yet seen to be."""

    done: frozenset[str] = frozenset()
    begun: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing. A `right` one is as it should be, and a `note` is for the operator: both do nothing."""

    verb: Verb
    what: str
    topic: TopicSpec | None = None
    settings: Mapping[str, str] | None = None
    user: str | None = None
    """That gets a password."""
    is_new: bool = False
    """A password that nobody has seen yet, whatever lies here."""
    acl: Acl | None = None
    quota: tuple[str, Quota] | None = None
    """A user, and the values that change."""

    @property
    def does(self) -> bool:
        return self.verb not in ("right", "note")

    def __str__(self) -> str:
        return f"{self.verb:<7}{self.what}"


def plan(
    prefix: str, desired: Desired, present: Present, kept: Kept, *, new_passwords: Collection[str] = ()
) -> list[Step]:
    """In the order in which it is done: a user is bounded before it is allowed anything, and what it may do
    is never less in between than before and after. Raises ConfigError for a user that is a stranger's.
    """
    _check_strangers(prefix, desired, present, kept, new_passwords)
    return [
        *_topics(prefix, desired, present),
        *_users(prefix, desired, present, kept, new_passwords),
        *_quotas(desired, present),
        *_acls(prefix, desired, present),
    ]


def _topics(prefix: str, desired: Desired, present: Present) -> Iterator[Step]:
    for spec in desired.topics:
        what = f"topic {spec.name}"
        differing = present.settings.get(spec.name, {})
        if spec.name not in present.topics:
            yield Step("make", what, topic=spec)
        elif differing:
            told = ", ".join(f"{name}={value}" for name, value in sorted(differing.items()))
            yield Step("change", f"{what}: {told}", topic=spec, settings=differing)
        else:
            yield Step("right", what)
    of_partners = Topics(prefix).of_partner("")
    for name in sorted(present.topics - {spec.name for spec in desired.topics}):
        if name.startswith(of_partners):
            partner = name.removeprefix(of_partners)
            yield Step("note", f"{name} is no partner's: `streamer partner remove {partner} --purge` ends it")


def _check_strangers(
    prefix: str, desired: Desired, present: Present, kept: Kept, new_passwords: Collection[str]
) -> None:
    """To adopt one would change what it may do; to purge the partner later would end it."""
    known = {*kept.done, *kept.begun, *new_passwords}
    acls = present.acls or frozenset()
    ours = {acl.user for acl in acls & desired.acls if acl.user in role_users(prefix)}
    strangers = [
        user
        for user in desired.users
        if present.users.get(user) and user not in {*known, *ours} and not has_topic(user, acls)
    ]
    if strangers:
        raise ConfigError(
            f"user {', '.join(strangers)}",
            "exists already, and was not made by provision (no rights of ours, no password here):"
            f" `--new-password {strangers[0]}` takes it over. If it is another's, name the partner otherwise",
        )


def has_topic(name: str, present: Iterable[Acl]) -> bool:
    """Whether some installation on this cluster, of any prefix, has made a user of this name its partner. Its
    groups prove nothing: anybody's may begin with their own name.
    """
    return any(
        acl.user == name
        and acl.kind == "topic"
        and acl in partner_acls(Topics(acl.name.partition(".")[0]), name)
        for acl in present
    )


def _users(
    prefix: str, desired: Desired, present: Present, kept: Kept, new_passwords: Collection[str]
) -> Iterator[Step]:
    roles = role_users(prefix)
    for user in desired.users:
        what = f"user {user}"
        mechanisms = present.users.get(user, frozenset())
        if user in new_passwords:
            yield Step("change", f"{what}: a new password", user=user, is_new=True)
        elif not mechanisms:
            # a partner that has its rights was lost by the cluster, and keeps the password that lies here;
            # one without any comes anew, and that may be of somebody who had its name before
            is_new = user not in roles and not has_topic(user, present.acls or ())
            yield Step("make", what, user=user, is_new=is_new)
        elif user in kept.begun:  # an earlier run ended there, on one side of the change or the other
            yield Step("change", f"{what}: the password that an earlier run began with", user=user)
        else:
            yield Step("right", what)
            if MECHANISM not in mechanisms:
                yield Step("note", f"{user} has no {MECHANISM}: --new-password {user} gives it one")
            elif user not in kept.done:
                yield Step(
                    "note",
                    f"{user} keeps its password, which is not here: --new-password {user} replaces it",
                )


def _quotas(desired: Desired, present: Present) -> Iterator[Step]:
    for user, wanted in desired.quotas.items():
        if not wanted:
            continue
        found = present.quotas.get(user, {})
        changes = {name: value for name, value in wanted.items() if found.get(name) != value}
        told = ", ".join(f"{name}={value:g}" for name, value in sorted(wanted.items()))
        what = f"quota {user}: {told}"
        if changes:
            yield Step("change" if changes.keys() & found else "make", what, quota=(user, changes))
        else:
            yield Step("right", what)


def _acls(prefix: str, desired: Desired, present: Present) -> Iterator[Step]:
    if present.acls is None:
        yield Step("note", "the cluster has no authorizer: no ACLs are made, anybody may do anything")
        return
    for acl in sorted(desired.acls):
        yield Step("right" if acl in present.acls else "make", f"acl {acl}", acl=acl)
    gone = set(stale(prefix, desired, present.acls))
    for acl in sorted(gone):
        yield Step("remove", f"acl {acl}", acl=acl)
    for acl in sorted(present.acls - desired.acls - gone):
        if _covers(prefix, acl):
            yield Step("note", f"acl {acl}: reaches our topics, and is not ours to remove")


def _covers(prefix: str, acl: Acl) -> bool:
    """Whether it is about topics of ours, among others perhaps."""
    if acl.kind != "topic":
        return False
    ours = f"{prefix}."
    wider = ours.startswith(acl.name) if acl.pattern == "prefixed" else acl.name == "*"
    return wider or acl.name.startswith(ours)


def stale(prefix: str, desired: Desired, present: Collection[Acl]) -> Iterator[Acl]:
    """Ours, and not to be any more: of our users, where they may do more with what is ours than they should;
    of partners that are no more, what a partner has.
    """
    ours = {*role_users(prefix), *desired.users}
    topics = Topics(prefix)
    of_partners = topics.of_partner("")
    past = {
        acl.user
        for acl in present
        if acl.kind == "topic" and acl.name == f"{of_partners}{acl.user}" and acl.user not in ours
    }
    for acl in set(present) - desired.acls:
        if acl.user in ours:
            if _is_ours(prefix, acl):
                yield acl
        elif acl.user in past and acl in of_one(topics, acl.user, present):
            yield acl


def of_one(topics: Topics, name: str, present: Iterable[Acl]) -> set[Acl]:
    """What a partner of this name has, as we gave it. Its groups stay where the partner is one of another
    installation on this cluster too.
    """
    found = partner_acls(topics, name) & set(present)
    if is_elsewhere(topics, name, present):
        return {acl for acl in found if acl.kind == "topic"}
    return set(found)


def is_elsewhere(topics: Topics, name: str, present: Iterable[Acl]) -> bool:
    """Whether another installation, with another prefix, has a partner of this name: the same user."""
    tail = topics.of_partner(name).partition(".")[2]
    return any(
        acl.user == name
        and acl.kind == "topic"
        and acl.name != topics.of_partner(name)
        and acl.name.partition(".")[2] == tail
        for acl in present
    )


def _is_ours(prefix: str, acl: Acl) -> bool:
    """Whether it is about something that only we give rights to."""
    if acl.kind == "topic":
        return acl.name.startswith(f"{prefix}.")
    if acl.kind == "group" and acl.name.startswith(f"{acl.user}."):
        return True
    if acl == sight_acl(prefix, acl.name.removesuffix(".")):
        return True
    return acl.name.startswith(f"{prefix}-")


def summary(steps: Collection[Step], *, dry_run: bool) -> str:
    """E.g. `3 made, 41 already right`, or of a dry run `3 to make, 41 already right`."""
    words: dict[Verb, str] = {"make": "made", "change": "changed", "remove": "removed"}
    counts = {verb: sum(step.verb == verb for step in steps) for verb in words}
    told = [
        f"{count} to {verb}" if dry_run else f"{count} {words[verb]}"
        for verb, count in counts.items()
        if count
    ]
    right = sum(step.verb == "right" for step in steps)
    return ", ".join([*(told or ["nothing to do"]), f"{right} already right"])
