"""The cluster, as an administrator sees and changes it. All that is decided stands in `plan`.

Passwords, changes of ACLs and groups by librdkafka's client, in threads; the rest by the log's own.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import errors as kafka
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from streamer.config import Settings
from streamer.errors import ConfigError, LogError, LogUnavailable, TopicRefused
from streamer.log.base import TopicSpec
from streamer.log.kafka_client import Access
from streamer.log.kafka_cluster import Cluster
from streamer.log.kafka_topics import check_partitions, differing, ensure, policy
from streamer.provision.desired import QUOTAS, Acl, Desired, Kind, Pattern, Quota
from streamer.provision.passwords import Passwords
from streamer.provision.plan import Present, Step
from streamer.provision.protocol import (
    NO_AUTHORIZER,
    AclsQuery,
    AlterQuotas,
    UsersQuery,
    quotas_of,
    quotas_query,
    users_of,
)

ASK_S: Final = 15.0
REACH_S: Final = 10.0
"""Less than a question may take: nothing has been begun yet, and somebody waits."""
ITERATIONS: Final = 4096
"""Kafka's own number. More would protect a password that can be guessed; ours have 192 random bits."""
PRINCIPAL: Final = "User:"
_REFUSED: Final = frozenset({KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
_KINDS: Final[dict[Kind, Any]] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}
_PATTERNS: Final[dict[Pattern, Any]] = {
    "literal": ResourcePatternType.LITERAL,
    "prefixed": ResourcePatternType.PREFIXED,
}
_KIND_OF: Final[dict[int, Kind]] = {kind.value: name for name, kind in _KINDS.items()}
_PATTERN_OF: Final[dict[int, Pattern]] = {pattern.value: name for name, pattern in _PATTERNS.items()}


class Admin:
    """Raises LogUnavailable where the cluster doesn't answer, ConfigError where it refuses this user."""

    def __init__(self, settings: Settings) -> None:
        self._log = settings.log
        access = Access.of(settings.log.bootstrap, settings.log.security)
        self._cluster = Cluster(access)
        self._client = AdminClient(_librdkafka(settings, access))

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(REACH_S):
                await self._cluster.fresh([])
        except (TimeoutError, LogError):
            await self._cluster.close()
            raise LogUnavailable(
                f"log.bootstrap: {', '.join(self._log.bootstrap)} does not answer: is it there, and are"
                " log.security's protocol, user, password and CA right?"
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cluster.close()

    # ── looking ────────────────────────────────────────────────────────────────────────────────

    async def present(self, desired: Desired) -> Present:
        """Raises ConfigError for a topic with another number of partitions, and for one that is missing where
        the brokers are too few for it.
        """
        users = await self.users(desired.users)
        topics = await self._cluster.fresh()
        check_partitions(desired.topics, topics)
        there = [spec for spec in desired.topics if spec.name in topics]
        if len(there) < len(desired.topics):
            await self._check_brokers()
        try:
            settings = await differing(self._cluster, there, self._policy, must_see=True)
        except TopicRefused:
            raise self._refused("policies of topics") from None
        return Present(
            topics=frozenset(topics),
            settings=settings,
            users=users,
            acls=await self.acls(),
            quotas=await self.quotas(),
        )

    async def _check_brokers(self) -> None:
        count = len(await self._cluster.views([]))
        if count < self._log.replication:
            raise ConfigError(
                "log.replication", f"{self._log.replication} is more than the cluster has brokers: {count}"
            )

    def _policy(self, spec: TopicSpec) -> dict[str, str]:
        return policy(spec, replication=self._log.replication)

    async def check(self, users: Collection[str]) -> None:
        """Raises ConfigError where this user is no administrator."""
        await self.users(users)
        await self.acls()

    async def users(self, names: Collection[str]) -> dict[str, frozenset[str]]:
        """Those of them that have a password, with the mechanisms of each."""

        async def once() -> dict[str, frozenset[str]]:
            answer = await self._cluster.ask(UsersQuery(names))
            self._check(answer.error_code, "users")
            return users_of(answer.results)

        return await self._cluster.tried("users", once)

    async def acls(self) -> frozenset[Acl] | None:
        """That allow a user something; None where there is no authorizer."""

        async def once() -> frozenset[Acl] | None:
            answer = await self._cluster.ask(AclsQuery())
            if answer.error_code == NO_AUTHORIZER:
                return None
            self._check(answer.error_code, "ACLs")
            return frozenset(
                Acl(
                    principal.removeprefix(PRINCIPAL),
                    _KIND_OF[kind],
                    _PATTERN_OF[pattern],
                    name,
                    AclOperation(operation).name,
                    host,
                )
                for kind, name, pattern, acls in answer.resources
                for principal, host, operation, _ in acls
                if kind in _KIND_OF and principal.startswith(PRINCIPAL)
            )

        return await self._cluster.tried("ACLs", once)

    async def quotas(self) -> dict[str, Quota]:
        async def once() -> dict[str, Quota]:
            answer = await self._cluster.ask(quotas_query())
            self._check(answer.error_code, "quotas")
            return quotas_of(answer.entries)

        return await self._cluster.tried("quotas", once)

    # ── changing ───────────────────────────────────────────────────────────────────────────────

    async def apply(self, steps: Iterable[Step], passwords: Passwords) -> None:
        """In their order, those of a kind that follow each other at once. Doing one twice is right."""
        steps = [step for step in steps if step.does]
        specs = [step.topic for step in steps if step.topic]
        if specs:
            await ensure(self._cluster, specs, replication=self._log.replication, policy_of=self._policy)
        for step in steps:
            if step.user is not None:
                password = passwords.begin(step.user, is_new=step.is_new)
                await self._set_password(step.user, password)
                passwords.finish(step.user)
        await self.set_quotas(dict(step.quota for step in steps if step.quota))
        await self._add([step.acl for step in steps if step.acl and step.verb == "make"])
        await self.remove_acls([step.acl for step in steps if step.acl and step.verb == "remove"])

    async def _set_password(self, user: str, password: str) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        await self._each(f"user {user}", self._client.alter_user_scram_credentials, [change])

    async def remove_user(self, user: str, mechanisms: Collection[str]) -> None:
        changes = [
            UserScramCredentialDeletion(user, ScramMechanism[mechanism.replace("-", "_")])
            for mechanism in mechanisms
        ]
        if changes:
            await self._each(f"user {user}", self._client.alter_user_scram_credentials, changes)

    async def set_quotas(self, changes: dict[str, Any]) -> None:
        if not changes:
            return

        async def once() -> None:
            for code, _, _ in (await self._cluster.ask(AlterQuotas(changes))).entries:
                self._check(code, "quotas")

        await self._cluster.tried("quotas", once)

    async def remove_quotas(self, user: str) -> bool:
        """False where it has none of ours."""
        found = (await self.quotas()).get(user, {})
        values = dict.fromkeys(found.keys() & set(QUOTAS))
        await self.set_quotas({user: values} if values else {})
        return bool(values)

    async def _add(self, acls: Sequence[Acl]) -> None:
        if acls:
            await self._each("ACLs", self._client.create_acls, [_binding(acl, AclBinding) for acl in acls])

    async def remove_acls(self, acls: Sequence[Acl]) -> None:
        if acls:
            filters = [_binding(acl, AclBindingFilter) for acl in acls]
            await self._each("ACLs", self._client.delete_acls, filters)

    # ── groups ─────────────────────────────────────────────────────────────────────────────────

    async def groups(self, begin: str) -> dict[str, frozenset[str]]:
        """Those whose name begins so, with the topics where they have a position."""
        listed = await self._asked("groups", self._client.list_consumer_groups)
        names = [group.group_id for group in listed.valid if group.group_id.startswith(begin)]
        found = {}
        for name in names:
            answers = await self._each(
                f"group {name}",
                self._client.list_consumer_group_offsets,
                [ConsumerGroupTopicPartitions(name)],
            )
            found[name] = frozenset(tp.topic for answer in answers for tp in answer.topic_partitions)
        return found

    async def delete_group(self, name: str) -> bool:
        """False where it has members."""
        try:
            await self._each(f"group {name}", self._client.delete_consumer_groups, [name])
        except _NotEmpty:
            return False
        return True

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    async def _asked(self, what: str, question: Any, *arguments: Any) -> Any:  # noqa: ANN401 - each has its own
        def ask() -> Any:  # noqa: ANN401
            return question(*arguments, request_timeout=ASK_S).result(ASK_S + 1.0)

        return await self._told(what, ask)

    async def _each(self, what: str, question: Any, things: list[Any]) -> list[Any]:  # noqa: ANN401
        def ask() -> list[Any]:
            futures = question(things, request_timeout=ASK_S)
            return [future.result(ASK_S + 1.0) for future in futures.values()]

        found: list[Any] = await self._told(what, ask)
        return found

    async def _told(self, what: str, ask: Any) -> Any:  # noqa: ANN401
        try:
            return await asyncio.to_thread(ask)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.NON_EMPTY_GROUP:
                raise _NotEmpty from None
            if code in _REFUSED:
                raise self._refused(what) from None
            raise LogUnavailable(f"{what}: {error.args[0].name()}") from None
        except TimeoutError:
            raise LogUnavailable(f"{what}: no answer within {ASK_S:g} s") from None

    def _check(self, code: int, what: str) -> None:
        error = kafka.for_code(code)
        if error is kafka.ClusterAuthorizationFailedError:
            raise self._refused(what)
        if error is not kafka.NoError:
            raise error(what)

    def _refused(self, what: str) -> ConfigError:
        return ConfigError(
            "log.security.username",
            f"{self._log.security.username or 'nobody'} may not administer the cluster ({what} were refused):"
            " give an administrator, e.g. by STREAMER_LOG__SECURITY__USERNAME and …__PASSWORD_FILE",
        )


class _NotEmpty(Exception):
    pass


def _binding(acl: Acl, kind: Any) -> Any:  # noqa: ANN401 - a binding, or a filter that only it passes
    return kind(
        _KINDS[acl.kind],
        acl.name,
        _PATTERNS[acl.pattern],
        f"{PRINCIPAL}{acl.user}",
        acl.host,
        AclOperation[acl.operation],
        AclPermissionType.ALLOW,
    )


def _librdkafka(settings: Settings, access: Access) -> dict[str, Any]:
    security = settings.log.security
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.log.bootstrap),
        "security.protocol": security.protocol,
        "log_level": 0,  # it writes to standard error by itself; what fails comes out as an error
    }
    if security.ca_file:
        options["ssl.ca.location"] = security.ca_file
    if security.protocol.startswith("SASL"):
        options |= {
            "sasl.mechanism": security.mechanism,
            "sasl.username": security.username,
            "sasl.password": access.options["sasl_plain_password"],
        }
    return options
