"""Which servers are contacted at all, and how answers from outside are bounded."""

import gzip
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from streamer.config import MediaWikiSettings
from streamer.errors import AnswerInvalid, HostNotAllowed
from streamer.origin import query
from streamer.origin.answer import SiteInfo
from streamer.origin.breaker import Reach
from streamer.origin.fetch import status_reason
from streamer.origin.hosts import Allowed, PrivateAddress, PublicResolver, is_public
from streamer.origin.inflate import Cut, TooLarge, inflate
from streamer.origin.siteinfo import SITE_KEPT_MS, Sites

ALLOWED = Allowed(MediaWikiSettings().hosts)


@pytest.mark.parametrize(
    "name", ["en.wikipedia.org", "commons.wikimedia.org", "wikisource.org", "zh-min-nan.wikipedia.org"]
)
def test_wikimedias_hosts_are_allowed(name: str) -> None:
    """Those of the default allow-list."""
    ALLOWED.check(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "localhost",
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "169.254.169.254",
        "[::1]",
        "::1",
        "en.wikipedia.org:80",
        "user:password@en.wikipedia.org",
        "evil.example@en.wikipedia.org",
        "evil.example/.wikipedia.org",
        "evil.example#.wikipedia.org",
        "evil.example?.wikipedia.org",
        "evil.example\\.wikipedia.org",
        "en.wikipedia.org.",
        "en.wikipedia.org.evil.example",
        "evilwikipedia.org",
        "wikipedia.org",
        ".wikipedia.org",
        "en..wikipedia.org",
        "-en.wikipedia.org",
        "en.wikipedia.org\n",
        "en.wikipedia.org\r\nX: y",
        "en.wikipedia.org\x00",
        "en.wikipediа.org",
        "ｅn.wikipedia.org",
        "EN.wikipedia.org",
        "a" * 300 + ".wikipedia.org",
    ],
)
def test_everything_else_is_refused(name: str) -> None:
    """Loopback, link-local, credentials, ports, paths, line ends, look-alikes, names that only end so."""
    with pytest.raises(HostNotAllowed):
        ALLOWED.check(name)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("185.15.59.224", True),
        ("2a02:ec80:300:ed1a::1", True),
        ("::ffff:185.15.59.224", True),
    ],
)
def test_only_public_addresses_are_connected_to(address: str, public: bool) -> None:
    """An allowed name must not lead inside, whatever DNS says, also wrapped into IPv6."""
    assert is_public(address) == public


class Answers(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


async def test_the_resolver_hands_out_public_addresses_only() -> None:
    """One inside is left out; nothing but such ones is an error, not a connection."""
    mixed = PublicResolver(Answers("10.0.0.1", "185.15.59.224"))
    assert [entry["host"] for entry in await mixed.resolve("en.wikipedia.org", 443)] == ["185.15.59.224"]
    with pytest.raises(PrivateAddress):
        await PublicResolver(Answers("10.0.0.1", "127.0.0.1")).resolve("en.wikipedia.org", 443)


def test_a_gzip_bomb_is_bounded() -> None:
    """50 MB of zeros are 50 kB on the wire; no more than the bound is ever unpacked."""
    bomb = gzip.compress(b"0" * 50_000_000)
    with pytest.raises(TooLarge):
        inflate(bomb, 1_000_000)
    with pytest.raises(TooLarge):
        inflate(gzip.compress(b"1" * 600) * 3, 1_000)


def test_a_bomb_of_empty_members_is_refused_at_once() -> None:
    """It unpacks to nothing, and would take the square of its length to get there."""
    with pytest.raises(TooLarge):
        inflate(gzip.compress(b"") * 100_000)


def test_gzip_is_read_whole_or_not_at_all() -> None:
    """Members are joined; a stream that ends early, or is none, is no answer."""
    packed = gzip.compress(b"one") + gzip.compress(b"two")
    assert inflate(packed) == b"onetwo"
    for broken in (packed[:-3], packed[:5], b"plain text"):
        with pytest.raises(Cut):
            inflate(broken)


def test_statuses_are_a_bounded_label() -> None:
    """Whatever number a server sends."""
    assert {status_reason(status) for status in range(300, 1000)} == {
        *("redirect", "status_403", "status_404", "status_413", "status_429", "status_4xx"),
        *("status_500", "status_502", "status_503", "status_504", "status_5xx"),
    }


@pytest.mark.parametrize("title", ["", " ", "A|B", "A#b", "A\x1fB", "A\nB", "A\ud800", "A" * 301])
def test_titles_that_would_ask_for_something_else(title: str) -> None:
    """A separator inside a title would ask for two pages, a fragment for another one."""
    with pytest.raises(AnswerInvalid):
        query.title_key(title)


def test_underscores_are_spaces() -> None:
    """The API gives titles back with spaces and composed."""
    assert query.title_key("Talk:Foo_bar") == "Talk:Foo bar"
    assert query.title_key("Cafe\u0301") == "Caf\u00e9"


@pytest.mark.parametrize("number", [0, -1, 2**63])
def test_numbers_that_nothing_has(number: int) -> None:
    """One of them would make a wiki refuse the whole batch."""
    with pytest.raises(AnswerInvalid):
        query.id_key(number)


def site(wiki: str, server_name: str, fetched_ms: int) -> SiteInfo:
    return SiteInfo(wiki, server_name, "", "en", "ltr", {}, "", "", "", "", "", fetched_ms)


def test_site_info_is_kept_for_a_day() -> None:
    """And asked anew afterwards; a clock that stepped far back asks anew too."""
    sites = Sites([site("xwiki", "x.org", 1_000_000)])
    assert sites.of_wiki("xwiki") is sites.of_server("x.org")
    assert sites.is_fresh("x.org", 1_000_000 + SITE_KEPT_MS - 1)
    assert not sites.is_fresh("x.org", 1_000_000 + SITE_KEPT_MS)
    assert not sites.is_fresh("x.org", 1_000_000 - SITE_KEPT_MS)
    assert not sites.is_fresh("y.org", 1_000_000)


def test_which_wikis_answer() -> None:
    """Failing since its first failure, until it answers; nobody answers when only failures are heard."""
    reach = Reach()
    assert reach.any_answers(0.0)
    reach.answered("b", 5.0)
    reach.failed("a", 10.0)
    reach.failed("a", 20.0)
    assert reach.failing_since_s("a") == 10.0
    assert reach.any_answers(60.0)
    assert not reach.any_answers(66.0)
    reach.answered("a", 70.0)
    assert reach.failing_since_s("a") is None
    assert reach.any_answers(1_000.0)
