"""One or three brokers (KRaft, combined with the controllers) on free ports of loopback.

    async with Brokers(folder) as brokers:
        brokers.bootstrap            # "127.0.0.1:40123"
        await brokers.kill(1)        # SIGKILL, as a crash
        await brokers.start(1)       # the same node again, on its port, with its data

With `secure=True` clients need TLS (`ca_file`) and SCRAM-SHA-512 (`username`, `password`: the first
administrator), and nobody else may do anything until an ACL says so.

Each node's log is `folder/node-N/broker.log`. Flags and figures are tuned for a small machine and for
tests that wait: not for production, where only what README lists under "what the guarantees rest on"
matters. A broker dies with the process that started it, however that ends (setpriv --pdeathsig).
"""

import asyncio
import base64
import secrets
import shutil
import signal
import socket
import uuid
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deploy.kafka.artefacts import Unavailable, jars, java
from deploy.kafka.certificates import SUBJECT, Certificates

JVM: Final = ("-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
"""A broker that is up in some seconds on a busy core, in 205 MB."""
START_DEADLINE_S: Final = 120.0
TOOL_DEADLINE_S: Final = 120.0
POLL_S: Final = 0.1
LOOPBACK: Final = "127.0.0.1"
ADMIN: Final = "admin"
MECHANISM: Final = "SCRAM-SHA-512"

SETTINGS: Final = {
    "auto.create.topics.enable": "false",
    # 16 MiB of a record and what is around it, end to end
    "message.max.bytes": "16842752",
    "replica.fetch.max.bytes": "16842752",
    # positions of a group without members must outlive a long holiday
    "offsets.retention.minutes": "43200",
    "unclean.leader.election.enable": "false",
    # a killed node is missed soon and taken back soon: 13 s with the defaults
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "250",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # what is due goes at once, so that tests need not wait for minutes
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "500",  # a look at a thousand partitions is work
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.segment.delete.delay.ms": "100",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


@dataclass(slots=True)
class Node:
    id: int
    folder: Path
    port: int
    controller_port: int
    process: Process | None = None


class Brokers:
    """`bootstrap` is set once it is entered. Raises Unavailable where there is no Java or no jars."""

    def __init__(self, folder: Path, *, count: int = 1, secure: bool = False) -> None:
        self.folder = folder
        self.username = ADMIN if secure else ""
        self.password = secrets.token_urlsafe(18) if secure else ""
        self._count = count
        self._nodes: dict[int, Node] = {}
        self._certificates: Certificates | None = None

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{LOOPBACK}:{node.port}" for node in self._nodes.values())

    @property
    def ca_file(self) -> str:
        """Empty where it isn't secure."""
        return str(self._certificates.ca_file) if self._certificates else ""

    @property
    def client_properties(self) -> Path:
        """For Kafka's own commands (`--command-config`), as the administrator."""
        return self.folder / "client.properties"

    async def __aenter__(self) -> Self:
        self._java = await asyncio.to_thread(java)
        self._jars = await asyncio.to_thread(jars)
        ports = _free_ports(2 * self._count)
        for number in range(1, self._count + 1):
            folder = self.folder / f"node-{number}"
            folder.mkdir(parents=True)
            self._nodes[number] = Node(number, folder, ports.pop(), ports.pop())
        try:
            if self.username:
                keytool = str(Path(self._java).with_name("keytool"))
                self._certificates = await Certificates.make(
                    self.folder / "tls", keytool, secrets.token_urlsafe(18)
                )
            self.client_properties.write_text(_lines(self._client_settings()))
            await self._format()
            async with asyncio.timeout(START_DEADLINE_S):
                for number in self._nodes:
                    await self._spawn(number)
                for number in self._nodes:
                    await self._ready(number)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    # ── nodes ──────────────────────────────────────────────────────────────────────────────────

    async def kill(self, number: int) -> None:
        """SIGKILL; returns once the process is gone."""
        process = self._running(number)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        self._nodes[number].process = None

    async def start(self, number: int) -> None:
        """A node that was killed, with its data, on its port; returns once it takes connections."""
        async with asyncio.timeout(START_DEADLINE_S):
            await self._spawn(number)
            await self._ready(number)

    def pause(self, number: int) -> None:
        self._running(number).send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        self._running(number).send_signal(signal.SIGCONT)

    def data(self, number: int) -> Path:
        """Where the node keeps its segments."""
        return self._nodes[number].folder / "data"

    async def tool(self, main: str, *arguments: str, stdin: bytes | None = None) -> str:
        """Runs a command of Kafka's own, by its class; what it printed, or RuntimeError with that."""
        process = await asyncio.create_subprocess_exec(
            *self._command(main, *arguments),
            stdin=DEVNULL if stdin is None else PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        try:
            async with asyncio.timeout(TOOL_DEADLINE_S):
                out, errors = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise RuntimeError(f"{main}: {(out + errors).decode('utf-8', 'replace').strip()[-1000:]}")
        return out.decode()

    def _running(self, number: int) -> Process:
        process = self._nodes[number].process
        if process is None:
            raise RuntimeError(f"node {number} does not run")
        return process

    def _command(self, main: str, *arguments: str) -> list[str]:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise Unavailable("there is no setpriv, which ends a broker with its parent: install util-linux")
        return [
            setpriv, "--pdeathsig", "KILL", self._java, *JVM,
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-cp", f"{self._jars}/*", main, *arguments,
        ]  # fmt: skip

    async def _spawn(self, number: int) -> None:
        node = self._nodes[number]
        if node.process is not None:
            raise RuntimeError(f"node {number} runs already")
        with (node.folder / "broker.log").open("ab") as log:
            node.process = await asyncio.create_subprocess_exec(
                *self._command("kafka.Kafka", str(node.folder / "server.properties")),
                stdin=DEVNULL, stdout=log, stderr=STDOUT, start_new_session=True,
            )  # fmt: skip

    async def _ready(self, number: int) -> None:
        """It opens its port once it has caught up with the controllers and may serve."""
        node = self._nodes[number]
        while True:
            process = self._running(number)
            if process.returncode is not None:
                log = (node.folder / "broker.log").read_text("utf-8", "replace")
                raise RuntimeError(f"node {number} ended by itself: {log.strip()[-1500:]}")
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, node.port)
            except OSError:
                await asyncio.sleep(POLL_S)
            else:
                writer.close()
                return

    async def _end(self) -> None:
        """Kill -9: nothing here is kept, and a stop in good order waits 31 s for a quorum that is going."""
        for node in self._nodes.values():
            if node.process is not None and node.process.returncode is None:
                node.process.kill()
        for node in self._nodes.values():
            if node.process is not None:
                await node.process.wait()

    # ── setting up ─────────────────────────────────────────────────────────────────────────────

    async def _format(self) -> None:
        cluster = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]  # "-" begins an option
        scram = f"SCRAM-SHA-512=[name={self.username},password={self.password}]"
        first = ("--add-scram", scram) if self.username else ()
        async with asyncio.TaskGroup() as tasks:
            for node in self._nodes.values():
                properties = node.folder / "server.properties"
                properties.write_text(_lines(self._settings(node)))
                tasks.create_task(
                    self.tool(
                        "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *first
                    )
                )

    def _settings(self, node: Node) -> dict[str, str]:
        replicas = min(3, self._count)
        return SETTINGS | {
            "process.roles": "broker,controller",
            "node.id": str(node.id),
            "log.dirs": str(self.data(node.id)),
            "controller.quorum.voters": ",".join(
                f"{other.id}@{LOOPBACK}:{other.controller_port}" for other in self._nodes.values()
            ),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"CLIENTS://{LOOPBACK}:{node.port},CONTROLLER://{LOOPBACK}:{node.controller_port}",
            "advertised.listeners": f"CLIENTS://{LOOPBACK}:{node.port}",
            "inter.broker.listener.name": "CLIENTS",
            "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
            **self._security(),
            "default.replication.factor": str(replicas),
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.replication.factor": str(replicas),
            "min.insync.replicas": str(max(1, replicas - 1)),
            "transaction.state.log.min.isr": str(max(1, replicas - 1)),
        }

    def _security(self) -> dict[str, str]:
        """Clients and brokers by SCRAM, controllers by their certificates."""
        if self._certificates is None:
            return {}
        return {
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:SSL",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            f"listener.name.clients.{MECHANISM.lower()}.sasl.jaas.config": self._jaas(),
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self._certificates.key_store),
            "ssl.keystore.password": self._certificates.password,
            "ssl.truststore.type": "PKCS12",
            "ssl.truststore.location": str(self._certificates.trust_store),
            "ssl.truststore.password": self._certificates.password,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{self.username};User:{SUBJECT}",
        }

    def _client_settings(self) -> dict[str, str]:
        if self._certificates is None:
            return {"security.protocol": "PLAINTEXT"}
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.jaas.config": self._jaas(),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca_file,
        }

    def _jaas(self) -> str:
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        return f'{module} required username="{self.username}" password="{self.password}";'


def _lines(settings: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _free_ports(count: int) -> list[int]:
    """Controllers must know each other's ports before they start, so port 0 will not do."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
