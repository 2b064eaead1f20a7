"""Which feeds the options of a command ask for."""

import argparse
from pathlib import Path

import pytest

from consumers import feeds
from consumers.errors import UsageError
from consumers.event import Feed
from consumers.kafka import KafkaFeed
from consumers.parts import ALL, Parts
from consumers.sse import SseFeed

KEY = "wrs_secretsecret"


def opened(*arguments: str, positions: tuple[str, ...] = ()) -> list[Feed]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    feeds.arguments(parser)
    return feeds.opened(parser.parse_args(arguments), positions)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUS_KEY", KEY)


def test_without_options_it_is_what_runs_here() -> None:
    """The whole feed of a service on this machine, by one connection, from now on."""
    [feed] = opened()
    assert isinstance(feed, SseFeed)
    assert (feed.name, feed.url) == ("sse:0-9", "http://127.0.0.1:8080/v2/articles")
    assert (feed.parts, feed.since, feed.goes_on, feed.key()) == (ALL, None, False, KEY)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://feed.example.org", "https://feed.example.org/v2/articles"),
        ("https://feed.example.org:8443/", "https://feed.example.org:8443/v2/articles"),
        ("https://example.org/wiki/v2/articles", "https://example.org/wiki/v2/articles"),
        ("http://[::1]:80", "http://[::1]:80/v2/articles"),
        ("http://localhost:1", "http://localhost:1/v2/articles"),
    ],
)
def test_an_address_may_name_the_route_or_not(given: str, url: str) -> None:
    """Base or whole, it is the same feed."""
    [feed] = opened("--url", given)
    assert isinstance(feed, SseFeed)
    assert feed.url == url


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "http://feed.example.org"], "use https"),
        (["--url", "http://127.0.0.1.example.org"], "use https"),
        (["--url", "ftp://feed.example.org"], "no address"),
        (["--url", "feed.example.org"], "no address"),
        (["--url", "https://feed.example.org:99999"], "no address"),
        (["--url", "http://[::1"], "no address"),
        (["--url", f"https://u:{KEY}@feed.example.org"], "nothing more"),
        (["--url", f"https://feed.example.org/?key={KEY}"], "nothing more"),
        (["--key-file", "/none/such"], "--key-file /none/such: No such file"),
        (["--kafka", "nowhere"], "no HOST:PORT"),
        (["--kafka", "h:1"], "needs --topic, or --user"),
        (["--kafka", "h:1", "--user", "acme"], "given together"),
        (["--kafka", "h:1", "--topic", "t", "--password-file", "x"], "given together"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(arguments: list[str], said: str) -> None:
    """Before anything is asked of anybody, and without the key."""
    with pytest.raises(UsageError) as raised:
        opened(*arguments)
    assert said in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "yesterday"],
        ["--since", "2026-11-21T12:00:00"],
        ["--parts", "5-4"],
        ["--parts", "0-10"],
        ["--connections", "0"],
        ["--connections", "11"],
        ["--wikis", "en wiki"],
        ["--wikis", ","],
        ["--on-gap", "perhaps"],
    ],
)
def test_a_single_option_is_checked(arguments: list[str]) -> None:
    """By the parser, which says what would do."""
    with pytest.raises(argparse.ArgumentError):
        opened(*arguments)


def test_insecure_lets_a_key_travel() -> None:
    """Only where it is said."""
    assert opened("--url", "http://feed.example.org", "--insecure")


def test_a_key_file_is_read_at_each_connection(tmp_path: Path) -> None:
    """So that a key can be changed under a reader; what is no key is refused without showing it."""
    file = tmp_path / "key"
    file.write_text("one\n")
    [feed] = opened("--key-file", str(file))
    assert isinstance(feed, SseFeed)
    file.write_text("two\n")
    assert feed.key() == "two"
    for odd in ("", "a b", "ä", "a\nb"):
        file.write_text(odd)
        with pytest.raises(UsageError) as raised:
            feed.key()
        assert odd == "" or repr(odd)[1:-1] not in str(raised.value)


def test_no_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With where it would be."""
    monkeypatch.delenv("CORPUS_KEY")
    with pytest.raises(UsageError, match=r"\$CORPUS_KEY: there is no key"):
        opened()


def test_connections_share_the_parts() -> None:
    """Each part by one of them, whatever the numbers."""
    assert [feed.name for feed in opened("--connections", "3")] == ["sse:0-2", "sse:3-5", "sse:6-9"]
    assert [feed.name for feed in opened("--parts", "4", "--connections", "3")] == ["sse:4-4"]
    for first in range(10):
        for last in range(first, 10):
            for count in range(1, 11):
                ranges = Parts(first, last).split(count)
                covered = [part for one in ranges for part in range(one.first, one.last + 1)]
                assert covered == list(range(first, last + 1))


def test_parts_are_tenths_of_the_partitions() -> None:
    """Each partition in one part, whatever their number."""
    for partitions in range(1, 40):
        found = [number for part in range(10) for number in Parts(part, part).of(partitions)]
        assert found == list(range(partitions))


def test_wikis_are_in_the_name() -> None:
    """In whatever order they are given: with other wikis it is another feed."""
    [feed] = opened("--wikis", "enwiki, dewiki,enwiki")
    assert feed.name == "sse:0-9:dewiki,enwiki"


def test_other_feeds_under_a_corpus_are_refused() -> None:
    """Another number of connections, other wikis or another way in would begin now, with a hole behind:
    refused, with what the corpus was read by, unless `--since` says where they begin.
    """
    read_by = ("sse:0-4", "sse:5-9")
    assert opened("--connections", "2", positions=read_by)
    for change in (
        (),
        ("--connections", "3"),
        ("--connections", "2", "--wikis", "enwiki"),
        ("--kafka", "127.0.0.1:1", "--topic", "t"),
    ):
        with pytest.raises(UsageError, match=r"read by sse:0-4, sse:5-9 and has no position of .*--since"):
            opened(*change, positions=read_by)
        assert opened(*change, "--since", "2026-11-21T12:00:00Z", positions=read_by)
    assert opened("--connections", "2", positions=(*read_by, "sse:0-9"))


def test_a_topic_on_kafka(tmp_path: Path) -> None:
    """Of the user's name; encrypted wherever it is not on this machine, or a certificate is named."""
    password = tmp_path / "password"
    password.write_text("pw\n")
    user = ["--user", "acme", "--password-file", str(password)]
    [feed] = opened("--kafka", "k1.example.org:9093, k2.example.org:9093", *user)
    assert isinstance(feed, KafkaFeed)
    assert feed.name == "kafka:wiki.articles.v1.acme:0-9"
    assert feed.access.bootstrap == ("k1.example.org:9093", "k2.example.org:9093")
    assert (feed.access.user, feed.access.password, feed.access.is_encrypted) == ("acme", "pw", True)
    assert "pw" not in repr(feed)
    for more, is_encrypted in (
        (["--kafka", "h:1", "--insecure"], False),
        (["--kafka", "127.0.0.1:1,[::1]:2"], False),
        (["--kafka", "127.0.0.1:1,h:2"], True),
        (["--kafka", "127.0.0.1:1", "--ca-file", str(password)], True),
    ):
        [feed] = opened(*more, "--topic", "t")
        assert isinstance(feed, KafkaFeed)
        assert feed.access.is_encrypted is is_encrypted
