"""`streamer provision` and `partner remove --purge`, on a broker with SASL/SCRAM, TLS and the authorizer.

Whoever judges is librdkafka, aiokafka and Kafka's own commands, under the users that were made.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka
from harness import strimzi
from harness.brokers import standing
from harness.certificates import self_signed
from harness.feed import Feed
from harness.kafka_users import User, ask
from harness.patience import answered
from harness.service import Service, free_port

from consumers import feeds
from consumers.errors import FeedRefused
from consumers.event import Feed as CorpusFeed
from deploy.kafka import Brokers
from streamer.check.cluster import cluster_of
from streamer.config import LogSettings, Settings, load
from streamer.log.base import Record, TopicPartition
from streamer.log.kafka import KafkaLog
from streamer.log.kafka_client import Access
from streamer.log.kafka_protocol import AlterTopics
from streamer.log.table import Table
from streamer.model import Topics
from streamer.partners import NOBODY, hash_key
from streamer.provision.cluster import Admin
from streamer.provision.desired import Acl, role_users
from streamer.provision.passwords import Passwords
from streamer.provision.plan import Step
from streamer.provision.purge import purge_from_cluster
from streamer.route.reverts import Horizon, Reverts
from streamer.route.starts import Starts, record_start
from streamer.runtime import Runtime, article_spec
from streamer.sandbox.pages import Deed
from streamer.sandbox.server import Sandbox, SandboxOptions

pytestmark = [pytest.mark.xdist_group("kafka-secure"), pytest.mark.timeout(600)]

ROLES = ("source", "enrich", "route", "deliver")
LAG_S = 2.0
COMMAND_S = 120.0
REFUSED_TOPIC = "TOPIC_AUTHORIZATION_FAILED"
REFUSED_GROUP = "GROUP_AUTHORIZATION_FAILED"
REFUSED_ID = "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
SILENCE_S = 2.0
"""Ten times as long as a record takes."""


@dataclass(slots=True)
class Operator:
    """Who types commands, in a folder of their own, as the administrator or somebody else."""

    brokers: Brokers
    folder: Path
    prefix: str
    settings: str = ""
    """Of [log]."""
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix)

    @property
    def admin(self) -> User:
        return User(self.brokers, self.brokers.username, self.brokers.password)

    def user(self, name: str) -> User:
        """With the password that was written for it."""
        return User(self.brokers, name, (self.folder / "secrets" / name).read_text().strip())

    def environ(self, name: str, password: str) -> dict[str, str]:
        return {"STREAMER_LOG__SECURITY__USERNAME": name, "STREAMER_LOG__SECURITY__PASSWORD": password}

    def config(self, more: str = "") -> str:
        return f"""
[log]
kind = "kafka"
bootstrap = ["{self.brokers.bootstrap}"]
prefix = "{self.prefix}"
replication = 1
{self.settings}
[log.security]
protocol = "SASL_SSL"
ca_file = "{self.brokers.ca_file}"
[partners]
file = "{self.folder / "partners.toml"}"
{more}"""

    def run(
        self, *words: str, code: int | None = 0, environ: dict[str, str] | None = None
    ) -> tuple[list[str], str]:
        """What it printed on either, as the administrator unless `environ` is somebody else's. `code`
        None: it may end with any.
        """
        config = self.folder / "streamer.toml"
        if not config.exists():
            config.write_text(self.config())
        ran = subprocess.run(
            [sys.executable, "-m", "streamer", *words],
            cwd=self.folder,
            env={
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
                **(environ or self.environ(self.brokers.username, self.brokers.password)),
            },
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert code is None or ran.returncode == code, (words, ran.stdout, ran.stderr)
        assert "Traceback" not in ran.stderr
        return ran.stdout.splitlines(), ran.stderr

    def add(self, *names: str) -> None:
        """Partners, by hand: `partner add` notes in the log where each begins, and makes topics for that."""
        with (self.folder / "partners.toml").open("a") as out:
            for name in names:
                self.keys[name] = f"wrs_key_of_{name}"
                out.write(f'[{name}]\nkeys = ["{hash_key(self.keys[name])}"]\n')

    @asynccontextmanager
    async def log(self, user: User | None = None) -> AsyncIterator[KafkaLog]:
        security = (user or self.admin).security
        async with KafkaLog(
            (self.brokers.bootstrap,), security=security, prefix=self.prefix, replication=1
        ) as log:
            yield log


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    with standing(tmp_path_factory.mktemp("secure"), secure=True) as running:
        yield running


@pytest.fixture(scope="module")
def operator(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Who has provisioned two partners; nothing is in their topics but what a test puts there."""
    operator = Operator(
        brokers, tmp_path_factory.mktemp("operator"), "wiki", "partner_bytes_per_second = 100_000"
    )
    operator.add("acme", "beta")
    operator.run("provision")
    return operator


