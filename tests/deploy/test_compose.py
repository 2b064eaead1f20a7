"""deploy/compose.yaml without an engine: what it says holds for the files, the commands and the settings that
it names, and its services, started as it starts them, bring an edit to a partner.
"""

import asyncio
import importlib.metadata
import re
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml
from clients.programs import Absent
from harness.compose import Composed, composed, loader
from harness.dockerfile import stages
from harness.on_kafka import OnKafka
from harness.service import Service, free_port

from deploy.kafka import Brokers
from deploy.kafka.brokers import SETTINGS
from streamer.cli import _parser
from streamer.config import MediaWikiSettings, SourceSettings, load
from streamer.partners import authenticate, load_partners

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
IMAGE = stages(DEPLOY / "Dockerfile")["streamer"]
ADMIN_PORT, CANARY_PORT = 9090, 9091
ROLES = {"source", "enrich", "enrich-2", "route", "deliver"}
PUBLIC = {"edge": ["443:8443"]}
"""All else is published to this machine alone."""
MADE = {"./partners", "./secrets/edge"}
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def compose() -> Composed:
    return composed(DEPLOY / "compose.yaml")


# ── what it says ───────────────────────────────────────────────────────────────────────────────


def test_no_container_may_more_than_it_must(compose: Composed) -> None:
    """Each has a root that can't be written, no capability, no way to more rights, bounds of processor,
    memory and processes, logs that end, a restart, and an image of one version.
    """
    for name, service in compose.services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert service["restart"] in ("unless-stopped", "on-failure:5") or "tools" in service["profiles"]
        assert not service.keys() & {"privileged", "cap_add", "pid", "network_mode", "ipc", "devices"}, name
        assert "docker.sock" not in str(service), name
        image, _, tag = service["image"].rpartition(":")
        assert re.fullmatch(r"v?\d+\.\d+\.\d+.*", tag) or image == "streamer", name
        user = service.get("user", "10001:10001" if image == "streamer" else "")
        assert not user.startswith("0"), name


def test_only_what_is_meant_for_others_is_reached(compose: Composed) -> None:
    """Brokers, admin ports and the invented wiki are on a network without a way in or out; the admin ports of
    roles are published nowhere; what is published is on this machine's loopback, but for the edge.
    """
    assert [name for name, one in compose.tree["networks"].items() if one.get("internal")] == ["inner"]
    for name in ROLES | {"kafka", "sandbox", "canary", "provision"}:
        assert "inner" in compose.services[name]["networks"]
    for name in ("kafka", "route", "sandbox", "canary", "provision"):
        assert compose.services[name]["networks"] == ["inner"]
    assert "inner" not in compose.services["edge"]["networks"]
    for name, service in compose.services.items():
        for port in service.get("ports", []):
            assert port in PUBLIC.get(name, []) or port.startswith("127.0.0.1:")
            assert name not in ROLES or not port.endswith((f":{ADMIN_PORT}", f":{CANARY_PORT}"))


def test_each_waits_for_what_it_needs(compose: Composed) -> None:
    """Whom a service waits for is there, and can say that it is well; a role has more time to stop than a
    drain.
    """
    has_health = IMAGE.last("HEALTHCHECK") is not None
    for name, service in compose.services.items():
        waits = service.get("depends_on", {})
        for other, how in waits.items() if isinstance(waits, dict) else ():
            target = compose.services[other]
            if how["condition"] == "service_healthy":
                ours = target["image"].startswith("streamer:") and has_health
                assert "test" in target.get("healthcheck", {}) or ours, (name, other)
            else:
                assert how["condition"] == "service_completed_successfully"
                assert target["restart"] != "unless-stopped"
    for name in ROLES:
        service = compose.services[name]
        grace_s = int(service["stop_grace_period"].removesuffix("s"))
        assert grace_s > float(service["environment"]["STREAMER_DELIVER__DRAIN_S"]) + 1
        assert service["depends_on"]["provision"]["condition"] == "service_completed_successfully"


