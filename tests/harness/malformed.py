"""Requests that are no HTTP, or hardly: spoilt in one to three places, in every way that has a name.

Pure: the same generator gives the same bytes. `MARK` stands in values, so that an echo of them is seen.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

MARK = "Zq7mark"
"""In what a client sent and must never see again, nor anybody in a log."""
_MARK = MARK.encode()
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

METHODS = (
    b"get", b"G\x00T", b"", b"PRI", b"CONNECT", b"TRACE", b"OPTIONS", b"HEAD", b"FOO", b"GET\t",
    b"G\xffT", b"A" * 5_000,
    b"M-SEARCH", b"SOURCE", b"POST", b"PUT", b"DELETE", b"PATCH", b"PROPFIND", b"\r\nGET", b"\n\n\nGET",
    b" GET", b"G E T",
    b"GET" * 9_000,
)  # fmt: skip
TARGETS = (
    b"/v2/status", b"/v2/tickets", b"/openapi.json", b"/page/page.js", b"/page/../server.py",
    b"/v2/articles?ticket=x.y.z",
    b"", b"*", b"/", b"v2/articles", b"//v2/articles", b"/v2//articles", b"/v2/articles/",
    b"/v2/../v2/articles",
    b"/v2/articles/../articles", b"/./v2/articles", b"/v2%2farticles", b"/v2/%61rticles",
    b"/V2/ARTICLES", b"/v2\\articles",
    b"http://x/v2/articles", b"http://other:99999/v2/articles", b"https://a:b@x/v2/articles",
    b"http://[::1/v2/articles",
    b"http://[/v2/articles", b"http:///v2/articles", b"http://", b"://", b"x:443", b"[::1]:443",
    b"x:notaport", b"ftp://x/y",
    b"/v2/articles#f", b"/v2/articles?%zz", b"/v2/articles?%", b"/v2/articles?%00=%00",
    b"/v2/articles?a=%ff%fe",
    b"/v2/articles?\xff\xfe", b"/v2/articles?&&&=&=", b"/v2/articles?;;", b"/v2/articles?since=%u0041",
    b"/\x00",
    b"/v2/articles\x00", b"/%00", b"/%", b"/%ff", b"/\xc3\x28", b"/" + b"a/" * 3_000,
    b"/v2/articles?x=" + b"y" * 8_180,
    b"/v2/articles?x=" + b"y" * 66_000, b"/v2/articles?" + b"a=1&" * 2_000, b"/v2/articles x",
    b"/v2/articles\tx", b"?", b"#",
    b"/v2/articles?fields=name&fields[]=url", b"/\xe2\x80\xae", b"javascript:1", b"http://x\xff/",
    b"http://x:0/v2/articles",
    b"http://xn--\xff.example/v2/articles", b"http://x%00/v2/articles", b"/../../../etc/passwd",
    b"/page/../../x",
    b"/v2/articles?x=http://[", b"//[", b"//[::1", b"//x:y/v2/articles", b"http://\xc2\xad/",
    b"http://1.2.3.4.5/%zz",
)  # fmt: skip
VERSIONS = (
    b"HTTP/0.9", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/11", b"HTTP/1",
    b"HTTP/1.1.1", b"http/1.1", b"",
    b"HTTP/1.1 ", b"HTP/1.1", b"HTTP/-1.1", b"HTTP/\x00", b"HTTP/1.1\x0b", b"RTSP/1.0", b"ICE/1.0",
    b"HTTP/" + b"1" * 500,
)  # fmt: skip
LENGTHS = (
    b"-1", b"+5", b"0x10", b"1e3", b"99999999999999999999", b"18446744073709551616", b" 5", b"5 ",
    b"5, 5", b"5,6", b"", b"5\x00",
    b"05", b"5.0", b"\xb2", b"3", b"100", b"1_0", b"\xd9\xa1",
)  # fmt: skip
CODINGS = (
    b"chunked, identity", b"xchunked", b"chunked\x0b", b"identity", b"gzip, chunked",
    b"chunked, chunked", b"Chunked", b" chunked ",
    b"chunked;q=1", b"", b"\x00chunked", b"chunked,", b"deflate", b"chunked\r\n x",
)  # fmt: skip
CHUNKED = (
    b"z\r\nhi\r\n0\r\n\r\n", b"-1\r\nhi\r\n", b"2\r\nhi0\r\n\r\n", b"2\nhi\n0\n\n",
    b"ffffffffffffffff\r\nhi", b"2;" + b"e" * 70_000,
    b"2 \r\nhi\r\n0\r\n\r\n", b"0x2\r\nhi\r\n0\r\n\r\n", b"2\r\nhi\r\n0\r\nHost: y\r\n\r\n",
    b"2\r\nhi\r\n0\r\nX: \x00\r\n\r\n",
    b"2\r\nhi\r\n", b"2\r\nhi\r\n0", b"\r\n", b"1ffffffffffffffff\r\n",
    b"2\r\nhi\r\n0\r\n" + b"T: y\r\n" * 500 + b"\r\n",
    b'2;a="\r\n"\r\nhi\r\n0\r\n\r\n', b"0\r\n\r\n" + SMUGGLED,
)  # fmt: skip
NAMES = (
    b"", b" ", b"X Y", b"X\x00Y", b"X\xff", b"X:", b"(x)", b"X\tY", b" Leading", b"N" * 17_000,
    b"\xe2\x98\x83", b"X\rY", b"Host ",
    b"Content-Length ", b"Transfer-Encoding\x0b", b"X\x7f", b"@", b"__proto__",
)  # fmt: skip
VALUES = (
    b"", b"\x00", b"\xff\xfe", b"a\r\n folded", b"a\r\n\tfolded", b"a\rb", b"a\nb: c", b"\x7f",
    b"\x01\x02", b"v" * 17_000,
    b"v" * 16_300, b"\xe2\x80\xa8", b"\x1b[31m", b"a" * 200_000, b"%0d%0aX: y", b"\x0b\x0c",
)  # fmt: skip
FIELDS = (
    b"Host", b"Accept", b"Accept-Encoding", b"Last-Event-ID", b"Content-Type", b"Content-Encoding",
    b"Cookie", b"Origin", b"Range",
    b"If-None-Match", b"X-Forwarded-For", b"Forwarded", b"Connection", b"Keep-Alive", b"Trailer", b"TE",
    b"Via", b"Authorization",
    b"Access-Control-Request-Method", b"Expect", b"Upgrade", b"HTTP2-Settings", b"Sec-WebSocket-Key",
    b"Proxy-Connection", b"Date",
)  # fmt: skip
EXPECTATIONS = (
    b"100-continue",
    b"100-Continue",
    b"100-continue, x",
    b"200-ok",
    b"",
    b"\xff",
    b"100-continue" * 900,
)
UPGRADES = (
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n",
    b"Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n", b"Upgrade: \xff\r\nConnection: Upgrade\r\n",
    b"Connection: Upgrade\r\n", b"Upgrade: tcp\r\n",
)  # fmt: skip
NO_HTTP = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
    b"SSH-2.0-x\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n", b"EHLO x\r\n", b"\x00" * 100,
    b"\r\n" * 1_000, b"\xff" * 5_000,
    b"{}\n", b"GET", b"GET /", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost", b"\x05\x01\x00", b"<xml/>",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"GET /v2/articles\r\n\r\n",
)  # fmt: skip


@dataclass
class Spoilt:
    """A request in its parts, still to be spoilt. `auth` is the line of Authorization, or nothing."""

    auth: bytes
    method: bytes = b"GET"
    target: bytes = b"/v2/articles"
    version: bytes = b"HTTP/1.1"
    lines: list[bytes] = field(default_factory=lambda: [b"Host: x"])
    body: bytes = b""
    eol: bytes = b"\r\n"

    def wire(self) -> bytes:
        head = [b" ".join((self.method, self.target, self.version)), *self.lines]
        if self.auth:
            head.append(self.auth)
        return self.eol.join(head) + self.eol * 2 + self.body


def _with_body(spoilt: Spoilt, rng: random.Random) -> None:
    spoilt.method = rng.choice((b"POST", b"GET", b"PUT"))
    spoilt.body = rng.choice((b'{"since": "x"}', b"{", b"\x00" * 50, b'"' + _MARK * 9 + b'"', b"hello"))


def _length(spoilt: Spoilt, rng: random.Random) -> None:
    _with_body(spoilt, rng)
    for _ in range(rng.choice((1, 1, 2))):
        spoilt.lines.append(b"Content-Length: " + rng.choice((*LENGTHS, b"%d" % len(spoilt.body))))


def _coding(spoilt: Spoilt, rng: random.Random) -> None:
    _with_body(spoilt, rng)
    for _ in range(rng.choice((1, 1, 2))):
        spoilt.lines.append(b"Transfer-Encoding: " + rng.choice((*CODINGS, b"chunked", b"chunked")))
    spoilt.body = rng.choice(CHUNKED)


def _smuggling(spoilt: Spoilt, rng: random.Random) -> None:
    spoilt.method = b"POST"
    spoilt.lines += [b"Content-Length: " + rng.choice((b"5", b"%d" % (5 + len(SMUGGLED)), b"0"))]
    spoilt.lines.insert(
        rng.randrange(3), b"Transfer-Encoding: " + rng.choice((*CODINGS, b"chunked", b"chunked"))
    )
    spoilt.body = b"0\r\n\r\n" + SMUGGLED


def _wrong_size(spoilt: Spoilt, rng: random.Random) -> None:
    _with_body(spoilt, rng)
    spoilt.lines.append(
        b"Content-Length: %d" % max(0, len(spoilt.body) + rng.choice((-3, -1, 1, 50, 300_000)))
    )


def _header(spoilt: Spoilt, rng: random.Random) -> None:
    name = rng.choice((*NAMES, *FIELDS))
    value = rng.choice((*VALUES, rng.randbytes(rng.randrange(40)), _MARK, _MARK + rng.choice(VALUES)))
    spoilt.lines.insert(
        rng.randrange(len(spoilt.lines) + 1), name + rng.choice((b": ", b":", b" : ", b"")) + value
    )


def _many(spoilt: Spoilt, rng: random.Random) -> None:
    spoilt.lines += [b"X-%d: " % n + _MARK for n in range(rng.choice((120, 130, 1_000, 5_000)))]


def _host(spoilt: Spoilt, rng: random.Random) -> None:
    spoilt.lines[0:1] = rng.choice(
        ([], [b"Host: x", b"Host: y"], [b"Host:"], [b"Host: x:y:z"], [b"Host: [::"], [b"Host: \xff"])
    )


def _auth(spoilt: Spoilt, rng: random.Random) -> None:
    if spoilt.auth:
        spoilt.auth = rng.choice(
            (
                spoilt.auth + b"\xff", spoilt.auth + b"\x00", spoilt.auth + b" x",
                spoilt.auth.replace(b": ", b" "),
                spoilt.auth + b"\r\n" + spoilt.auth, spoilt.auth.replace(b"Bearer", b"Basic"),
                spoilt.auth.upper(),
                b" " + spoilt.auth, spoilt.auth + b"\r\n " + _MARK, spoilt.auth[:20],
                spoilt.auth + b"A" * 20_000,
            )
        )  # fmt: skip


def _flip(wire: bytes, rng: random.Random) -> bytes:
    spoilt = bytearray(wire)
    for _ in range(rng.choice((1, 3, 20))):
        spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
    return bytes(spoilt)


SPOILERS: tuple[Callable[[Spoilt, random.Random], None], ...] = (
    _length, _coding, _smuggling, _wrong_size, _header, _header, _header, _many, _host, _auth, _auth,
    lambda s, r: setattr(s, "method", r.choice(METHODS)),
    lambda s, r: setattr(s, "target", r.choice(TARGETS)),
    lambda s, r: setattr(s, "target", r.choice(TARGETS)),
    lambda s, r: setattr(s, "target", b"/v2/articles?" + r.randbytes(r.randrange(60)).translate(None,
    b" \r\n")),
    lambda s, r: setattr(s, "version", r.choice(VERSIONS)),
    lambda s, r: setattr(s, "eol", r.choice((b"\n", b"\r", b"\r\r\n", b"\r\n", b"\n\r", b"\x00"))),
    lambda s, r: s.lines.append(b"Expect: " + r.choice(EXPECTATIONS)),
    lambda s, r: s.lines.append(r.choice(UPGRADES)[:-2]),
)  # fmt: skip


def spoilt_request(rng: random.Random, key: str) -> bytes:
    """One, on its own; `key` is a good one and stands in most of them."""
    if rng.random() < 0.05:
        return rng.choice((*NO_HTTP, rng.randbytes(rng.randrange(1, 400))))
    spoilt = Spoilt(b"Authorization: Bearer " + key.encode() if rng.random() < 0.7 else b"")
    for spoil in rng.choices(SPOILERS, k=rng.choice((1, 1, 2, 3))):
        spoil(spoilt, rng)
    wire = spoilt.wire()
    chance = rng.random()
    if chance < 0.1:
        return _flip(wire, rng)
    return wire[: rng.randrange(1, len(wire))] if chance < 0.2 else wire