def begun(lines: list[str], *words: str) -> list[str]:
    return [line for line in lines if line.split()[0] in words]


async def test_a_dry_run_touches_nothing_and_a_second_run_changes_nothing(
    brokers: Brokers, tmp_path: Path
) -> None:
    """The dry run prints what the run then does, and refuses what can't be done; the run after that finds all
    of it right. Passwords are in files of their owner alone, and are never printed.
    """
    operator = Operator(brokers, tmp_path, "twice")
    operator.add("carol")
    few = {**operator.environ(brokers.username, brokers.password), "STREAMER_LOG__REPLICATION": "2"}
    _, said = operator.run("provision", "--dry-run", code=2, environ=few)
    assert "log.replication: 2 is more than the cluster has brokers: 1" in said
    dry, _ = operator.run("provision", "--dry-run")
    assert not (tmp_path / "secrets").exists()
    async with operator.log() as log:
        assert not [topic for topic in await log.topics() if topic.name.startswith("twice.")]
    first, errors = operator.run("provision")
    assert dry[:-1] == first[:-1]
    assert begun(first[:-1], "make") == first[:-1]
    assert re.fullmatch(r"dry run: (\d+) to make, 0 already right; passwords would be in secrets", dry[-1])
    assert first[-1] == f"{len(first) - 1} made, 0 already right; passwords are in secrets"
    files = sorted((tmp_path / "secrets").iterdir())
    assert [file.name for file in files] == sorted(["carol", *role_users("twice")])
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    passwords = [file.read_text().strip() for file in files]
    second, more = operator.run("provision")
    assert second[-1] == f"nothing to do, {len(first) - 1} already right"
    assert begun(second[:-1], "right") == second[:-1]
    assert [file.read_text().strip() for file in files] == passwords
    await strimzi_would_make_the_same(operator)
    printed = "\n".join([*dry, *first, *second, errors, more])
    assert not [password for password in passwords if password in printed]


async def strimzi_would_make_the_same(operator: Operator) -> None:
    """The users and rights of its resources are those that this broker has now, and its topics are there."""
    lines, _ = operator.run("provision", "--format", "strimzi", "--cluster", "events")
    topics, users = strimzi.read("\n".join(lines))
    settings = load(
        str(operator.folder / "streamer.toml"),
        operator.environ(operator.brokers.username, operator.brokers.password),
    )
    async with operator.log() as log, Admin(settings) as admin:
        there = await log.topics()
        present = await admin.acls() or frozenset()
        assert all((await admin.users(tuple(users))).values())
    assert {name: spec["partitions"] for name, spec in topics.items()} == {
        topic.name: topic.partitions for topic in there if topic.name.startswith(f"{operator.prefix}.")
    }
    wanted = set().union(*(strimzi.acls_of(user, spec) for user, spec in users.items()))
    assert wanted == {acl for acl in present if acl.user in users}


async def test_what_was_lost_or_left_halfway_is_mended(brokers: Brokers, tmp_path: Path) -> None:
    """A policy that was changed, a right that was taken away and a password that was begun are mended by the
    next run, an unknown password is told, and `--new-password` replaces it: the old one is of no use then.
    """
    operator = Operator(brokers, tmp_path, "mend")
    operator.add("dora")
    operator.run("provision")
    topic = operator.topics.of_partner("dora")
    async with operator.log() as log:
        await log._cluster.ask(AlterTopics({topic: {"retention.ms": "1000"}}))
    old = operator.user("dora")
    (tmp_path / "secrets" / "dora").unlink()
    (tmp_path / "secrets" / ".mend-route.new").write_text("begun by a run that was killed\n")
    lines, _ = operator.run("provision")
    assert begun(lines[:-1], "change", "note") == [
        f"change topic {topic}: retention.ms=2592000000",
        "change user mend-route: the password that an earlier run began with",
        "note   dora keeps its password, which is not here: --new-password dora replaces it",
    ]
    assert operator.user("mend-route").password == "begun by a run that was killed"
    assert await ask(operator.user("mend-route").begun, "mend-route-x") == ""
    assert topic in await ask(old.topics)
    lines, _ = operator.run("provision", "--new-password", "dora")
    assert begun(lines, "change") == ["change user dora: a new password"]
    assert topic in await ask(operator.user("dora").topics)
    assert not await ask(old.may_log_in)


