"""Settings: every key has a default that works, and a mistake is named with its path."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamer.config import DeliverSettings, Settings, load, pinned
from streamer.deliver.ticket_secret import ticket_secret
from streamer.deliver.tls import read_certificate
from streamer.errors import ConfigError


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "streamer.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_no_file_means_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file and without a variable the defaults are in force."""
    monkeypatch.chdir(tmp_path)
    assert load(environ={}) == Settings()


def test_a_file_that_is_gone_is_no_wish_for_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory's file was read at the start; when it is to be read again, it isn't there."""
    monkeypatch.chdir(tmp_path)
    assert pinned(None, {}) is None
    file = tmp_path / "streamer.toml"
    file.write_text('[admit]\nwikis = ["scowiki"]\n')
    read = pinned(None, {})
    assert load(read, {}).admit.wikis == ("scowiki",)
    file.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        load(read, {})


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("[source]\nrewnd_s = 3", "source.rewnd_s", "unknown key; allowed here: url, streams"),
        ("[sorce]\n", "sorce", "unknown key; allowed here: source, admit"),
        ("[log]\npartitions = 7", "log.partitions", "int"),
        ('[log]\nkind = "redis"', "log.kind", "redis"),
        ("[deliver]\nport = 70000", "deliver.port", "65535"),
        ("[log]\nhistory_hours = 0", "log.history_hours", "> 0"),
        ('[log.security]\nprotocl = "SSL"', "log.security.protocl", "allowed here: protocol, mechanism"),
        ('source = "x"', "source", "object"),
        ('[source]\nurl = "stream.example"', "source", "neither an http(s) URL nor file:PATH"),
        ('[source]\nstreams = ["recentchanges"]', "source", "'recentchanges' is none that is understood"),
        ("[source]\nstreams = []", "source", "streams is empty"),
        ("[source]\nrewind_s = 604800", "source", "rewind_s is more than an hour (3600)"),
        ('[source]\nsince = "yesterday"', "source.since", "RFC3339"),
        ("[source]\nsince = 2026-11-21T12:00:00", "source.since", "timezone"),
        ('[mediawiki]\nendpoint = "foo"', "mediawiki", "no http(s) URL"),
        ('[deliver]\ncertificate = "c.pem"', "deliver", "certificate is given and private_key is not"),
        ('[deliver]\nprivate_key = "k.pem"', "deliver", "private_key is given and certificate is not"),
        (f'[deliver]\nticket_secret = "{"x" * 31}"', "deliver", "ticket_secret has less than 32 characters"),
        (
            f'[deliver]\nticket_secret = "{" " * 20}{"xy" * 10}{" " * 20}"',
            "deliver",
            "ticket_secret has less than 32 characters",
        ),
        (f'[deliver]\nticket_secret = "{"x" * 64}"', "deliver", "ticket_secret is one character again and"),
        (f'[privacy]\nsecret = "{"x" * 31}"', "privacy", "secret has less than 32 characters"),
        ('[admit]\nwikis = ["en.wikipedia.org"]', "admit", '"en.wikipedia.org" can match no wiki'),
        ('[scores]\nurl = "http://api.wikimedia.org"', "scores", "http goes to this machine only"),
        ('[scores]\nurl = "http://127.0.0.1.example.org"', "scores", "no https URL"),
        ('[scores]\nurl = "https://me:secret@api.wikimedia.org"', "scores", "no https URL"),
        ('[scores]\nurl = "api.wikimedia.org"', "scores", "no https URL"),
        ('[scores]\nwikis = ["en.wikipedia.org"]', "scores", '"en.wikipedia.org" can match no wiki'),
        ("[scores]\ndeadline_s = 0", "scores.deadline_s", "> 0"),
        ("[scores]\nrequests_per_minute = 0", "scores.requests_per_minute", ">= 1"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, where: str, problem: str) -> None:
    """The error says which file, which key, and what is allowed."""
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert caught.value.where == (f"{file}: {where}" if where else str(file))
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    "url",
    ["https://api.wikimedia.org", "http://127.0.0.1:8123/", "http://localhost:1/v1/models/x:predict"],
)
def test_whom_scores_may_be_asked_of(url: str) -> None:
    """Anybody by https; by http this machine, where a proxy or a stub may stand."""
    assert load(environ={"STREAMER_SCORES__URL": url}).scores.url == url
    assert not Settings().scores.url


def test_a_secret_that_is_no_text_is_refused() -> None:
    """UTF-8 is asked of the environment; it is not shown. White space around a secret is none of it."""
    with pytest.raises(ConfigError, match="ticket_secret is no text") as caught:
        load(environ={"STREAMER_DELIVER__TICKET_SECRET": "geheim" * 6 + "\udcff"})
    assert "geheim" not in str(caught.value)
    good = load(environ={"STREAMER_DELIVER__TICKET_SECRET": f" {'geheim' * 6}\n"})
    assert ticket_secret(good.deliver) == "geheim" * 6


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_no_file_can_be_called_is_named(name: str) -> None:
    """Of the settings, of the secret and of a certificate: no traceback of Python's."""
    for read in (
        lambda: load(name, {}),
        lambda: ticket_secret(DeliverSettings(ticket_secret_file=name)),
        lambda: read_certificate(DeliverSettings(certificate=name, private_key=name)),
    ):
        with pytest.raises(ConfigError, match="nothing that a file can be called") as caught:
            read()
        str(caught.value).encode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"[source\n", "is not TOML"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    """Broken TOML and broken UTF-8 are told apart."""
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=problem):
        load(str(file), {})


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    """Naming a file that isn't there doesn't fall back to defaults in silence."""
    with pytest.raises(ConfigError, match="no such file"):
        load(str(tmp_path / "none.toml"), {})
    with pytest.raises(ConfigError, match="no such file"):
        load(None, {"STREAMER_CONFIG": str(tmp_path / "none.toml")})


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    """STREAMER_SECTION__KEY sets any key, as TOML where it isn't a string."""
    file = written(tmp_path, '[admit]\nwikis = ["dewiki"]\n[log]\npartitions = 20')
    settings = load(
        file,
        {
            "STREAMER_ADMIT__WIKIS": "enwiki, frwiki",
            "STREAMER_LOG__HISTORY_HOURS": "1.5",
            "STREAMER_SOURCE__CONTACT": "ops@example.org",
            "STREAMER_LOG__SECURITY__USERNAME": "12345",
            "STREAMER_DELIVER__BEHIND_TLS": "true",
            "STREAMER_SOURCE__SINCE": "2026-11-21T12:00:00Z",
        },
    )
    assert settings.admit.wikis == ("enwiki", "frwiki")
    assert settings.log.history_hours == 1.5
    assert settings.log.partitions == 20
    assert settings.log.security.username == "12345"
    assert settings.deliver.behind_tls
    assert settings.source.since == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert "ops@example.org" in settings.user_agent


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("STREAMER_SORCE__URL", "x", "no such section"),
        ("STREAMER_SOURCE__ULR", "x", "unknown key"),
        ("STREAMER_LOG__PARTITIONS", "many", "int"),
        ("STREAMER_ADMIT__NAMESPACES", "[0, 'x']", "int"),
    ],
)
def test_a_mistake_in_the_environment_is_named(name: str, value: str, problem: str) -> None:
    """A misspelt variable is an error, as a misspelt key is, and no file is blamed for it."""
    with pytest.raises(ConfigError, match=problem) as caught:
        load(None, {name: value})
    assert caught.value.where == f"${name}"


def test_without_a_contact_the_budget_is_small() -> None:
    """Wikimedia grants 10 requests a minute to the unidentified: then two small wikis; else 200, and all."""
    anonymous = load(None, {})
    assert anonymous.requests_per_minute == 10
    assert len(anonymous.admitted_wikis) == 2
    known = load(None, {"STREAMER_SOURCE__CONTACT": "ops@example.org"})
    assert known.requests_per_minute == 200
    assert known.admitted_wikis == ()
