"""What is on the cluster by Strimzi's operators is what `provision` would have made."""

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from harness.strimzi import QUOTAS, acls_of, read

from streamer.cli import main
from streamer.config import LogSettings, SecuritySettings, Settings
from streamer.errors import ConfigError
from streamer.log.kafka_topics import policy
from streamer.partners import Partner, Partners, hash_key
from streamer.provision.desired import Desired, desired
from streamer.provision.strimzi import CHART_SECRETS, object_name, resources, stream

LOG = LogSettings(
    kind="kafka",
    security=SecuritySettings(username="admin", password="not-to-be-seen"),
    partner_bytes_per_second=1_000_000,
    partner_request_percentage=50,
)
SETTINGS = Settings(log=LOG)
PARTNERS: Partners = {name: Partner(name=name) for name in ("acme", "beta-2")}
WANTED = desired(SETTINGS, PARTNERS)


def rendered(wanted: Desired, replication: int = 3) -> str:
    return stream(resources(wanted, replication=replication, cluster="events"))


def test_all_that_provision_makes_and_no_more() -> None:
    """Topics with partitions, replicas and each setting of their policies; users; what they may do, to the
    last right; quotas. Read back, it is the desired state itself.
    """
    topics, users = read(rendered(WANTED))
    assert list(topics) == [spec.name for spec in WANTED.topics]
    for spec in WANTED.topics:
        found = topics[spec.name]
        assert (found["partitions"], found["replicas"]) == (spec.partitions, 3)
        assert found["config"] == policy(spec, replication=3)
    assert tuple(users) == WANTED.users
    assert set().union(*(acls_of(user, spec) for user, spec in users.items())) == WANTED.acls
    for user, spec in users.items():
        told = {QUOTAS[name]: value for name, value in spec.get("quotas", {}).items()}
        assert told == WANTED.quotas.get(user, {})


def test_the_same_again_and_no_secret_in_it() -> None:
    """Two runs are the same to the last byte, whatever order the rights were found in; the operators make the
    passwords, and no key, hash or password of ours is printed.
    """
    shuffled = replace(WANTED, acls=frozenset(sorted(WANTED.acls, reverse=True)))
    text = rendered(WANTED)
    assert rendered(shuffled) == text
    assert LOG.security.password not in text
    assert "password" not in text


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("wiki.articles.v1.acme", "wiki.articles.v1.acme"),
        ("wiki.articles.v1.-acme", r"wiki\.articles\.v1\.acme-[0-9a-f]{8}"),
        ("wiki-.articles.v1.-", r"wiki\.articles\.v1\.x-[0-9a-f]{8}"),
    ],
)
def test_a_topic_that_kubernetes_has_no_name_for(topic: str, name: str) -> None:
    """Its resource gets one that is like it and nobody else's; the topic keeps its own in `topicName`."""
    assert re.fullmatch(name, object_name(topic))
    assert object_name("wiki.articles.v1.-acme") != object_name("wiki.articles.v1.acme-")


def test_what_strimzi_can_not_say_is_told() -> None:
    """By the name of the partner, the key or the option, and with what to do."""
    odd = desired(SETTINGS, {"-acme": Partner(name="-acme")})
    with pytest.raises(ConfigError, match=r"user -acme.*another name"):
        rendered(odd)
    for name in ("events-cluster-ca-cert", *CHART_SECRETS):
        with pytest.raises(ConfigError, match=rf"user {name}.*Secret of that name.*another name"):
            rendered(desired(SETTINGS, {name: Partner(name=name)}))
    assert resources(WANTED, replication=3, cluster="wiki")  # as the roles' users begin
    half = Settings(log=msgspec.structs.replace(LOG, partner_request_percentage=12.5))
    with pytest.raises(ConfigError, match=r"log\.partner_request_percentage.*12\.5.*whole"):
        rendered(desired(half, PARTNERS))
    with pytest.raises(ConfigError, match=r"--cluster.*My Cluster"):
        resources(WANTED, replication=3, cluster="My Cluster")


def test_the_command_needs_no_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints what the settings and partners.toml ask for; without the latter it prints nothing at all, or
    whoever applies it with pruning would end every partner; and it goes with no option of the other format.
    """
    monkeypatch.chdir(tmp_path)
    Path("streamer.toml").write_text('[log]\nkind = "kafka"\nbootstrap = ["nowhere.invalid:9092"]\n')
    words = ["provision", "--format", "strimzi", "--cluster", "events"]
    told: dict[str, str] = {}

    def run(*more: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        told["out"], told["err"] = capsys.readouterr()
        return int(ended.value.code or 0)

    assert run() == 2
    assert not told["out"]
    assert "partners.toml: no such file" in told["err"]
    Path("partners.toml").write_text(f'[acme]\nkeys = ["{hash_key("wrs_of_acme")}"]\n')
    assert run() == 0, told
    topics, users = read(told["out"])
    assert "wiki.articles.v1.acme" in topics
    assert "acme" in users
    assert run("--dry-run") == 2
    assert "--dry-run" in told["err"]
    del words[3:]
    assert run() == 2
    assert "--cluster NAME" in told["err"]