async def test_who_was_taken_out_of_the_file_may_nothing_and_can_be_purged(
    brokers: Brokers, tmp_path: Path
) -> None:
    """The next run takes its rights away and leaves its topic, but not because the file is not to be found;
    `partner remove --purge` of a name that stands in no file any more removes what is left, and says when
    nothing is.
    """
    operator = Operator(brokers, tmp_path, "past")
    operator.add("gina")
    operator.run("provision")
    file = tmp_path / "partners.toml"
    file.unlink()
    _, said = operator.run("provision", code=2)
    assert "no such file, and gina would lose rights" in said
    file.write_text(f"{NOBODY}\n")
    os.utime(file, (0, 0))  # nobody has to wait for a change that old
    lines, _ = operator.run("provision")
    topic = operator.topics.of_partner("gina")
    assert begun(lines[:-1], "make", "change", "remove", "note") == [
        f"note   {topic} is no partner's: `streamer partner remove gina --purge` ends it",
        "remove acl gina: READ group gina.*",
        f"remove acl gina: DESCRIBE topic {topic}",
        f"remove acl gina: READ topic {topic}",
        "remove acl past-deliver: DESCRIBE group gina.*",
    ]
    assert await ask(operator.user("gina").topics) == set()
    lines, _ = operator.run("partner", "remove", "gina", "--purge")
    assert [line for line in lines if not line.startswith("wait")] == [
        "remove user gina",
        "remove password secrets/gina",
        f"remove topic {topic}, with all positions there",
        "gina: nothing is left",
    ]
    assert not (tmp_path / "secrets" / "gina").exists()
    _, said = operator.run("partner", "remove", "gina", "--purge", code=2)
    assert "nothing is left" in said


class Ended(Exception):
    """A process that was killed while it told something."""


async def test_a_purge_that_is_ended_anywhere_is_completed(brokers: Brokers, tmp_path: Path) -> None:
    """Ended after each thing that it tells of, and run again, it leaves no user, quota, right, topic, start
    or password. A partner that is added again has another password, even where the old file lives on.
    """
    operator = Operator(brokers, tmp_path, "ended", "partner_bytes_per_second = 100_000")
    operator.add("ivan")
    operator.run("provision")
    topics, file = operator.topics, tmp_path / "partners.toml"
    old, added = operator.user("ivan"), file.read_text()
    file.write_text(f"{NOBODY}\n")
    os.utime(file, (0, 0))
    settings = load(str(tmp_path / "streamer.toml"), operator.environ(brokers.username, brokers.password))
    passwords = Passwords(tmp_path / "secrets")
    told: set[str] = set()

    def say(line: str) -> None:
        if line not in told:
            told.add(line)
            raise Ended

    async with operator.log() as log, Admin(settings) as admin:
        await record_start(log, topics, "ivan", 1)
        known = True
        while known:
            with suppress(Ended):
                known = await purge_from_cluster(admin, log, settings, "ivan", say, passwords=passwords)
        assert {line.split()[1] for line in told if line.startswith("remove")} == {
            "user", "quota", "acl", "password", "topic",
        }  # fmt: skip
        assert await admin.users(["ivan"]) == {}
        assert not [acl for acl in await admin.acls() or () if acl.user == "ivan" or acl.name == "ivan."]
        assert "ivan" not in await admin.quotas()
        assert await log.topic(topics.of_partner("ivan")) is None
        starts = Starts()
        await Table(log, topics.meta, starts.apply).load()
        assert starts.of("ivan") is None
    lives_on = tmp_path / "secrets" / "ivan"
    assert not lives_on.exists()
    lives_on.write_text(f"{old.password}\n")
    file.write_text(added)
    operator.run("provision")
    assert operator.user("ivan").password != old.password
    assert not await ask(old.may_log_in)
    assert await ask(operator.user("ivan").may_log_in)


