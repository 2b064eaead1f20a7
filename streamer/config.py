"""`streamer.toml` and the environment → frozen, validated settings.

Strict: an unknown key or a bad value names its path and what is allowed. Every key has a default
that works. `STREAMER_SECTION__KEY` in the environment beats the file.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct

from streamer.errors import ConfigError
from streamer.globs import check_globs
from streamer.traceparent import sampled_from

DEFAULT_FILE: Final = Path("streamer.toml")
ENV_PREFIX: Final = "STREAMER_"
WIKIMEDIA_STREAM: Final = "https://stream.wikimedia.org/v2/stream"
STREAMS: Final = (
    "recentchange",
    "mediawiki.page_change.v1",
    "mediawiki.revision-visibility-change",
    "mediawiki.revision-tags-change",
    "mediawiki.page_revert_risk_prediction_change.v1",
)
BASE_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
TRACES_PATH: Final = "/v1/traces"
PRIVATE_URL: Final = re.compile(
    r"(https://[^\s/?#@]+|http://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?)(/[^\s?#]*)?"
)
"""Where a secret may go: by https, or to this machine."""
RPM_UNIDENTIFIED: Final = 10
RPM_IDENTIFIED: Final = 200
"""Wikimedia's rate tiers for clients without and with a contact in the User-Agent."""
MOST_REWIND_S: Final = 3_600
"""What was told is remembered for as long, and each cut, four an hour, brings it again. A longer past is what
`since` is for: with a rewind of days a source that catches up would never get beyond its first cut.
"""
KNOWN_STREAMS: Final = re.compile(
    r"(mediawiki\.)?recentchange|mediawiki\.page_change\.v1|mediawiki\.revision-(visibility|tags)-change"
    r"|mediawiki\.page_[a-z_]*prediction_change[a-z_]*\.v1"
)
"""The five, and the twins of the last: multilingual, Wikidata's."""
SMALL_WIKIS: Final = ("scowiki", "alswiki")
"""What ten requests a minute can follow."""
TICKET_SECRET_CHARS: Final = 32
"""At least: who could guess it could make tickets."""
PRIVACY_SECRET_CHARS: Final = 32
"""At least: who could guess it could make every user's pseudonym, and look for it."""

NO_FILE_NAME: Final = "is nothing that a file can be called"

Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class SourceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    url: str = WIKIMEDIA_STREAM
    """An EventStreams base (`…/v2/stream`), or `file:PATH`."""
    streams: tuple[str, ...] = STREAMS
    contact: str = ""
    """Mail address or page of the operator; goes into the User-Agent."""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    """Where a log that holds nothing begins; None: with what comes now. One that holds something goes on."""
    rewind_s: NonNegative = 10.0
    silence_s: Positive = 60.0
    """A connection without a byte for so long is given up."""
    speed: Literal["recorded", "full"] = "full"
    """Of a file: at the recorded pace, or as fast as it goes."""
    max_event_bytes: Annotated[int, Meta(ge=65_536)] = 16_777_216

    def __post_init__(self) -> None:
        if not self.url.startswith("file:") and not BASE_URL.fullmatch(self.url):
            raise ValueError(f"url {self.url!r} is neither an http(s) URL nor file:PATH")
        for stream in self.streams:
            if not KNOWN_STREAMS.fullmatch(stream):
                raise ValueError(
                    f"streams: {stream!r} is none that is understood; they are {', '.join(STREAMS)}"
                )
        if not self.streams:
            raise ValueError("streams is empty: name at least recentchange")
        if self.rewind_s > MOST_REWIND_S:
            raise ValueError(
                f"rewind_s is more than an hour ({MOST_REWIND_S}), which each cut of the stream would bring"
                " again: a log that holds nothing begins at `since`"
            )


class AdmitSettings(Struct, frozen=True, forbid_unknown_fields=True):
    wikis: tuple[str, ...] = ()
    """Globs of database names; empty: all, or two small ones where there is no contact."""
    namespaces: tuple[int, ...] = ()
    """Empty: all."""
    bots: bool = True

    def __post_init__(self) -> None:
        check_globs(self.wikis)


