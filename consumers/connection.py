"""One request for a stream, blocking, and what its answer means.

    200                  a stream
    408, 425, 429, 5xx   Unavailable, with what Retry-After asks for: later
    410                  PositionLost
    anything else        FeedRefused, in the words of the problem (RFC 9457) that came with it

No redirect is followed: the key belongs to the host that was named. Nothing that is raised here holds the
key.
"""

import http.client
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

import msgspec
import urllib3
from msgspec import Struct

from consumers.errors import FeedError, FeedRefused, PositionLost

CONNECT_S: Final = 10.0
SILENCE_S: Final = 45.0
"""The service says something at least every 15 s."""
CHUNK_BYTES: Final = 65_536
PROBLEM_BYTES: Final = 65_536
SHOWN_CHARS: Final = 300
LATER: Final = frozenset({408, 425, 429})
BROKEN: Final = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)
"""What a connection that can't be made, or breaks, raises."""
ADVICE: Final[Mapping[int, str]] = {
    401: "look at the key",
    403: "ask whoever gave you the key",
    404: "look at --url",
}


class Unavailable(FeedError):
    """The service can't now; it asks to be left alone for `asked_s`."""

    def __init__(self, message: str, asked_s: float = 0.0) -> None:
        super().__init__(message)
        self.asked_s = asked_s


class Expired(PositionLost):
    """410. `earliest` is the id of what is still kept; "" where the answer does not say it."""

    def __init__(self, message: str, earliest: str) -> None:
        super().__init__(message)
        self.earliest = earliest


class _Problem(Struct, frozen=True):
    title: str = ""
    detail: str = ""
    earliest: str = ""


@dataclass(slots=True)
class Connection:
    """Open it with `with`; `abort` may be called from another thread."""

    url: str
    key: str = field(repr=False)
    parameters: Mapping[str, str]
    last_id: str = ""
    ca_file: Path | None = None
    silence_s: float = SILENCE_S
    _response: urllib3.BaseHTTPResponse | None = None
    _pool: urllib3.PoolManager | None = None

    def __enter__(self) -> Self:
        """Once the stream has begun. Raises as said above, and BROKEN."""
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _open(self) -> None:
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Accept": "text/event-stream",
            "Accept-Encoding": "gzip",
            "User-Agent": "corpus",
        }
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        query = urlencode(self.parameters)
        self._pool = urllib3.PoolManager(
            num_pools=1,
            timeout=urllib3.Timeout(connect=CONNECT_S, read=self.silence_s),
            ssl_context=_tls(self.ca_file) if self.url.startswith("https:") else None,
        )
        try:
            self._response = self._pool.request(
                "GET",
                f"{self.url}?{query}" if query else self.url,
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except urllib3.exceptions.SSLError as error:
            raise _of_tls(error) from None
        self._judge(self._response)

    def _judge(self, response: urllib3.BaseHTTPResponse) -> None:
        status = response.status
        if status == 200:
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "text/event-stream":
                raise FeedRefused(f"the service answers {_shown(kind)!r}, no event stream: look at --url")
            encoding = response.headers.get("Content-Encoding", "identity").lower()
            if encoding not in ("identity", "gzip"):
                raise FeedRefused(f"the service answers in {_shown(encoding)!r}, which was not asked for")
            return
        problem = self._problem(response)
        said = f"the service answers {status} {problem.title}".rstrip()
        said += f": {problem.detail}" if problem.detail else ""
        if status == 410:
            raise Expired(said, problem.earliest)
        if status in LATER or status >= 500:
            raise Unavailable(said, _asked_s(response.headers.get("Retry-After", "")))
        if 300 <= status < 400:
            said += "; it has moved, and --url must say where to"
        elif status in ADVICE:
            said += f"; {ADVICE[status]}"
        raise FeedRefused(said)

    def _problem(self, response: urllib3.BaseHTTPResponse) -> _Problem:
        """Empty where the answer is no problem. It may repeat what was sent: not here."""
        body = b""
        with suppress(*BROKEN):
            body = response.read(PROBLEM_BYTES, decode_content=True) or b""
        try:
            found = msgspec.json.decode(body, type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _Problem(title=http.client.responses.get(response.status, ""))
        title, detail = (_shown(text.replace(self.key, "…")) for text in (found.title, found.detail))
        return _Problem(title, detail, found.earliest)

    @property
    def date(self) -> str:
        """The service's own time when it answered, RFC 3339; ours where it does not say."""
        assert self._response
        said = self._response.headers.get("Date", "")
        moment_s = _http_time_s(said) or time.time()
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment_s))

    def chunks(self) -> Iterator[bytes]:
        """As they come, unpacked. A clean end, or BROKEN."""
        assert self._response
        while chunk := self._response.read1(CHUNK_BYTES, decode_content=True):
            yield chunk

    def abort(self) -> None:
        """What waits for a byte hears that none will come."""
        if self._response is not None:
            with suppress(Exception):  # closed meanwhile
                self._response.shutdown()

    def _close(self) -> None:
        if self._response is not None:
            self._response.close()
        if self._pool is not None:
            self._pool.clear()


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise FeedRefused(f"--ca-file {ca_file}: can't be used ({error.strerror or error})") from None


def _of_tls(error: Exception) -> Exception:
    """A certificate that is wrong now is wrong later."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FeedRefused(f"the service's certificate: {cause.verify_message}; --ca-file names who signs it")
    return error


def _asked_s(said: str) -> float:
    if said.isascii() and said.isdecimal() and len(said) < 10:
        return float(said)
    moment_s = _http_time_s(said)
    return max(0.0, moment_s - time.time()) if moment_s else 0.0


def _http_time_s(said: str) -> float:
    try:
        return parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _shown(text: str) -> str:
    """Somebody else's words, fit for a line."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}…"