async def test_a_user_of_somebody_else_is_neither_adopted_nor_purged(
    brokers: Brokers, tmp_path: Path
) -> None:
    """A partner of its name is refused before anything is changed, and purging that partner's topic leaves
    the user with its password, its rights and its quota, and says so.
    """
    operator = Operator(brokers, tmp_path, "adopt")
    operator.add("billing")
    (tmp_path / "streamer.toml").write_text(operator.config())
    settings = load(str(tmp_path / "streamer.toml"), operator.environ(brokers.username, brokers.password))
    own = Acl("billing", "topic", "prefixed", "adopt.", "READ")
    topic = operator.topics.of_partner("billing")
    password = Passwords(tmp_path / "elsewhere")
    async with Admin(settings) as admin, operator.log() as log:
        await admin.apply([Step("make", "", user="billing"), Step("make", "", acl=own)], password)
        await admin.set_quotas({"billing": {"consumer_byte_rate": 7e6}})
        _, said = operator.run("provision", code=2)
        assert "user billing: exists already, and was not made by provision" in said
        assert await log.topic(topic) is None
        await log.ensure_topics([article_spec(settings, topic)])
        file = tmp_path / "partners.toml"
        file.write_text(f"{NOBODY}\n")
        os.utime(file, (0, 0))
        lines, _ = operator.run("partner", "remove", "billing", "--purge")
        assert begun(lines, "note")[0].startswith("note   user billing stays")
        assert await log.topic(topic) is None
        assert (await admin.quotas())["billing"] == {"consumer_byte_rate": 7e6}
        assert own in (await admin.acls() or ())
    user = User(brokers, "billing", (tmp_path / "elsewhere" / "billing").read_text().strip())
    assert await ask(user.may_log_in)


async def test_topics_whose_policies_are_hidden_are_not_called_right(
    operator: Operator, tmp_path: Path
) -> None:
    """Who may see all but them is told to come as an administrator."""
    settings = load(
        str(operator.folder / "streamer.toml"),
        operator.environ(operator.admin.name, operator.admin.password),
    )
    async with Admin(settings) as admin:
        sees = Acl("auditor", "topic", "prefixed", "wiki.", "DESCRIBE")
        passwords = Passwords(tmp_path)
        await admin.apply([Step("make", "", user="auditor"), Step("make", "", acl=sees)], passwords)
    await ask(operator.admin.let_look, "auditor")
    auditor = operator.environ("auditor", (tmp_path / "auditor").read_text().strip())
    try:
        lines, said = await ask(operator.run, "provision", "--dry-run", code=2, environ=auditor)
    finally:
        async with Admin(settings) as admin:
            await admin.remove_acls([sees])
    assert lines == []
    assert "auditor may not administer the cluster (policies of topics were refused)" in said


async def test_check_names_the_topics_that_a_user_may_not_see(operator: Operator) -> None:
    """A role's user sees all shared ones; a partner's none of them, and where they were not made yet the
    administrator is told that.
    """
    file = str(operator.folder / "streamer.toml")
    shared = sorted(vars(operator.topics).values())
    deliver, acme = (operator.user(name) for name in ("wiki-deliver", "acme"))
    found = await cluster_of(load(file, operator.environ(deliver.name, deliver.password)))
    assert [finding.level for finding in found] == ["ok"]
    found = await cluster_of(load(file, operator.environ(acme.name, acme.password)))
    assert [finding.level for finding in found] == ["ok", "warning"]
    assert found[-1].text.startswith(f"log.security.username: acme may not see {', '.join(shared)}:")
    environ = operator.environ(operator.admin.name, operator.admin.password)
    found = await cluster_of(load(file, {**environ, "STREAMER_LOG__PREFIX": "unmade"}))
    assert [finding.level for finding in found] == ["ok", "warning"]
    assert found[-1].text.startswith("log.prefix: there are no unmade.articles.v1, unmade.budget.v1,")


async def put(operator: Operator, *topics: str, value: bytes = b"{}", count: int = 1) -> None:
    async with operator.log() as log:
        await log.append([Record(topic, 0, "enwiki:1", value) for topic in topics] * count)


@pytest.fixture(scope="module")
def filled(operator: Operator) -> Operator:
    """And has put a record into each topic."""
    partners = [operator.topics.of_partner(name) for name in operator.keys]
    asyncio.run(put(operator, *partners, *vars(operator.topics).values()))
    return operator


