"""How the feed is served: the bind, the certificate, the secret of tickets."""

from datetime import UTC, datetime, timedelta
from typing import Final

from streamer.check.finding import Finding, ok, problem, warning
from streamer.config import DeliverSettings, Settings
from streamer.deliver.bind import refuse_open_bind
from streamer.deliver.ticket_secret import ticket_secret
from streamer.deliver.tls import CERTIFICATE, read_certificate
from streamer.errors import ConfigError

SOON: Final = timedelta(days=14)
"""A renewal that works by itself comes at 30 days; at 14 it has failed for a while."""


def delivery_of(settings: Settings, now: datetime | None = None) -> list[Finding]:
    deliver = settings.deliver
    findings = []
    try:
        refuse_open_bind(deliver)
    except ConfigError as error:
        findings.append(problem(str(error)))
    if deliver.certificate:
        findings.append(_certificate(deliver, now or datetime.now(UTC)))
    findings.append(_tickets(deliver))
    return findings


def _certificate(deliver: DeliverSettings, now: datetime) -> Finding:
    try:
        _, validity = read_certificate(deliver)
    except ConfigError as error:
        return problem(str(error))
    where = f"{CERTIFICATE}: {deliver.certificate}"
    ends = f"{validity.ends:%Y-%m-%d %H:%M} UTC"
    if validity.ends <= now:
        return problem(f"{where} has expired, at {ends}: no client accepts it; renew it and send SIGHUP")
    if validity.begins > now:
        begins = f"{validity.begins:%Y-%m-%d %H:%M} UTC"
        return problem(f"{where} is not valid before {begins}: is the clock right?")
    if validity.ends - now < SOON:
        return warning(f"{where} expires soon, at {ends}: renew it and send SIGHUP")
    return ok(f"{where} is valid until {ends}")


def _tickets(deliver: DeliverSettings) -> Finding:
    try:
        secret = ticket_secret(deliver)
    except ConfigError as error:
        return problem(str(error))
    if secret:
        return ok("tickets: signed with the configured secret")
    return ok(
        "tickets: signed with a secret that each process makes at its start; several behind one address need"
        " deliver.ticket_secret_file"
    )