def test_commands_and_settings_are_the_services(compose: Composed) -> None:
    """Each command is one that the command line takes, each variable a key of the settings with a value that
    it may have, and each secret that a setting or an argument names is given to that service.
    """
    for name, service in compose.ours().items():
        entrypoint = service.get("entrypoint", ["streamer"])
        assert entrypoint[0] == "streamer"
        _parser().parse_args([*entrypoint[1:], *service["command"]])
        settings = load(None, service["environment"])
        assert settings.log.kind == "kafka"
        told = " ".join([*service["command"], *map(str, service["environment"].values())])
        assert set(re.findall(r"/run/secrets/(\w+)", told)) == set(service.get("secrets", [])), name
        assert settings.deliver.behind_tls == (name == "deliver") == (settings.deliver.host == "0.0.0.0")


def test_what_is_mounted_is_there(compose: Composed, tmp_path: Path) -> None:
    """Each file and folder that a service mounts is in the repository or made by secrets.sh; each volume and
    secret is declared and used. None mounts a single file, which it would keep when the file is replaced.
    secrets.sh leaves what is there; its canary is a partner by its key, or it says that it isn't.
    """
    used_secrets: set[str] = set()
    used_volumes: set[str] = set()
    for name, service in compose.services.items():
        for volume in service.get("volumes", []):
            if isinstance(volume, str):
                used_volumes.add(volume.partition(":")[0])
            else:
                assert volume["source"] in MADE or (DEPLOY / volume["source"]).exists(), (name, volume)
                assert volume.get("read_only") or name == "partner"
                assert volume["source"] in MADE or (DEPLOY / volume["source"]).is_dir(), (name, volume)
        used_secrets |= {s if isinstance(s, str) else s["source"] for s in service.get("secrets", [])}
    assert used_volumes == compose.tree["volumes"].keys()
    assert used_secrets == compose.tree["secrets"].keys()
    made = tmp_path
    secrets_made(made)
    for secret in compose.tree["secrets"].values():
        assert (made / secret["file"]).stat().st_mode & 0o777 == 0o644
    assert (made / "secrets").stat().st_mode & 0o777 == 0o700
    pair = {file.name: file.stat().st_mode & 0o777 for file in (made / "secrets" / "edge").iterdir()}
    assert pair == {"fullchain.pem": 0o644, "privkey.pem": 0o644}
    before = {file: file.read_bytes() for file in made.rglob("*") if file.is_file()}
    secrets_made(tmp_path)
    assert before == {file: file.read_bytes() for file in made.rglob("*") if file.is_file()}
    partners = made / "partners" / "partners.toml"
    key = (made / "secrets" / "canary_key").read_text().strip()
    for text in (partners.read_text(), "[acme]\nkeys = []"):  # its own, and one that was there before
        partners.write_text(text)
        assert not secrets_made(made)
        partner = authenticate(load_partners(partners), key)
        assert partner is not None
        assert partner.name == "canary"
    (made / "secrets" / "canary_key").unlink()
    assert "another key of [canary]" in secrets_made(made)


def secrets_made(folder: Path) -> str:
    """What it says that should be looked at."""
    shutil.copy(DEPLOY / "secrets.sh", folder)
    script = ["sh", str(folder / "secrets.sh")]
    return subprocess.run(script, check=True, timeout=60, capture_output=True, text=True).stderr


def test_versions_are_those_that_are_tested(compose: Composed) -> None:
    """The broker is of the version that the tests run, set as theirs where it decides what is kept; Grafana
    of the one that the dashboards are made for.
    """
    pom = (DEPLOY / "kafka" / "pom.xml").read_text(encoding="utf-8")
    kafka = compose.services["kafka"]
    assert kafka["image"] == f"apache/kafka:{re.findall(r'<version>(4[^<]+)', pom)[0]}"
    for name in ("auto.create.topics.enable", "message.max.bytes", "replica.fetch.max.bytes"):
        assert kafka["environment"]["KAFKA_" + name.upper().replace(".", "_")] == SETTINGS[name]
    grafana = importlib.metadata.version("grafana-foundation-sdk").partition("!")[2]
    assert compose.services["grafana"]["image"] == f"grafana/grafana:{grafana}"


