"""Configuration and partners file: every mistake at once, and what is in force where there is none."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, get_type_hints

from streamer.check.finding import Finding, ok, problem, warning
from streamer.config import (
    RPM_UNIDENTIFIED,
    Settings,
    TracingSettings,
    convert,
    load,
    named_file,
    overlay,
    read_toml,
)
from streamer.errors import ConfigError
from streamer.partners import Demands, load_partners, mistakes
from streamer.privacy import privacy_secret
from streamer.reload import LIVE
from streamer.route.rules import REVERTING_TAGS
from streamer.tracing import NOT_INSTALLED

UPSTREAM_KEEPS: Final = timedelta(days=7)
TRACING: Final = "opentelemetry.exporter.otlp.proto.http"


def configured(path: str | None) -> tuple[Settings | None, list[Finding]]:
    """The settings; None, and every mistake that can be told from the others, where they are wrong."""
    try:
        settings = load(path)
    except ConfigError as error:
        return None, [problem(text) for text in _mistakes(path) or [str(error)]]
    file = named_file(path)
    return settings, [ok(f"{file or 'no streamer.toml, the defaults'}: no mistakes")]


def _mistakes(path: str | None) -> list[str]:
    """Each key by itself. Empty where not even that can be done: no such file, no TOML."""
    file = named_file(path)
    try:
        tree: dict[str, Any] = read_toml(file) if file else {}
        variables = overlay(tree, os.environ)
    except ConfigError:
        return []
    found: list[str] = []
    for section, table in tree.items():
        parts: list[object] = [table]
        if isinstance(table, Mapping) and section in get_type_hints(Settings):
            parts = [{key: value} for key, value in table.items()]
        for part in parts:
            try:
                convert({section: part}, Settings, str(file or "streamer.toml"))
            except ConfigError as error:
                key = f"{section}.{next(iter(part))}" if isinstance(part, Mapping) and part else section
                found.append(f"${variables[key]}: {error.problem}" if key in variables else str(error))
    return found


def in_force(settings: Settings, now: datetime | None = None) -> list[Finding]:
    """The budget, and why it is what it is; where the source would begin."""
    budget = settings.requests_per_minute
    mediawiki = settings.mediawiki
    if mediawiki.requests_per_minute is not None:
        why = "mediawiki.requests_per_minute"
    elif mediawiki.endpoint:
        why = "the default with a mediawiki.endpoint of one's own"
    elif settings.source.contact:
        why = "the default with a source.contact"
    else:
        why = "the default without a source.contact"
    whole = ", of all processes together" if settings.log.kind == "kafka" else ""
    findings = [
        ok(
            f"budget: {budget} requests a minute, {mediawiki.concurrency} at once, batches of up to"
            f" {mediawiki.batch} ({why}){whole}"
        ),
        ok(f"wikis admitted: {', '.join(settings.admitted_wikis) or 'all'}"),
    ]
    if scores := settings.scores.url:
        findings.append(
            ok(
                f"scores that the stream lacks: asked of {scores} with {settings.scores.requests_per_minute}"
                f" requests a minute of their own, for {', '.join(settings.scores.wikis) or 'all Wikipedias'}"
            )
        )
    findings += _tracing(settings.tracing) + _since(settings.source.since, now or datetime.now(UTC))
    if not settings.identified:
        text = "source.contact is not set: Wikimedia grants 10 requests a minute, with a contact 200"
        if budget > RPM_UNIDENTIFIED:
            text += f"; mediawiki.requests_per_minute = {budget} will be refused"
        findings.append(warning(text))
    return findings


def _since(since: datetime | None, now: datetime) -> list[Finding]:
    if since is None:
        return []
    text = f"source.since = {since.isoformat()}"
    if since > now:
        return [problem(f"{text} is yet to come; leave it out to begin now")]
    if now - since > UPSTREAM_KEEPS:
        return [
            warning(
                f"{text}: upstream keeps {UPSTREAM_KEEPS.days} days, so a log that holds nothing begins there"
                " with a gap; leave it out where the log has begun"
            )
        ]
    return [ok(f"{text}: a log that holds nothing begins there; take it out once it has begun")]


def _tracing(tracing: TracingSettings) -> list[Finding]:
    if not tracing.is_on:
        return []
    if not _is_installed():
        return [problem(f"tracing.endpoint: {NOT_INSTALLED}")]
    return [ok(f"tracing: {tracing.sample:.4g} of all changes, to {tracing.url}")]


def _is_installed() -> bool:
    try:
        return find_spec(TRACING) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False


def replaceable() -> list[Finding]:
    keys = (f"{section}.{key}" for section, keys in LIVE.items() for key in sorted(keys))
    live = ", ".join(keys)
    return [ok(f"SIGHUP puts in force: {live}, a renewed certificate; the rest needs a restart")]


def partners_of(settings: Settings) -> list[Finding]:
    file = Path(settings.partners.file)
    findings: list[Finding] = []
    try:
        has_secret = bool(privacy_secret(settings.privacy))
    except ConfigError as error:
        has_secret = True  # one mistake is told once
        findings.append(problem(str(error)))
    return findings + _partners_in(file, Demands.of(settings, has_secret=has_secret))


def _partners_in(file: Path, demands: Demands) -> list[Finding]:
    if not file.exists():
        return [warning(f"{file}: no such file: nobody is served; `streamer partner add NAME` makes it")]
    try:
        partners = load_partners(file, demands)
    except ConfigError as error:
        return [problem(text) for text in mistakes(file, demands) or [str(error)]]
    without_effect = [
        warning(
            f"{file}: {name}.without_tags: leaves hardly anything out: {', '.join(partner.without_tags)} are"
            " tags of reverts, and reverts come whatever this rule says"
        )
        for name, partner in sorted(partners.items())
        if partner.without_tags and REVERTING_TAGS.issuperset(partner.without_tags)
    ]
    return [*without_effect, ok(f"{file}: {len(partners)} partners")]
