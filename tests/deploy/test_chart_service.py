"""What the chart gives to the service is what the service takes: settings, commands, ports, time to stop."""

import asyncio
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.charts import BROKERS, DEFAULT, ROLES, SETS, Workload, one, workload, workloads
from harness.delivering import delivering, raw
from harness.helm import rendered

from deploy.kubernetes.schema import NOT_IN_CONFIG, OF_THE_CHART
from streamer.cli import _parser
from streamer.config import Settings, load
from streamer.deliver.bind import refuse_open_bind
from streamer.health import Health, admin_app
from streamer.provision.desired import role_users
from streamer.stop import MARGIN_S

pytestmark = pytest.mark.xdist_group("chart")

STARTS_S = 20
"""In the worst case: its modules, and the log that it opens."""


def settings_of(name: str, pod: Workload, folder: Path) -> Settings:
    """What `streamer` would read in this container."""
    file = folder / "streamer.toml"
    file.write_text(one(name, "ConfigMap")["data"]["streamer.toml"])
    environ = pod.environ
    assert environ.pop("STREAMER_CONFIG") == "/etc/streamer/config/streamer.toml"
    mounts = {mount["name"]: mount["mountPath"] for mount in pod.container["volumeMounts"]}
    assert mounts["config"] == "/etc/streamer/config"
    return load(str(file), environ)


def is_mounted(pod: Workload, path: str) -> bool:
    """Whether a Secret's key lies there."""
    folder, _, file = path.rpartition("/")
    names = {mount["mountPath"]: mount["name"] for mount in pod.container["volumeMounts"]}
    return any(
        volume["name"] == names.get(folder) and volume["secret"]["items"][0]["path"] == file
        for volume in pod.pod["volumes"]
        if "secret" in volume
    )


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("role", ROLES)
def test_the_service_reads_its_settings(name: str, role: str, tmp_path: Path) -> None:
    """Without a mistake, as operators set them, by its own strict reader; each file that they name is
    mounted; and deliver may listen where it is told to.
    """
    pod = workload(name, role)
    settings = settings_of(name, pod, tmp_path)
    log, deliver, given = settings.log, settings.deliver, SETS[name]
    assert log.kind == "kafka"
    assert list(log.bootstrap) == given["kafka"]["bootstrap"]
    assert (deliver.host, deliver.admin_host) == ("0.0.0.0", "0.0.0.0")
    refuse_open_bind(deliver)
    assert log.security.protocol == given["kafka"].get("protocol", "SASL_SSL")
    files = [log.security.password_file, log.security.ca_file]
    files += [settings.privacy.secret_file, deliver.ticket_secret_file]
    files += [settings.partners.file] if role != "source" else []
    assert all(is_mounted(pod, file) for file in files if file)
    assert bool(log.security.password_file) == (name != "bare")
    assert bool(settings.privacy.secret_file) == (name == "full" and role == "route")
    assert bool(deliver.ticket_secret_file) == (name == "full" and role == "deliver")


def test_users_are_those_that_provision_makes(tmp_path: Path) -> None:
    """Of the prefix, and with Secrets of their names, as Strimzi makes them; unless others are given."""
    for name, prefix in (("default", "wiki"), ("full", "prod")):
        users = [settings_of(name, workload(name, r), tmp_path).log.security.username for r in ROLES]
        wanted = list(role_users(prefix))
        if name == "full":
            wanted[wanted.index("prod-route")] = "router"
        assert users == wanted


def test_every_setting_can_be_given(tmp_path: Path) -> None:
    """All keys of all sections but those of the chart, each as the service has it by itself: what is read
    back are its defaults, to the type of each number.
    """
    tree: dict[str, Any] = msgspec.to_builtins(Settings())
    config = {
        section: {key: value for key, value in keys.items() if key not in OF_THE_CHART.get(section, ())}
        for section, keys in tree.items()
        if section not in NOT_IN_CONFIG
    }
    found = {it["kind"]: it for it in rendered(DEFAULT | {"config": config})}
    text = found["ConfigMap"]["data"]["streamer.toml"]
    (tmp_path / "all.toml").write_text(text)
    loaded: dict[str, Any] = msgspec.to_builtins(load(str(tmp_path / "all.toml"), {}))
    for section, keys in config.items():
        assert {key: loaded[section][key] for key in keys} == keys
        left_out = {"requests_per_minute", "since"}  # None
        assert keys.keys() - left_out <= tomllib.loads(text)[section].keys()
    assert list(loaded["log"]["bootstrap"]) == BROKERS


