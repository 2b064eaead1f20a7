"""What has to be done to a cluster, decided without one."""

from collections.abc import Iterable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from streamer.config import LogSettings, SecuritySettings, Settings
from streamer.errors import ConfigError
from streamer.model import Topics
from streamer.partners import Partner, Partners
from streamer.provision.desired import Acl, desired, partner_acls, role_users, sight_acl
from streamer.provision.plan import Kept, Present, Step, of_one, plan, stale, summary

LOG = LogSettings(
    kind="kafka",
    security=SecuritySettings(username="admin"),
    partner_bytes_per_second=1_000_000,
)
SETTINGS = Settings(log=LOG)
TOPICS = Topics("wiki")
PARTNERS: Partners = {name: Partner(name=name) for name in ("acme", "beta")}
WANTED = desired(SETTINGS, PARTNERS)
SCRAM = frozenset({"SCRAM-SHA-512"})
ALL_KEPT = Kept(done=frozenset(WANTED.users))
DONE = Present(
    topics=frozenset(spec.name for spec in WANTED.topics),
    users=dict.fromkeys(WANTED.users, SCRAM),
    acls=WANTED.acls,
    quotas=WANTED.quotas,
)


def acl(
    user: str, name: str, operation: str = "READ", *, pattern: str = "literal", kind: str = "topic"
) -> Acl:
    return msgspec.convert((user, kind, pattern, name, operation, "*"), Acl)


def steps(present: Present, kept: Kept = ALL_KEPT, new: Iterable[str] = ()) -> list[Step]:
    return plan("wiki", WANTED, present, kept, new_passwords=frozenset(new))


def done(found: Iterable[Step]) -> list[str]:
    return [str(step) for step in found if step.does]


def applied(present: Present, found: Iterable[Step]) -> Present:
    """A cluster that does what it is told."""
    found = list(found)
    acls = None
    if present.acls is not None:
        added = {step.acl for step in found if step.acl and step.verb == "make"}
        acls = frozenset((present.acls | added) - {step.acl for step in found if step.verb == "remove"})
    quotas = {user: dict(values) for user, values in present.quotas.items()}
    for step in found:
        for name, value in (step.quota or ("", {}))[1].items():
            assert step.quota
            values = quotas.setdefault(step.quota[0], {})
            values[name] = value
    users = {step.user for step in found if step.user}
    return Present(
        topics=present.topics | {step.topic.name for step in found if step.topic},
        users={user: present.users.get(user, frozenset()) | (SCRAM if user in users else frozenset())
               for user in {*present.users, *users}},
        acls=acls,
        quotas=quotas,
    )  # fmt: skip


def test_everything_is_made_once() -> None:
    """On an empty cluster all is made; on what came of it nothing is done, and each thing is said to be
    right.
    """
    first = steps(Present(), Kept())
    assert {step.verb for step in first} == {"make"}
    assert len({str(step) for step in first}) == len(first)
    again = steps(applied(Present(), first))
    assert {step.verb for step in again} == {"right"}
    assert len(again) == len(first)
    assert summary(again, dry_run=False) == f"nothing to do, {len(first)} already right"
    assert summary(first, dry_run=True) == f"{len(first)} to make, 0 already right"


def test_a_partner_gets_its_topic_and_its_groups() -> None:
    """READ and DESCRIBE on its own topic, READ on groups that begin with its name and a dot; nothing else."""
    assert {found for found in WANTED.acls if found.user == "acme"} == {
        acl("acme", "wiki.articles.v1.acme"),
        acl("acme", "wiki.articles.v1.acme", "DESCRIBE"),
        acl("acme", "acme.", kind="group", pattern="prefixed"),
    }


def test_no_role_may_do_what_another_is_for() -> None:
    """Only enrich writes articles and cut-offs, only route partners' topics, deliver nothing; none may make a
    topic, or change what it is.
    """
    may = {(found.user, found.operation, found.name) for found in WANTED.acls if found.kind == "topic"}
    writers = {name: {user for user, operation, at in may if operation == "WRITE" and at == name}
               for name in (*vars(TOPICS).values(), "wiki.articles.v1.")}  # fmt: skip
    assert writers == {
        TOPICS.changes: {"wiki-source", "wiki-enrich"},
        TOPICS.budget: {"wiki-enrich"},
        TOPICS.articles: {"wiki-enrich"},
        TOPICS.withdrawals: {"wiki-enrich"},
        TOPICS.signals: {"wiki-enrich"},
        TOPICS.deadletter: {"wiki-enrich"},
        TOPICS.meta: {"wiki-enrich"},
        "wiki.articles.v1.": {"wiki-route"},
    }
    assert {operation for _, operation, _ in may} == {"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"}