class MediaWikiSettings(Struct, frozen=True, forbid_unknown_fields=True):
    hosts: tuple[str, ...] = (
        "*.wikipedia.org",
        "*.wiktionary.org",
        "*.wikibooks.org",
        "*.wikinews.org",
        "*.wikiquote.org",
        "*.wikisource.org",
        "*.wikiversity.org",
        "*.wikivoyage.org",
        "*.wikimedia.org",
        "*.wikidata.org",
        "*.mediawiki.org",
        "*.wikifunctions.org",
        "wikisource.org",
    )
    """Allow-list of names and `*.suffixes`."""
    endpoint: str = ""
    """If set, all wikis are asked at this base URL, with their own name in Host."""
    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    """None: 200 with a contact or an endpoint of one's own, 10 without."""
    concurrency: Annotated[int, Meta(ge=1, le=100)] = 3
    batch: Annotated[int, Meta(ge=1, le=500)] = 50
    maxlag: Annotated[int, Meta(ge=0)] = 5
    timeout_s: Positive = 30.0
    html_share: Annotated[float, Meta(ge=0, le=1)] = 0.25
    """Of the budget, what HTML may take, which costs a request a revision; articles beyond it go without."""
    html_timeout_s: Positive = 10.0
    """What an article waits for its HTML, `timeout_s` at most."""
    retries: Annotated[int, Meta(ge=1)] = 5
    """Failures of one change, while its wiki answers others, before it is a dead letter."""
    missing_retry_s: NonNegative = 10.0
    """`gone` needs three tries over at least so long: replica lag looks like a deletion."""
    defer_after_s: Positive = 300.0

    def __post_init__(self) -> None:
        if self.endpoint and not BASE_URL.fullmatch(self.endpoint):
            raise ValueError(f"endpoint {self.endpoint!r} is no http(s) URL such as http://127.0.0.1:8095")


class SecuritySettings(Struct, frozen=True, forbid_unknown_fields=True):
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    password_file: str = ""
    ca_file: str = ""


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["local", "kafka"] = "local"
    path: str = "data/streamer.db"
    bootstrap: tuple[str, ...] = ("127.0.0.1:9092",)
    security: SecuritySettings = SecuritySettings()
    prefix: Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,39}\\Z")] = "wiki"
    partitions: Annotated[int, Meta(ge=10, multiple_of=10)] = 10
    replication: Annotated[int, Meta(ge=1)] = 3
    history_hours: Positive = 6.0
    retention_gb: Positive = 4.0
    lost: Literal["stop", "skip"] = "stop"
    """What a lane does whose next records were deleted before it read them (streamer.lost)."""
    partner_bytes_per_second: Annotated[int, Meta(ge=0)] = 0
    """Of a cluster, as the next: what each broker sends to a partner's user at most; 0: none of ours, what
    is there is left."""
    partner_request_percentage: NonNegative = 0.0
    """Of one thread's time on each broker; 0 as before."""


class DeliverSettings(Struct, frozen=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: Port = 8080
    """0: any free one; the log line `listening` says which."""
    admin_host: str = "127.0.0.1"
    """Where `/livez`, `/readyz` and `/metrics` are served: apart from `host`, so that a public feed does
    not publish its metrics."""
    admin_port: Port = 9090
    heartbeat_s: Positive = 15.0
    retained_mb: Positive = 256.0
    """Frames of all feeds that this process keeps for its slow readers."""
    max_connections: Annotated[int, Meta(ge=1)] = 10_000
    max_feeds: Annotated[int, Meta(ge=1)] = 1_000
    """Distinct ones, of all partners: by what is asked for (filters, fields, parts, format, encoding)."""
    reuse_port: bool = False
    """Several processes of this role share the port; without it a second one is refused."""
    behind_tls: bool = False
    certificate: str = ""
    """A PEM file: the chain, the server's own certificate first; with `private_key`, TLS in this process."""
    private_key: str = ""
    """A PEM file, not encrypted."""
    ticket_secret: str = ""
    """What tickets are signed with, the same in all processes behind one address; "": one of this process."""
    ticket_secret_file: str = ""
    drain_s: NonNegative = 10.0

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.private_key):
            given, missing = ("certificate", "private_key")[:: 1 if self.certificate else -1]
            raise ValueError(f"{given} is given and {missing} is not: TLS needs both")
        if self.ticket_secret and (problem := secret_problem(self.ticket_secret, TICKET_SECRET_CHARS)):
            raise ValueError(f"ticket_secret {problem}")


def secret_problem(secret: str, chars: int) -> str:
    """Why nothing can be made with it, never what it is; "": it can. White space around it is none of it."""
    secret = secret.strip()
    if any("\ud800" <= character <= "\udfff" for character in secret):
        return "is no text: in the environment it must be UTF-8"
    if len(secret) < chars:
        return f"has less than {chars} characters"
    if len(set(secret)) == 1:
        return "is one character again and again: make one by `openssl rand -hex 32`"
    return ""