async def test_a_partner_reads_its_own_topic_and_is_refused_the_rest(filled: Operator) -> None:
    """By librdkafka, under the password that was written: its own topic by subscription and by assignment.
    Another's and the internal ones are refused by name, and where librdkafka is silent, by assignment,
    nothing comes of them; so are writing, transactions and groups of others.
    """
    topics = filled.topics
    acme, own = filled.user("acme"), topics.of_partner("acme")
    others = [topics.of_partner("beta"), *vars(topics).values()]
    assert await ask(acme.topics) == {own}
    assert (await ask(acme.subscribed, own, "acme.reader"))[0].value() == b"{}"
    async with asyncio.TaskGroup() as tasks:
        assigned = tasks.create_task(ask(acme.assigned, own, *others))
        refused = [
            tasks.create_task(ask(question, topic, *group))
            for topic in others
            for question, group in ((acme.subscribed, ("acme.reader",)), (acme.asked, ()))
        ]
        groups = [
            tasks.create_task(ask(acme.subscribed, own, group))
            for group in ("beta.reader", "acme", "acme2.reader", "wiki-route", "console-consumer-1")
        ]
        positions = [tasks.create_task(ask(acme.positions, group)) for group in ("beta.reader", "wiki-route")]
        writes = [tasks.create_task(ask(acme.written, topic)) for topic in (own, *others)]
        transaction = tasks.create_task(ask(acme.begun, "acme.writer"))
    assert assigned.result() == {own}
    assert {task.result() for task in refused} == {REFUSED_TOPIC}
    assert {task.result() for task in (*groups, *positions)} == {REFUSED_GROUP}
    assert {task.result() for task in writes} == {REFUSED_TOPIC}
    assert transaction.result() == REFUSED_ID


async def test_the_same_by_aiokafka(filled: Operator) -> None:
    """Its own topic by subscription and by assignment; another's by subscription is an error, and by
    assignment, where aiokafka says nothing, nothing comes.
    """
    acme = filled.user("acme")
    own, other = (filled.topics.of_partner(name) for name in ("acme", "beta"))
    options = {
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        **Access.of((filled.brokers.bootstrap,), acme.security).options,
    }
    async with AIOKafkaConsumer(own, group_id="acme.aio", **options) as consumer, asyncio.timeout(60):
        assert (await consumer.getone()).topic == own
    async with AIOKafkaConsumer(**options) as consumer, asyncio.timeout(60):
        consumer.assign([KafkaPartition(own, 0), KafkaPartition(other, 0)])
        records = 0
        until_s = time.monotonic() + SILENCE_S
        while time.monotonic() < until_s:
            found = await consumer.getmany(timeout_ms=200)
            assert {tp.topic for tp in found} <= {own}
            records += sum(map(len, found.values()))
        assert records, "not even its own came, so that nothing is shown"
    for topic, group, error in (
        (other, "acme.aio", kafka.TopicAuthorizationFailedError),
        (own, "beta.aio", kafka.GroupAuthorizationFailedError),
    ):
        consumer = AIOKafkaConsumer(topic, group_id=group, **options)
        try:
            async with asyncio.timeout(60):
                with pytest.raises(error):
                    await consumer.start()
                    await consumer.getone()
        finally:
            await consumer.stop()


async def test_the_same_by_a_corpus(filled: Operator, tmp_path: Path) -> None:
    """`corpus follow`'s own reader, by its options: its topic comes; another's, a user that is none, a wrong
    password and an authority that was not named are each refused by name, and the password is never told.
    """
    password = tmp_path / "password"
    password.write_text(filled.user("acme").password)
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    ca = ["--ca-file", filled.brokers.ca_file]

    def feed(*more: str) -> CorpusFeed:
        parser = argparse.ArgumentParser()
        feeds.arguments(parser)
        options = ["--kafka", filled.brokers.bootstrap, "--since", "2020-01-01T00:00:00Z", *more]
        [found] = feeds.opened(parser.parse_args(options))
        return found

    async def refusal(*more: str) -> str:
        with pytest.raises(FeedRefused) as raised:
            async with aclosing(feed(*more).batches(None)) as batches:
                while True:
                    await anext(batches)
        assert filled.user("acme").password not in str(raised.value)
        return str(raised.value)

    acme = ["--user", "acme", "--password-file", str(password)]
    async with asyncio.timeout(COMMAND_S), aclosing(feed(*acme, *ca).batches(None)) as batches:
        while not (batch := await anext(batches)).bad:  # what stands there is no article
            assert not batch.events
    other = ["--topic", filled.topics.of_partner("beta")]
    secret = "look at --user and --password-file"
    refusals = {
        refusal(*acme, *ca, *other): "may not read the topic wiki.articles.v1.beta",
        refusal("--user", "acme", "--password-file", str(wrong), *ca): secret,
        refusal("--user", "nobody", "--password-file", str(password), *ca): secret,
        refusal(*acme, "--ca-file", str(self_signed(tmp_path).certificate)): "--ca-file names who signs it",
    }
    async with asyncio.timeout(COMMAND_S):
        for said, wanted in zip(await asyncio.gather(*refusals), refusals.values(), strict=True):
            assert wanted in said