def test_deliver_may_look_at_positions_and_no_more() -> None:
    """What faces the internet may write nothing and commit nowhere: the group of route is only seen, and
    those of partners, for how far they are behind.
    """
    rights = {found for found in WANTED.acls if found.user == "wiki-deliver"}
    assert {found.operation for found in rights} == {"READ", "DESCRIBE"}
    assert {found for found in rights if found.kind != "topic"} == {
        acl("wiki-deliver", "wiki-route", "DESCRIBE", kind="group"),
        *(acl("wiki-deliver", f"{name}.", "DESCRIBE", kind="group", pattern="prefixed") for name in PARTNERS),
    }


def test_a_partner_may_not_have_a_users_name() -> None:
    """One that is called as a role's user, or as the administrator, would get and lose what is theirs."""
    for name in (*role_users("wiki"), "admin"):
        with pytest.raises(ConfigError, match="another name"):
            desired(SETTINGS, {name: Partner(name=name)})


def test_who_is_no_partner_any_more_may_nothing() -> None:
    """Its ACLs go, and deliver's on its groups; topic and user stay for `partner remove --purge`."""
    old = partner_acls(TOPICS, "gone") | {sight_acl("wiki", "gone")}
    present = Present(
        topics=DONE.topics | {"wiki.articles.v1.gone"},
        users={**DONE.users, "gone": SCRAM},
        acls=WANTED.acls | old,
        quotas=DONE.quotas,
    )
    assert {step.acl for step in steps(present) if step.does} == old


def test_a_user_of_ours_keeps_no_right_too_many() -> None:
    """What an earlier version, or a hand, gave our users on what is ours is taken back."""
    extra = {
        acl("wiki-deliver", TOPICS.articles, "WRITE"),
        acl("acme", "wiki.articles.v1.beta"),
        acl("acme", "wiki.", pattern="prefixed"),
        acl("acme", "acme.", "DELETE", kind="group", pattern="prefixed"),
        acl("wiki-source", "wiki-route", kind="group"),
        acl("wiki-source", "wiki-route-", "WRITE", kind="transactional_id", pattern="prefixed"),
    }
    assert set(stale("wiki", WANTED, WANTED.acls | extra)) == extra


def test_rights_that_reach_our_topics_from_outside_are_told() -> None:
    """Another user's or everybody's there, and one of ours that is wider than our topics: they stay, each
    with a note. Those elsewhere are not spoken of.
    """
    wide = [
        acl("acme", "*"),
        acl("acme", "wi", pattern="prefixed"),
        acl("*", "wiki.", pattern="prefixed"),
        acl("monitoring", TOPICS.changes),
    ]
    elsewhere = [
        acl("acme", "orders"),
        acl("acme", "wiki2.", pattern="prefixed"),
        acl("acme", "wi"),
        acl("acme", "*", kind="group"),
    ]
    found = steps(replace(DONE, acls=WANTED.acls | {*wide, *elsewhere}))
    assert done(found) == []
    assert [str(step) for step in found if step.verb == "note"] == [
        f"note   acl {each}: reaches our topics, and is not ours to remove" for each in sorted(wide)
    ]


FOREIGN = [
    acl("acme", "orders"),
    acl("acme", "wiki2.articles.v1"),
    acl("acme", "billing", kind="group"),
    acl("monitoring", TOPICS.changes),
    acl("monitoring", "wiki.articles.v1.acme"),
    acl("other", "other.", kind="group", pattern="prefixed"),
    acl("wiki-deliver", "wikidata", "WRITE"),
    acl("*", TOPICS.deadletter),
]


@given(
    ours=some.sets(some.sampled_from(sorted(WANTED.acls))),
    foreign=some.sets(some.sampled_from(FOREIGN)),
    past=some.sets(some.sampled_from(["gone", "late"])),
    users=some.sets(some.sampled_from(WANTED.users)),
    topics=some.sets(some.sampled_from(sorted(DONE.topics))),
    quotas=some.dictionaries(
        some.sampled_from(["acme", "beta", "stranger"]),
        some.dictionaries(
            some.sampled_from(["consumer_byte_rate", "request_percentage", "producer_byte_rate"]),
            some.sampled_from([1.0, 1_000_000.0]),
        ),
    ),
)
def test_one_run_is_enough_and_touches_nobody_else(
    *,
    ours: set[Acl],
    foreign: set[Acl],
    past: set[str],
    users: set[str],
    topics: set[str],
    quotas: dict[str, dict[str, float]],
) -> None:
    """Whatever was there, after one run nothing is left to do; what is other people's is as it was."""
    old = {each for name in past for each in partner_acls(TOPICS, name)}
    before = Present(
        topics=frozenset(topics) | {"orders"},
        users={"stranger": SCRAM, **dict.fromkeys(users, SCRAM)},
        acls=frozenset(ours | foreign | old),
        quotas=quotas,
    )
    after = applied(before, steps(before))
    assert done(steps(after)) == []
    assert after.acls == WANTED.acls | foreign
    assert after.users.keys() == {"stranger", *WANTED.users}
    assert after.quotas.get("stranger") == quotas.get("stranger")
    for user in ("acme", "beta"):
        assert after.quotas[user] == {**quotas.get(user, {}), "consumer_byte_rate": 1_000_000.0}


