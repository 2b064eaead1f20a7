"""What `streamer check` says of settings that are in force."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamer.check.configuration import in_force, partners_of
from streamer.config import (
    LogSettings,
    PartnersSettings,
    PrivacySettings,
    ScoresSettings,
    Settings,
    SourceSettings,
    TracingSettings,
)


def said(settings: Settings) -> str:
    return "\n".join(map(str, in_force(settings)))


def test_a_cluster_has_one_budget() -> None:
    """Which is told, so that nobody multiplies it by the number of processes."""
    source = SourceSettings(contact="ops@example.org")
    text = said(Settings(source=source, log=LogSettings(kind="kafka")))
    assert "200 requests a minute, 3 at once" in text
    assert "of all processes together" in text
    assert "together" not in said(Settings(source=source))


def test_who_is_asked_for_scores_is_told() -> None:
    """With its own budget; by default nobody is."""
    text = said(Settings(scores=ScoresSettings(url="https://api.wikimedia.org", wikis=("enwiki",))))
    assert "asked of https://api.wikimedia.org with 60 requests a minute of their own, for enwiki" in text
    assert "scores" not in said(Settings())


def test_a_beginning_that_can_not_be_is_told() -> None:
    """One that is yet to come, and one that upstream does not reach back to; a good one is told as it is."""
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)

    def told(since: datetime) -> str:
        return "\n".join(map(str, in_force(Settings(source=SourceSettings(since=since)), now)))

    assert "source.since = 2026-11-29T13:00:00+00:00 is yet to come" in told(now + timedelta(hours=1))
    assert "upstream keeps 7 days" in told(now - timedelta(days=8))
    assert "begins there; take it out" in told(now - timedelta(days=6))
    assert "source.since" not in said(Settings())


def test_what_partners_ask_for_and_the_settings_can_not_give(tmp_path: Path) -> None:
    """Pseudonyms without a secret, or with one that is too short; settling beyond half of the history."""
    file, secret = tmp_path / "partners.toml", tmp_path / "secret"
    file.write_text('[acme]\neditor = "pseudonym"\n[slow]\nsettle = "4h"\n')
    secret.write_text("s" * 31)

    def found(privacy: PrivacySettings) -> list[str]:
        """The level and the key of each finding."""
        findings = partners_of(Settings(partners=PartnersSettings(str(file)), privacy=privacy))
        assert not [finding for finding in findings if "sss" in finding.text]
        return [
            f"{finding.level} {finding.text.removeprefix(f'{file}: ').partition(':')[0]}"
            for finding in findings
        ]

    assert found(PrivacySettings()) == ["PROBLEM acme.editor", "PROBLEM slow.settle"]
    assert found(PrivacySettings(str(secret))) == ["PROBLEM privacy.secret_file", "PROBLEM slow.settle"]
    assert found(PrivacySettings(secret="st" * 16)) == ["PROBLEM slow.settle"]
    file.write_text('[acme]\neditor = "pseudonym"\nsettle = "3h"\n')
    assert found(PrivacySettings(secret="st" * 16)) == ["ok 1 partners"]


def test_a_rule_without_effect(tmp_path: Path) -> None:
    """Reverts come past `without_tags`, so tags of reverts alone leave nothing out."""
    file = tmp_path / "partners.toml"
    file.write_text(
        '[a]\nwithout_tags = ["mw-undo", "mw-rollback"]\n[b]\nwithout_tags = ["mw-undo", "spam"]\n[c]\n'
    )
    told = [str(finding) for finding in partners_of(Settings(partners=PartnersSettings(str(file))))]
    assert len(told) == 2
    assert "warning" in told[0]
    assert "a.without_tags: leaves hardly anything out: mw-undo, mw-rollback are tags of reverts" in told[0]


def test_tracing_is_told_where_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it goes to and how much of it; and what is not installed, before the service finds out."""
    assert "tracing" not in said(Settings())
    settings = Settings(tracing=TracingSettings("http://127.0.0.1:4318", 0.05))
    assert "tracing: 0.05 of all changes, to http://127.0.0.1:4318/v1/traces" in said(settings)
    monkeypatch.setattr("streamer.check.configuration.TRACING", "no_such_package.at_all")
    assert "pip install 'streamer[tracing]'" in said(settings)