def test_the_broker_can_unpack_and_fills_no_disk(compose: Composed) -> None:
    """Its library for zstd, which our producers pack by, is run from /tmp: Docker forbids that unless told.
    What it logs goes to standard output alone, and of garbage collection it logs nothing.
    """
    kafka = compose.services["kafka"]
    options = dict(mount.split(":") for mount in kafka["tmpfs"])
    assert "exec" in options["/tmp"].split(",")
    mounted = {v["target"]: v["source"] for v in kafka["volumes"] if isinstance(v, dict)}
    told = yaml.safe_load((DEPLOY / mounted["/mnt/shared/config"] / "log4j2.yaml").read_text())[
        "Configuration"
    ]
    assert told["Appenders"].keys() == {"Console"}
    assert "loggc" not in kafka["environment"]["EXTRA_ARGS"]


def test_prometheus_looks_at_every_process(compose: Composed) -> None:
    """The targets are the services that have metrics, each by its name and port, as is Alertmanager."""
    told = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in told["scrape_configs"]}
    assert set(targets["streamer"]) == {f"{name}:{ADMIN_PORT}" for name in ROLES}
    assert targets["canary"] == [f"canary:{CANARY_PORT}"]
    assert told["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]
    token = compose.services["alertmanager"]["secrets"][0]["target"]
    assert token in (DEPLOY / "prometheus" / "alertmanager.yml").read_text(encoding="utf-8")


def test_wikimedia_is_one_file_away() -> None:
    """With wikimedia.env the stream, the hosts and the budget are Wikimedia's own, whatever of the invented
    wiki the services name otherwise, in topics that the invented wiki never writes to; the canary edits
    nothing.
    """
    invented = composed(DEPLOY / "compose.yaml").services
    lines = (DEPLOY / "wikimedia.env").read_text(encoding="utf-8").splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    compose = composed(DEPLOY / "compose.yaml", variables)
    for name in ("source", "enrich", "enrich-2"):
        settings = load(None, compose.services[name]["environment"])
        assert settings.source == SourceSettings()
        assert settings.mediawiki == MediaWikiSettings()
        assert settings.requests_per_minute == 10
        assert settings.log.prefix == "wiki"
        assert load(None, invented[name]["environment"]).log.prefix == "sandbox"
    canary = _parser().parse_args(compose.services["canary"]["command"])
    assert (canary.wiki, canary.page, canary.edit, canary.server) == ("enwiki", "", "", "")


def test_grafana_finds_dashboards_and_prometheus(compose: Composed) -> None:
    """What Grafana is provisioned with names the folder that is mounted and the server that is there."""
    provisioning = DEPLOY / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "streamer.yml").read_text())["providers"]
    mounted = {
        v["target"]: v["source"] for v in compose.services["grafana"]["volumes"] if isinstance(v, dict)
    }
    folder = provider["options"]["path"]
    assert list((DEPLOY / mounted[folder]).glob("*.json"))
    home = compose.services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DEPLOY / mounted[folder] / Path(home).name).exists()


