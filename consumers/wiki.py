"""A wiki's action API, asked as its operators wish: with a contact, one request at a time, within a budget,
with `maxlag`, and not again before it says so.

What is not an answer is asked again, TRIES times: 429, 5xx, broken connections, and the errors that come as
HTTP 200 (`maxlag`, `ratelimited`, `readonly`, internal ones).
"""

import argparse
import http.client
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec
import urllib3

from consumers.errors import UsageError, WikiError

REQUESTS_PER_MINUTE: Final = 180
"""Wikimedia grants 200 to a client that names a contact."""
MAXLAG_S: Final = 5
TRIES: Final = 8
BACKOFF_S: Final = 2.0
WAIT_MOST_S: Final = 120.0
TIMEOUT_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 64 << 20
"""Wikis cut their answers at 8 to 12 MB of text, which JSON may escape."""
AGAIN: Final = frozenset({"maxlag", "ratelimited", "readonly", "internal_api_error"})
STATUSES: Final = frozenset({429, 500, 502, 503, 504})
_CONTACT: Final = re.compile(r"[!-~][ -~]{2,199}", re.ASCII)

Answer = dict[str, Any]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how wikis are asked."""
    add = parser.add_argument_group("the wiki's API").add_argument
    add("--contact", default="", metavar="ADDRESS", help="a mail address or a page, for the wiki's operators")
    add("--server", default="", metavar="URL", help="of the wiki (default: as the dump says)")
    add("--endpoint", default="", metavar="URL", help="asked in place of the wiki's server, by its name")
    add(
        "--requests-per-minute",
        type=float,
        default=REQUESTS_PER_MINUTE,
        metavar="N",
        help="at most (default: %(default)s)",
    )


def opened(options: argparse.Namespace, server: str, script_path: str = "/w") -> "Wiki":
    """Raises UsageError."""
    if not 0 < options.requests_per_minute <= 1_000_000:
        raise UsageError("--requests-per-minute: a number above 0")
    return Wiki(
        options.server or server,
        options.contact,
        endpoint=options.endpoint,
        script_path=script_path,
        requests_per_minute=options.requests_per_minute,
    )


class Wiki:
    """Of one wiki. A context manager; not for several threads at once."""

    def __init__(
        self,
        server: str,
        contact: str,
        *,
        endpoint: str = "",
        script_path: str = "/w",
        requests_per_minute: float = REQUESTS_PER_MINUTE,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`server` as `https://en.wikipedia.org`; with `endpoint` that is asked in its place, with the
        server's name as Host. `contact` is a mail address or a page's. Raises UsageError.
        """
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise UsageError(f"{server or 'the dump'} names no server of a wiki; give it by --server")
        if not _CONTACT.fullmatch(contact):
            raise UsageError("--contact: a mail address or a page where the wiki's operators reach you")
        self.server = f"{parts.scheme}://{parts.netloc}"
        """As `https://en.wikipedia.org`."""
        self.requests = 0
        self.api = f"{(endpoint or self.server).rstrip('/')}{script_path}/api.php"
        self._headers = {"User-Agent": f"corpus/1 ({contact})", "Accept-Encoding": "gzip"}
        if endpoint:
            self._headers["Host"] = parts.netloc
        self._between_s = 60 / requests_per_minute
        self._sleep, self._monotonic = sleep, monotonic
        self._next_s = 0.0
        self._pool = urllib3.PoolManager(num_pools=1, retries=False, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.clear()

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    def ask(self, **params: object) -> Answer:
        """One answer of `action=query`. Raises WikiError."""
        told = "nothing was asked"
        for attempt in range(TRIES):
            try:
                answer, wait_s, told = self._asked(params)
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
                answer, wait_s, told = None, None, f"no answer ({type(error).__name__})"
            if answer is not None:
                return answer
            if attempt + 1 < TRIES:
                self._sleep(min(WAIT_MOST_S, BACKOFF_S * 2**attempt if wait_s is None else max(wait_s, 1.0)))
        raise WikiError(f"{self.api} was asked {TRIES} times: {told}")

    def listed(self, **params: object) -> Iterator[Answer]:
        """All answers, by `continue`. Raises WikiError."""
        more: Mapping[str, object] = {}
        while True:
            answer = self.ask(**{**params, **more})
            yield answer
            told = answer.get("continue")
            if not told:
                return
            if not isinstance(told, dict) or told == more:
                raise WikiError(f"{self.api}: an answer continues where it was")
            more = told

    def _asked(self, params: Mapping[str, object]) -> tuple[Answer | None, float | None, str]:
        """The answer, or how long to wait (None: it doesn't say) and why."""
        self._take_turn()
        fields = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "maxlag": MAXLAG_S,
            "curtimestamp": 1,
            **params,
        }
        response = self._pool.request(
            "POST",
            self.api,
            fields={name: str(value) for name, value in fields.items()},
            encode_multipart=False,
            headers=self._headers,
            redirect=False,
            preload_content=False,
        )
        try:
            body = response.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        finally:
            response.release_conn() if response.status == 200 else response.close()
        wait_s = _retry_after_s(response.headers.get("Retry-After"))
        if response.status in STATUSES:
            return None, wait_s, f"HTTP {response.status}"
        if response.status != 200:
            raise WikiError(f"{self.api} answers with HTTP {response.status}: is that the wiki's API?")
        if len(body) > MAX_ANSWER_BYTES:
            raise WikiError(f"{self.api}: an answer of more than {MAX_ANSWER_BYTES >> 20} MB")
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, wait_s, "what it answers is no JSON"
        error = answer.get("error")
        if not error:
            return answer, None, ""
        code = str(error.get("code", ""))[:60] if isinstance(error, dict) else "unknown"
        if code in AGAIN or code.startswith("internal_api_error"):
            return None, wait_s, code
        raise WikiError(f"{self.api} refuses: {code}")

    def _take_turn(self) -> None:
        now_s = self._monotonic()
        if now_s < self._next_s:
            self._sleep(self._next_s - now_s)
        self._next_s = max(now_s, self._next_s) + self._between_s
        self.requests += 1


def _retry_after_s(text: str | None) -> float | None:
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text.strip()[:6])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time())