async def test_roles_are_refused_what_they_do_not_need(filled: Operator) -> None:
    """No role's user may make a topic; deliver may write nothing and commit nothing, source and enrich may
    not read or write partners' topics, route may write no articles and no cut-offs, none may take another's
    lanes.
    """
    source, enrich, route, deliver = (filled.user(name) for name in role_users("wiki"))
    topics, partner = filled.topics, filled.topics.of_partner("acme")
    shared = list(vars(topics).values())
    refusals: list[tuple[str, object, tuple[str, ...]]] = [
        *((REFUSED_TOPIC, deliver.written, (topic,)) for topic in (*shared, partner)),
        (REFUSED_GROUP, deliver.subscribed, (partner, "wiki-route")),
        (REFUSED_ID, deliver.begun, ("wiki-route-wiki.articles.v1-0",)),
        *((REFUSED_TOPIC, user.asked, (partner,)) for user in (source, enrich)),
        *((REFUSED_TOPIC, user.written, (partner,)) for user in (source, enrich)),
        *((REFUSED_TOPIC, source.written, (topic,)) for topic in shared if topic != topics.changes),
        *((REFUSED_TOPIC, route.written, (topic,)) for topic in shared),
        (REFUSED_ID, route.begun, ("wiki-enrich-wiki.changes.v1-0",)),
        (REFUSED_ID, source.begun, ("wiki-enrich-wiki.changes.v1-0",)),
        (REFUSED_GROUP, enrich.subscribed, (topics.changes, "wiki-source")),
        *((REFUSED_TOPIC, user.written, ("wiki.invented.v1",)) for user in (source, enrich, deliver)),
    ]
    async with asyncio.TaskGroup() as tasks:
        answers = [
            (wanted, tasks.create_task(ask(question, *arguments), name=f"{question} {arguments}"))
            for wanted, question, arguments in refusals
        ]
        reads = [
            tasks.create_task(ask(user.assigned, *shared, partner)) for user in (source, enrich, deliver)
        ]
    for wanted, task in answers:
        assert task.result() == wanted, task.get_name()
    assert [task.result() for task in reads] == [
        {topics.changes},
        set(shared) - {topics.signals},
        {topics.withdrawals, partner},
    ]


async def test_route_finds_out_what_was_reverted(filled: Operator) -> None:
    """Under its own user it reads the signals, and sees how far enrich has read the changes: here not at all,
    for none has run.
    """
    settings = Settings(log=LogSettings(prefix=filled.prefix))
    async with filled.log(filled.user("wiki-route")) as log:
        horizon = Horizon(Runtime(settings, log))
        await horizon.look()
        assert horizon.ms == 0
        reverts = Reverts(log, TopicPartition(filled.topics.signals, 0))
        assert await reverts.catch_up(0)
        await reverts.aclose()


async def test_quota_is_set_and_holds(operator: Operator) -> None:
    """Kafka's own command tells it, and a partner that reads more in a burst is held back."""
    told = await operator.brokers.tool(
        "kafka.admin.ConfigCommand", "--bootstrap-server", operator.brokers.bootstrap, "--command-config",
        str(operator.brokers.client_properties), "--describe", "--entity-type", "users",
    )  # fmt: skip
    for name in ("acme", "beta"):
        assert re.search(rf"'{name}'.*consumer_byte_rate=100000(\.0)?\b", told), told
    assert not re.search(r"'wiki-\w+'.*byte_rate", told), "the service itself is not held back"
    topic = operator.topics.of_partner("beta")
    await put(operator, topic, value=random.Random(1).randbytes(1_000_000), count=3)
    assert await ask(operator.user("beta").throttled, topic)