def test_a_change_of_settings_restarts_the_pods_and_nothing_else_does() -> None:
    """By a checksum of what is mounted: another setting changes it, another number of pods doesn't. Nor does
    another chart that has the same pods: they hold no version but their image's.
    """
    for pod in workloads("default"):
        if pod.container["command"][0] == "streamer":
            assert not [key for key in pod.labels if "version" in key or "chart" in key]

    def checksums(**more: object) -> set[str]:
        return {
            it["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for it in rendered(DEFAULT | more)
            if it["kind"] == "Deployment"
        }

    (before,) = checksums()
    assert checksums(roles={"deliver": {"replicas": 5}}) == {before}
    (after,) = checksums(config={"deliver": {"heartbeat_s": 10}})
    assert after != before


@pytest.mark.parametrize("name", SETS)
def test_commands_are_the_services_own(name: str) -> None:
    """Its parser takes each; the canary's words are what was asked for."""
    for pod in workloads(name):
        program, *words = pod.container["command"]
        if program == "python":  # that of `helm test`
            compile(words[1], "test", "exec")
            service = one(name, "Service", "-deliver")["metadata"]["name"]
            assert words[2] == f"http://{service}:80"
            continue
        assert program == "streamer"
        options = _parser().parse_args(words)
        if words[0] == "run":
            assert options.role == [pod.labels["app.kubernetes.io/component"]]
        else:
            given = SETS[name]["canary"]
            assert (options.wiki, options.page, options.edit) == (given["wiki"], given["page"], given["edit"])
            assert is_mounted(pod, str(options.key_file))
            assert is_mounted(pod, str(options.bot_file))
            assert (options.host, options.port) == ("0.0.0.0", 9091)
            assert options.feed == "http://wiki-streamer-deliver:80"


async def test_the_pod_of_helm_test_asks_what_it_should(tmp_path: Path) -> None:
    """Its program is content with a deliver that serves, and not with one that refuses."""
    (pod,) = (it for it in workloads("default") if it.container["command"][0] == "python")
    _, *words, _ = pod.container["command"]
    async with delivering(tmp_path) as server:

        async def asked() -> int:
            base = server.url.removesuffix("/v2/articles")
            program = await asyncio.create_subprocess_exec(
                sys.executable, *words, base, stderr=asyncio.subprocess.DEVNULL
            )
            return await asyncio.wait_for(program.wait(), 60)

        assert await asked() == 0
        async with raw(server, target="/v2/articles") as (reader, _):  # somebody to be told
            await reader.readuntil(b":ok\n")
            server.runtime.draining.set()
            await reader.readuntil(b"event: bye\n")
        assert await asked() != 0


@pytest.mark.parametrize("role", ROLES)
def test_probes_ask_what_there_is(role: str, tmp_path: Path) -> None:
    """Routes of the admin port, at the port that it listens on, whose name they use; and a start may take as
    long as one takes on a node that is busy.
    """
    pod = workload("default", role)
    settings = settings_of("default", pod, tmp_path)
    ports = {port["name"]: port["containerPort"] for port in pod.container["ports"]}
    assert ports.pop("admin") == settings.deliver.admin_port
    assert ports == ({"http": settings.deliver.port} if role == "deliver" else {})
    routes = {route.resource.canonical for route in admin_app(Health()).router.routes() if route.resource}
    probes = {name: pod.container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    assert all(probe["httpGet"]["port"] == "admin" for probe in probes.values())
    paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert set(paths.values()) <= routes
    startup = probes["startup"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > 2 * STARTS_S


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("role", ROLES)
def test_there_is_time_to_stop(name: str, role: str, tmp_path: Path) -> None:
    """Kubernetes kills no process that is still within its own time: it is the sleep before the signal,
    `drain_s`, the service's own margin, and some for a busy node. Of deliver that is ten minutes by default.
    """
    pod = workload(name, role)
    drain_s = settings_of(name, pod, tmp_path).deliver.drain_s
    sleep_s = pod.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod.pod["terminationGracePeriodSeconds"] >= sleep_s + drain_s + MARGIN_S + 10
    if role == "deliver" and name != "bare":
        assert (drain_s, sleep_s) == (600, 10)
    elif role != "deliver":
        assert (drain_s, sleep_s) == (30, 0)