def test_quotas_that_are_not_asked_for_are_left() -> None:
    """What an operator has set by hand stays while the settings ask for nothing; what they ask for is set
    beside it.
    """
    by_hand = {"acme": {"consumer_byte_rate": 5.0, "request_percentage": 7.0}}
    present = replace(DONE, quotas=by_hand)
    unasked = desired(Settings(log=msgspec.structs.replace(LOG, partner_bytes_per_second=0)), PARTNERS)
    assert not [step for step in plan("wiki", unasked, present, ALL_KEPT) if step.quota]
    (of_acme, _) = [step.quota for step in steps(present) if step.quota]
    assert of_acme == ("acme", {"consumer_byte_rate": 1_000_000.0})


def test_partner_of_two_installations_keeps_what_the_other_needs() -> None:
    """Two prefixes on one cluster with a partner of one name share its user: the groups stay."""
    both = partner_acls(TOPICS, "acme") | partner_acls(Topics("test"), "acme")
    assert {found.kind for found in of_one(TOPICS, "acme", both)} == {"topic"}
    assert of_one(TOPICS, "acme", partner_acls(TOPICS, "acme")) == partner_acls(TOPICS, "acme")


def test_passwords_are_set_only_where_they_must() -> None:
    """For who has none, for who is named, and where an earlier run may have ended in the middle; an unknown
    one stays, and is told.
    """
    assert done(steps(DONE, ALL_KEPT)) == []
    assert done(steps(DONE, new=["acme"])) == ["change user acme: a new password"]
    assert [step.is_new for step in steps(DONE, new=["acme"]) if step.user] == [True]
    begun = Kept(done=ALL_KEPT.done, begun=frozenset({"acme"}))
    assert [step.user for step in steps(DONE, begun) if step.does] == ["acme"]
    lost = Kept(done=ALL_KEPT.done - {"beta"})
    told = [str(step) for step in steps(DONE, lost) if step.verb == "note"]
    assert len(told) == 1
    assert "beta keeps its password" in told[0]
    assert "--new-password beta" in told[0]


def test_a_strangers_user_is_not_adopted() -> None:
    """One that exists, with no right of ours and no password here, is refused by name, be it a partner's or a
    role's, whatever its own rights and groups are; a right on its topic, under any prefix, a password here or
    `--new-password` makes it ours.
    """
    none = Kept()
    marks = {
        "acme": partner_acls(Topics("other"), "acme"),
        "wiki-route": {each for each in WANTED.acls if each.user == "wiki-route"},
    }
    for user, of_it in marks.items():
        own = {
            acl(user, "wiki.", pattern="prefixed"),
            acl(user, f"{user}.", kind="group", pattern="prefixed"),
        }
        stranger = Present(users={user: SCRAM}, acls=frozenset(own))
        with pytest.raises(ConfigError, match=f"{user}: exists already.*--new-password {user}"):
            steps(stranger, none)
        with pytest.raises(ConfigError, match="exists already"):
            steps(Present(users={user: SCRAM}, acls=None), none)
        assert steps(stranger, Kept(done=frozenset({user})))
        assert steps(stranger, Kept(begun=frozenset({user})))
        assert steps(stranger, none, new=[user])
        for each in of_it:
            if each.kind == "topic":
                assert steps(Present(users={user: SCRAM}, acls=frozenset({each})), none)


def test_a_partner_that_comes_again_gets_another_password() -> None:
    """A file of the one that was purged may live on; one whose rights are there lost its user alone, and
    what lies here is given to it again, as to a role, whose processes have it.
    """
    present = Present(acls=partner_acls(TOPICS, "beta"))
    found = {step.user: step.is_new for step in steps(present) if step.user}
    assert found == {"acme": True, "beta": False, **dict.fromkeys(role_users("wiki"), False)}


def test_cluster_without_authorizer_is_told() -> None:
    """No ACL is planned where none can be, and it is said what that means."""
    found = steps(Present(topics=DONE.topics, users=DONE.users, acls=None, quotas=DONE.quotas))
    assert done(found) == []
    assert any("anybody may do anything" in str(step) for step in found)