def roles_config(operator: Operator, sandbox: Sandbox, port: int) -> str:
    return operator.config(f"""
[source]
url = "{sandbox.stream_url}"
[mediawiki]
endpoint = "{sandbox.endpoint}"
hosts = ["*.sandbox.example"]
requests_per_minute = 6000
[deliver]
port = {port}
admin_port = 0
heartbeat_s = 1
[reconcile]
lag_s = {LAG_S}
""")


LOST = 12
LOSING = "ensandbox"


async def lost_and_found(operator: Operator, sandbox: Sandbox) -> None:
    """What the stream loses is asked for by the operator, and found by lanes under the role's own user."""
    admin = operator.environ(operator.brokers.username, operator.brokers.password)
    environ = {**admin, "STREAMER_MEDIAWIKI__ENDPOINT": sandbox.endpoint}

    async def found() -> int:
        # 1 where there is nothing to compare yet
        lines, _ = await ask(partial(operator.run, "reconcile", LOSING, code=None, environ=environ))
        return int(lines[-1].split()[1])

    assert not await found()
    await asyncio.sleep(1.1 - time.time() % 1)  # from the next second on it is followed
    assert sandbox.world
    wiki = sandbox.world.wikis[LOSING]
    lost = repaired = 0
    async with asyncio.timeout(240):
        while not repaired:
            deed = Deed(sandbox.world.administrator(wiki), "", int(time.time() * 1000))
            with sandbox.world.silent():
                for _ in range(LOST):  # editors may find them before we do: then they are told
                    lost += 1
                    sandbox.world.create(wiki, f"Unheard of {lost}", "Nobody was told.", deed)
            repaired = await found()
        while again := await found():
            repaired += again
    assert repaired <= lost


async def until_articles(feed: Feed, count: int) -> list[str]:
    """Their identifiers, as they come by SSE; until one of LOSING is among them, which is followed then."""
    found: list[str] = []
    is_followed = False
    async with asyncio.timeout(120):
        async for event in feed.articles(asyncio.Event()):
            its = event.article["event"]
            assert isinstance(its, dict)
            found.append(its["identifier"])
            its_wiki = event.article["is_part_of"]
            assert isinstance(its_wiki, dict)
            is_followed |= its_wiki["identifier"] == LOSING
            if len(found) >= count and is_followed:
                break
    return found


def of_topic(user: User, topic: str, group: str, wanted: set[str]) -> set[str]:
    """Reads by subscription until these have come; its positions are stored."""
    consumer = user.consumer(group)
    found: set[str] = set()
    try:
        consumer.subscribe([topic])
        until_s = time.monotonic() + 60
        while not wanted <= found and time.monotonic() < until_s:
            for message in consumer.consume(100, 0.2):
                assert message.error() is None, str(message.error())
                value = json.loads(message.value() or b"{}")
                if "event" in value:
                    found.add(value["event"]["identifier"])
        consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return found


async def status_of(url: str, key: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
        answered(session, "GET", url.replace("/articles", "/status")) as answer,
    ):
        assert answer.status == 200
        status: dict[str, Any] = await answer.json()
        return status