class PrivacySettings(Struct, frozen=True, forbid_unknown_fields=True):
    secret_file: str = ""
    secret: str = ""
    """What pseudonyms are made with, from the environment; a file is better, and beats it."""

    def __post_init__(self) -> None:
        if self.secret and (problem := secret_problem(self.secret, PRIVACY_SECRET_CHARS)):
            raise ValueError(f"secret {problem}")


class ReconcileSettings(Struct, frozen=True, forbid_unknown_fields=True):
    every_hours: NonNegative = 6.0
    """So often each wiki is compared with its own lists; 0: only when `streamer reconcile` asks for it.
    Without a contact or an endpoint of one's own never by itself: ten requests a minute are for edits."""
    look_back_hours: NonNegative = 6.0
    """Each time, what was compared before is looked at again for so long: revisions are hidden later."""
    lag_s: NonNegative = 900.0
    """What happened within so long is left alone: the stream may be about to tell it."""


class ScoresSettings(Struct, frozen=True, forbid_unknown_fields=True):
    url: str = ""
    """Of Lift Wing, `https://api.wikimedia.org`, asked for the revert risk of what the stream gives no scores
    of; "": nobody is asked. http to this machine only."""
    requests_per_minute: Annotated[int, Meta(ge=1)] = 60
    """Of each process that runs enrich, of up to 20 revisions each, beside those of `[mediawiki]`."""
    deadline_s: Annotated[float, Meta(gt=0, le=10)] = 1.0
    """An article waits no longer for its score."""
    wikis: tuple[str, ...] = ()
    """Globs of database names; empty: all Wikipedias. Others have no such score."""

    def __post_init__(self) -> None:
        check_globs(self.wikis)
        if self.url and not PRIVATE_URL.fullmatch(self.url):
            raise ValueError(
                f"url {self.url!r} is no https URL such as https://api.wikimedia.org;"
                " http goes to this machine only"
            )


class TracingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    endpoint: str = ""
    """Of a collector that speaks OTLP/HTTP, e.g. `http://127.0.0.1:4318`; "": off."""
    sample: Annotated[float, Meta(ge=0, le=1)] = 0.01
    """Of all changes; the same in all processes."""

    def __post_init__(self) -> None:
        if self.endpoint and not BASE_URL.fullmatch(self.endpoint):
            raise ValueError(f"endpoint {self.endpoint!r} is no http(s) URL such as http://127.0.0.1:4318")

    @property
    def is_on(self) -> bool:
        return bool(self.endpoint) and self.sample > 0

    @property
    def url(self) -> str:
        """Where spans are posted: as of OTEL_EXPORTER_OTLP_ENDPOINT, with their path behind it."""
        base = self.endpoint.rstrip("/")
        return base if base.endswith(TRACES_PATH) else base + TRACES_PATH

    @property
    def sampled(self) -> str:
        """From which digits of a trace on it is recorded (streamer.traceparent)."""
        return sampled_from(self.sample if self.is_on else 0.0)


class PartnersSettings(Struct, frozen=True, forbid_unknown_fields=True):
    file: str = "partners.toml"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    source: SourceSettings = SourceSettings()
    admit: AdmitSettings = AdmitSettings()
    mediawiki: MediaWikiSettings = MediaWikiSettings()
    log: LogSettings = LogSettings()
    deliver: DeliverSettings = DeliverSettings()
    privacy: PrivacySettings = PrivacySettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    scores: ScoresSettings = ScoresSettings()
    tracing: TracingSettings = TracingSettings()
    partners: PartnersSettings = PartnersSettings()

    @property
    def identified(self) -> bool:
        """Whether Wikimedia would know whom to write to; an endpoint of one's own needs no contact."""
        return bool(self.source.contact or self.mediawiki.endpoint)

    @property
    def requests_per_minute(self) -> int:
        """The whole fleet's."""
        configured = self.mediawiki.requests_per_minute
        if configured is not None:
            return configured
        return RPM_IDENTIFIED if self.identified else RPM_UNIDENTIFIED

    @property
    def reconciled_every_hours(self) -> float:
        """0: never by itself."""
        is_live = self.identified and not self.source.url.startswith("file:")
        return self.reconcile.every_hours if is_live else 0.0

    @property
    def admitted_wikis(self) -> tuple[str, ...]:
        """Globs; empty: all."""
        if self.admit.wikis or self.identified or self.source.url.startswith("file:"):
            return self.admit.wikis
        return SMALL_WIKIS if self.source.url == WIKIMEDIA_STREAM else ()

    @property
    def user_agent(self) -> str:
        """Names the product and the operator, as Wikimedia's policy asks; the stream refuses default ones."""
        contact = self.source.contact or "no contact configured"
        return f"wikipedia-realtime-streamer/0.1 ({contact}) aiohttp"


