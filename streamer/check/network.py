"""What has to be reached: the stream with what is asked of it, a wiki; and our clock by theirs."""

import asyncio
import os
import time
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from streamer.check.finding import Finding, ok, problem, warning
from streamer.config import Settings
from streamer.errors import OriginError, OriginUnavailable
from streamer.origin import query
from streamer.origin.fetch import Fetch

ANSWER_S: Final = 4.0
"""Two answers, one after the other, are waited for at most: within the deadline of the whole."""
SKEW_S: Final = 5.0
"""Further than this neither an answer's way nor a header in whole seconds explains."""
FAMILIAR: Final = "en"
"""What stands for the `*` of `*.wikipedia.org`."""
ADVICE: Final = {
    "connect": "no connection: see whether a firewall or a proxy is between",
    "timeout": f"no answer within {ANSWER_S:g} s",
    "private_address": "its name resolves to an address of a private network",
    "redirect": "it redirects, which is not followed",
    "status_403": "it answers 403: it wants a User-Agent that names you, set source.contact",
    "status_404": "it answers 404: there is no such wiki, or no API at that address",
    "status_429": "it answers 429: the budget is spent, by us or by others at this address",
}


class General(Struct, frozen=True):
    wikiid: str = ""
    time: datetime | None = None


class Query(Struct, frozen=True):
    general: General = General()


class Error(Struct, frozen=True):
    code: str = ""
    lag: float = 0.0


class SiteAnswer(Struct, frozen=True):
    query: Query = Query()
    error: Error | None = None


async def network_of(settings: Settings) -> list[Finding]:
    (stream, stream_off_s), (wiki, wiki_off_s) = await asyncio.gather(_stream(settings), _wiki(settings))
    offs = {"the stream": stream_off_s, "the wiki": wiki_off_s}
    return [*stream, wiki, _clock({who: off_s for who, off_s in offs.items() if off_s is not None})]


def _clock(offs: dict[str, float]) -> Finding:
    if not offs:
        return ok("clock: not compared, since no server answered")
    who, off_s = max(offs.items(), key=lambda off: abs(off[1]))
    if abs(off_s) <= SKEW_S:
        return ok(f"clock: within {SKEW_S:g} s of the clock of {' and '.join(offs)}")
    return problem(
        f"clock: {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} that of {who}: sequences,"
        " `since`, retention and freshness are by this clock; synchronise it (NTP) before the start"
    )


# ── the stream ─────────────────────────────────────────────────────────────────────────────────


async def unreachable(settings: Settings) -> str:
    """Why the stream cannot be had, or "" when its server answers."""
    async with _session(settings) as session:
        problem, _, _ = await _ask(session, settings, ["recentchange"])
    return problem


async def _stream(settings: Settings) -> tuple[list[Finding], float | None]:
    url = settings.source.url
    if url.startswith("file:"):
        path = Path(url.removeprefix("file:").removeprefix("//"))
        found = ok(f"{path}: readable") if os.access(path, os.R_OK) else problem(f"{path}: cannot be read")
        return [found], None
    streams = settings.source.streams
    host = urlsplit(url).netloc
    async with _session(settings) as session:
        said, status, off_s = await _ask(session, settings, streams)
        if not said:
            return [ok(f"source.url: {host} answers, with all {len(streams)} streams")], off_s
        unknown: list[str] = []
        if status in {400, 404} and len(streams) > 1:
            answers = await asyncio.gather(*(_ask(session, settings, [stream]) for stream in streams))
            unknown = [
                stream for stream, (_, one, _) in zip(streams, answers, strict=True) if one in {400, 404}
            ]
    if unknown and len(unknown) < len(streams):
        return [problem(f"source.streams: {host} does not know {', '.join(unknown)}")], off_s
    if status == 403:
        said += ": it wants a User-Agent that names you, set source.contact"
    return [problem(f"source.url: {said}")], off_s


def _session(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"User-Agent": settings.user_agent, "Accept": "text/event-stream"},
        timeout=aiohttp.ClientTimeout(total=ANSWER_S),
    )


async def _ask(
    session: aiohttp.ClientSession, settings: Settings, streams: Sequence[str]
) -> tuple[str, int, float | None]:
    """What is wrong ("" for nothing), the status (0 for none), how far our clock is ahead of its."""
    url = f"{settings.source.url.rstrip('/')}/{','.join(streams)}"
    host = urlsplit(url).netloc
    asked_s = time.time()
    try:
        async with session.get(url, allow_redirects=False) as response:
            off_s = _off_s(response.headers.get("Date", ""), asked_s)
            said = "" if response.status == 200 else f"{host} answers {response.status}"
            return said, response.status, off_s
    except aiohttp.InvalidURL:
        return f"{url!r} is no URL", 0, None
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return f"{host} cannot be reached ({type(error).__name__})", 0, None


def _off_s(date: str, asked_s: float) -> float | None:
    """By the middle of the exchange; a header of whole seconds is half a second older than it says."""
    try:
        theirs_s = parsedate_to_datetime(date).timestamp() + 0.5
    except ValueError:
        return None
    return (asked_s + time.time()) / 2 - theirs_s


# ── a wiki ─────────────────────────────────────────────────────────────────────────────────────


def wiki_to_ask(hosts: Sequence[str]) -> str:
    """A server name of the allow-list; of a pattern the one that is most likely to be there."""
    patterns = sorted(hosts, key=lambda host: (host != "*.wikipedia.org", host.startswith("*.")))
    return patterns[0].replace("*", FAMILIAR, 1) if patterns else ""


async def _wiki(settings: Settings) -> tuple[Finding, float | None]:
    """One request, of the cheapest kind; it counts against the budget that Wikimedia grants us."""
    name = wiki_to_ask(settings.mediawiki.hosts)
    if not name:
        return problem("mediawiki.hosts: is empty, so that no wiki may be asked"), None
    asked_s = time.time()
    try:
        async with Fetch(settings.mediawiki, settings.user_agent) as fetch:
            reply = await fetch.query(name, query.site_only(maxlag=settings.mediawiki.maxlag), ANSWER_S)
        answer = msgspec.json.decode(reply.body, type=SiteAnswer)
    except OriginUnavailable as error:
        said = ADVICE.get(error.reason, error.reason)
        wait = f" (Retry-After {error.retry_after_s:g} s)" if error.retry_after_s else ""
        return problem(f"{_asked(settings, name)}: {said}{wait}"), None
    except (OriginError, msgspec.DecodeError):
        return problem(f"{_asked(settings, name)}: its answer is not MediaWiki's"), None
    if answer.error is not None:
        if answer.error.code == "maxlag":
            lag = f"its replicas lag {answer.error.lag:g} s, over mediawiki.maxlag: articles wait for them"
            return warning(f"{_asked(settings, name)}: {lag}"), None
        return problem(f"{_asked(settings, name)}: it answers the error {answer.error.code[:60]!a}"), None
    general = answer.query.general
    off_s = (asked_s + time.time()) / 2 - general.time.timestamp() - 0.5 if general.time else None
    return ok(f"{_asked(settings, name)} answers"), off_s


def _asked(settings: Settings, name: str) -> str:
    endpoint = settings.mediawiki.endpoint
    return f"mediawiki.endpoint: {name} at {urlsplit(endpoint).netloc}" if endpoint else f"wiki: {name}"