async def test_a_fleet_under_its_own_users_serves_and_lets_go_of_a_partner(
    brokers: Brokers, tmp_path: Path
) -> None:
    """Four processes, each with one role's user and nothing more, carry articles from the stream to two
    partners, by SSE and by Kafka under the partners' own users, with no refusal anywhere, and deliver may
    read the accounts for `/v2/status`; what the stream loses meanwhile is reconciled. Purging one, while
    its articles flow, takes user, rights, quota, groups, topic and positions away, cuts it off, and the other
    notices nothing: no lane starts anew. A role gets another password, and goes on.
    """
    operator = Operator(brokers, tmp_path, "fleet", "partner_bytes_per_second = 50_000_000")
    operator.add("eve", "frank")
    operator.run("provision")
    async with operator.log() as log:  # a setting that route may see, and not set
        topic = operator.topics.of_partner("frank")
        await log._cluster.ask(AlterTopics({topic: {"max.message.bytes": "8000000"}}))
    port = free_port()
    url = f"http://127.0.0.1:{port}/v2/articles"
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            Sandbox(SandboxOptions(seed=5, edits_per_s=10, late_share=0.0))
        )
        services: dict[str, Service] = {}
        for role in ROLES:
            (tmp_path / role).mkdir()
            user = operator.user(f"fleet-{role}")
            services[role] = await stack.enter_async_context(
                Service(
                    tmp_path / role,
                    roles_config(operator, sandbox, port),
                    "run",
                    "--role",
                    role,
                    environ=operator.environ(user.name, user.password),
                )
            )
        await services["deliver"].port()
        eve, frank = (Feed(url, operator.keys[name]) for name in ("eve", "frank"))
        got = await asyncio.gather(until_articles(eve, 15), until_articles(frank, 15))
        for name, identifiers in zip(("eve", "frank"), got, strict=True):
            topic = operator.topics.of_partner(name)
            wanted = set(identifiers)
            assert wanted <= await ask(of_topic, operator.user(name), topic, f"{name}.reader", wanted)
        status = await status_of(url, operator.keys["frank"])
        assert status["completeness"]["published"] >= 15, status
        assert status["completeness"]["ratio"] == 1.0, status
        assert status["freshness"]["p99_s"] < 60, status

        await lost_and_found(operator, sandbox)

        gone, own = operator.user("eve"), operator.topics.of_partner("eve")
        lines, _ = await ask(operator.run, "partner", "remove", "eve", "--purge")
        assert lines[0] == "remove user eve"
        assert {line.partition(":")[0] for line in lines} >= {
            "remove quota eve",
            "remove acl eve",
            "remove group eve.reader",
            f"remove topic {own}, with all positions there",
            "eve",
        }
        await until_articles(frank, 15)  # the other's feed went on, by the same connections or by new ones
        key = {"Authorization": f"Bearer {operator.keys['eve']}"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=key) as said:
            assert said.status == 401
        assert not await ask(gone.may_log_in)
        async with operator.log() as log:
            assert await log.topic(own) is None
            assert own not in {tp.topic for tp in await log.committed("route")}
            frank_at = {tp.partition for tp in await log.committed("route") if tp.topic.endswith(".frank")}
            assert frank_at == set(range(10))
        assert not (tmp_path / "secrets" / "eve").exists()
        rest, _ = operator.run("provision")
        changed = f"change topic {operator.topics.of_partner('frank')}: max.message.bytes=16842752"
        assert [line for line in rest if not line.startswith("right")][:-1] == [changed]
        rest, _ = operator.run("provision")
        assert rest[-1].startswith("nothing to do")
        await new_password(operator, services["route"], "fleet-route")
        await until_articles(frank, 15)
        for service in services.values():
            told = [line for line in service.lines if '"warning"' in line or '"error"' in line]
            assert not [line for line in told if "uthorization" in line or "lane restarts" in line], told
            assert not [line for line in told if "parked" in line], told
            service.signal(signal.SIGTERM)
        for role, service in services.items():
            assert await service.wait() == 0, (role, service.lines[-5:])


async def new_password(operator: Operator, service: Service, user: str) -> None:
    """Of a role, as README's "Users and rights" says it; what is connected stays so until it is restarted."""
    before = operator.user(user).password
    lines, _ = await ask(operator.run, "provision", "--new-password", user)
    assert begun(lines, "change") == [f"change user {user}: a new password"]
    after = operator.user(user).password
    assert after != before
    assert await service.terminate() == 0, service.lines[-5:]
    service.environ = operator.environ(user, after)
    await service.start()
    await service.until_ready()


async def test_mistakes_are_told_by_name(operator: Operator) -> None:
    """Each with its exit code, before anything is changed, and without a traceback."""
    route = operator.user("wiki-route")
    mistakes: list[tuple[int, str, tuple[str, ...], dict[str, str] | None]] = [
        (2, "log.security.username: wiki-route may not administer the cluster", ("provision",),
         operator.environ(route.name, route.password)),
        (1, "does not answer", ("provision",), operator.environ("admin", "guessed")),
        (2, "nobody is no user of ours: wiki-source", ("provision", "--new-password", "nobody"), None),
        (2, "log.security.username: wiki-route may not administer the cluster",
         ("partner", "remove", "acme", "--purge"), operator.environ(route.name, route.password)),
        (2, "log.kind", ("provision",), {"STREAMER_LOG__KIND": "local"}),
    ]  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        said = [
            (words, tasks.create_task(ask(operator.run, *command, code=code, environ=environ)))
            for code, words, command, environ in mistakes
        ]
    for words, task in said:
        printed, errors = task.result()
        assert words in errors
        assert "guessed" not in errors
        assert printed == []
    assert "[acme]" in (operator.folder / "partners.toml").read_text(), "its table was taken out before"