def load(path: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """`path`, else `$STREAMER_CONFIG`, else `streamer.toml` of the working directory, else the defaults.

    Raises ConfigError naming file, key and what is allowed.
    """
    environ = os.environ if environ is None else environ
    file = named_file(path, environ) or DEFAULT_FILE
    tree: dict[str, Any] = read_toml(file) if named_file(path, environ) else {}
    variables = overlay(tree, environ)
    try:
        return convert(tree, Settings, str(file))
    except ConfigError as error:
        key = error.where.removeprefix(f"{file}: ").partition("[")[0]
        if key in variables:
            raise ConfigError(f"${variables[key]}", error.problem) from None
        raise


def named_file(path: str | None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The file that `load` reads; None where there is none to be read."""
    named = path or (os.environ if environ is None else environ).get("STREAMER_CONFIG")
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def pinned(path: str | None, environ: Mapping[str, str] | None = None) -> str | None:
    """What to give `load` so that it reads the same file again: if that is gone by then (an editor that moves
    it, a volume that was unmounted), it is a mistake and not a wish for the defaults.
    """
    file = named_file(path, environ)
    return None if file is None else str(file)


def read_toml(file: Path) -> dict[str, Any]:
    return parse_toml(read_text(file), str(file))


def read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(str(file), "no such file") from None
    except IsADirectoryError:
        raise ConfigError(str(file), "is a directory, not a TOML file") from None
    except PermissionError:
        raise ConfigError(str(file), "may not be read: check its owner and mode") from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(file), f"is not UTF-8 (byte {error.start})") from None
    except ValueError:  # a NUL, or what the file system's encoding does not have
        raise ConfigError(repr(str(file)), NO_FILE_NAME) from None


def read_secret(file: str, key: str, *, chars: int) -> str:
    """The secret in a file that the setting `key` names, of `chars` characters at least. Raises ConfigError,
    which names the setting and never quotes what stands there.
    """
    try:
        secret = read_text(Path(file)).strip()
    except ConfigError as error:
        raise ConfigError(key, str(error)) from None
    except OSError as error:
        raise ConfigError(key, f"{file}: {error.strerror}") from None
    if problem := secret_problem(secret, chars):
        raise ConfigError(key, f"what {file} holds {problem}")
    return secret


def parse_toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(where, f"is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(where, "is nested without end") from None


T = TypeVar("T")


def convert(tree: object, kind: type[T], where: str, table: str = "") -> T:
    """Validates; ConfigError names `where` and the path inside, e.g. `streamer.toml: source.rewind_s`.

    `table` is where in the file `tree` stands.
    """
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise _named(str(error), kind, where, table) from None


def _named(message: str, kind: type, where: str, table: str) -> ConfigError:
    problem, _, at = message.partition(" - at `$")
    inside = at.rstrip("`").lstrip(".")
    path = ".".join(filter(None, (table, inside)))
    unknown = re.search(r"unknown field `([^`]+)`", problem)
    if unknown:
        section = _struct_at(kind, inside)
        allowed = ", ".join(section.__struct_fields__) if section else ""
        name = f"{path}.{unknown[1]}" if path else unknown[1]
        return ConfigError(f"{where}: {name}", f"unknown key; allowed here: {allowed}")
    problem = problem[:1].lower() + problem[1:]
    return ConfigError(f"{where}: {path}" if path else where, problem)


def _struct_at(kind: type, path: str) -> type[Struct] | None:
    for name in filter(None, path.split(".")):
        if not issubclass(kind, Struct):
            return None
        kind = get_type_hints(kind).get(name, object)
    return kind if issubclass(kind, Struct) else None


def overlay(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Values from the environment are TOML where they parse as such, else plain text.

    Returns which variable set which key, e.g. `log.path`.
    """
    variables: dict[str, str] = {}
    known = get_type_hints(Settings)
    for name, text in sorted(environ.items()):
        if not name.startswith(ENV_PREFIX) or "__" not in name:
            continue
        *sections, key = name[len(ENV_PREFIX) :].lower().split("__")
        if sections[0] not in known:
            raise ConfigError(f"${name}", f"no such section; allowed: {', '.join(known)}")
        table = tree
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"${name}", f"{section} is not a table")
        table[key] = _from_environment(text, sections, key)
        variables[".".join([*sections, key])] = name
    return variables


def _from_environment(text: str, sections: list[str], key: str) -> object:
    kind = _struct_at(Settings, ".".join(sections))
    hint = get_type_hints(kind).get(key) if kind else None
    if hint is str or hint is None:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if "tuple" in str(hint):
            return [part.strip() for part in text.split(",") if part.strip()]
        return text