def test_edge_of_compose_is_the_edge(compose: Composed) -> None:
    """It differs from the one that is tested in the name of its upstream, and who looks it up, alone; a
    deliver that is made anew does not stop it; it has a folder for all that it reads.
    """
    nginx = DEPLOY / "nginx"
    texts = [(nginx / folder / "deliver.conf").read_text() for folder in ("upstream", "upstream.compose")]
    plain, named = ([line.partition("#")[0].split() for line in text.splitlines()] for text in texts)
    plain[plain.index(["server", "127.0.0.1:8080", "max_fails=0;"])] = [
        "server", "deliver:8080", "max_fails=0", "resolve;"
    ]  # fmt: skip
    named.remove(["resolver", "127.0.0.11", "valid=5s", "ipv6=off;"])
    assert [line for line in plain if line] == [line for line in named if line]
    edge = compose.services["edge"]
    assert "restart" not in edge["depends_on"]["deliver"]
    inside = {volume["target"]: volume["source"] for volume in edge["volumes"]}
    assert inside["/etc/streamer"] == "./nginx"
    assert inside["/etc/streamer/upstream"] == "./nginx/upstream.compose"
    for file in re.findall(r"ssl_certificate\S* (/\S+);", (nginx / "edge.conf").read_text()):
        assert str(Path(file).parent) in inside


@pytest.mark.soak
@pytest.mark.parametrize("env", ["", "wikimedia.env"])
def test_loader_of_docker_compose_takes_it(env: str, compose: Composed) -> None:
    """By compose-go, which `docker compose config` is made of: schema, references and interpolation are
    right, and what it understands is what these tests read.
    """
    try:
        told = loader(DEPLOY / "compose.yaml", DEPLOY / env if env else None)
    except Absent as absent:
        pytest.skip(str(absent))
    assert told["services"].keys() == compose.services.keys()
    for name, service in compose.services.items() if not env else ():
        assert (told["services"][name].get("command") or []) == service.get("command", [])
        assert (told["services"][name].get("environment") or {}) == service.get("environment", {})


# ── what runs ──────────────────────────────────────────────────────────────────────────────────


async def test_every_service_starts_on_kafka_and_an_edit_arrives(
    tmp_path: Path, compose: Composed, brokers: Brokers
) -> None:
    """Each by its own command and its own environment, where only addresses and files are others: the topics
    are made, every role becomes ready, and the canary's edit of the invented wiki reaches it as a partner.
    """
    made = tmp_path
    secrets_made(made)
    on_kafka = OnKafka(brokers)
    sandbox_port, feed_port = free_port(), free_port()
    addresses = {
        "sandbox:8095": f"127.0.0.1:{sandbox_port}",
        "kafka:9092": brokers.bootstrap,
        "deliver:8080": f"127.0.0.1:{feed_port}",
        "0.0.0.0": "127.0.0.1",
        "/etc/streamer/": f"{made}/partners/",
        "/run/secrets/": f"{made}/secrets/",
    }

    def here(text: str) -> str:
        for there, one in addresses.items():
            text = text.replace(there, one)
        return text

    def service(name: str, *more: str) -> Service:
        told = compose.services[name]
        environ = {key: here(value) for key, value in told["environment"].items()}
        environ |= {"STREAMER_LOG__PREFIX": on_kafka.prefix, "STREAMER_DELIVER__ADMIN_PORT": "0"}
        environ["STREAMER_DELIVER__PORT"] = str(feed_port)
        folder = tmp_path / name
        folder.mkdir()
        return Service(folder, "", *(here(word) for word in told["command"]), *more, environ=environ)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(service("sandbox", "--port", str(sandbox_port)))
        provision = await stack.enter_async_context(service("provision"))
        assert await provision.wait(PATIENCE_S) == 0
        assert compose.services["enrich-2"] == compose.services["enrich"]
        roles = sorted(ROLES - {"enrich-2"})
        running = [await stack.enter_async_context(service(name)) for name in roles]
        for one in running:
            await one.until_ready()
        canary = await stack.enter_async_context(service("canary", "--port", "0", "--interval", "0.5"))
        async with asyncio.timeout(PATIENCE_S):
            while not (await canary.metrics()).get('streamer_canary_runs_total{outcome="arrived"}'):
                await asyncio.sleep(0.2)
        for one in (canary, *running):
            assert await one.terminate() == 0
