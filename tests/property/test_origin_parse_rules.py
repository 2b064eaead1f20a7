"""Whatever comes from outside, the parser gives verdicts or named errors; no host slips through."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from streamer.config import MediaWikiSettings
from streamer.errors import AnswerInvalid, HostNotAllowed
from streamer.origin.answer import Found, Missing, SiteInfo
from streamer.origin.hosts import Allowed
from streamer.origin.parse import AnotherPage, ApiError, Asked, Reply, Unparsable, read_log, read_pages

SITE = SiteInfo("xwiki", "x.example.org", "X", "en", "ltr", {}, "", "", "", "", "", 1)
ASKED = Asked("xwiki", "x.example.org", 1_000, SITE)

names = st.sampled_from(
    [
        "query",
        "pages",
        "revisions",
        "revid",
        "title",
        "missing",
        "slots",
        "main",
        "content",
        "texthidden",
        "badrevids",
        "continue",
        "error",
        "code",
        "normalized",
        "from",
        "to",
        "interwiki",
        "general",
        "wikiid",
        "namespaces",
        "logevents",
        "pageid",
        "lastrevid",
        "timestamp",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6),
    max_leaves=30,
)


@given(st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_nothing_crashes_the_parser(body: bytes) -> None:
    """Any bytes, and any JSON made of the API's own words: a reading, or one of the named errors."""
    for read in (
        lambda: read_pages(Reply(body), "revision", [1, 2], ASKED),
        lambda: read_pages(Reply(body), "title", ["A", "B"], ASKED),
        lambda: read_log(Reply(body), 0, 0, ASKED),
    ):
        with suppress(Unparsable, ApiError, AnotherPage, AnswerInvalid):
            read()


fates = st.dictionaries(
    st.integers(1, 60), st.sampled_from(["found", "hidden", "bad", "lost", "cut", "silent"]), min_size=1
)


@given(fates, st.booleans(), st.randoms())
def test_each_key_gets_exactly_its_verdict(fate: dict[int, str], shared: bool, rng: Any) -> None:
    """However revisions are grouped into pages and ordered: found, hidden, missing, invalid, to be asked on
    (where the answer was cut), or unanswered (where it wasn't); never the text of another.
    """
    pages: dict[int, dict[str, Any]] = {}
    for number, word in fate.items():
        if word in {"bad", "silent"}:
            continue
        page_id = number % 3 + 1 if shared and word != "cut" else 100 + number
        page = pages.setdefault(page_id, {"pageid": page_id, "title": f"P{page_id}", "lastrevid": 99})
        if word != "cut":
            slot = {
                "found": {"content": f"v{number}"},
                "hidden": {"texthidden": True},
                "lost": {"textmissing": True},
            }
            revision = {"revid": number, "timestamp": "2026-11-21T07:32:51Z", "slots": {"main": slot[word]}}
            page.setdefault("revisions", []).append(revision)
    shuffled = list(pages.values())
    rng.shuffle(shuffled)
    bad = {str(n): {"revid": n, "missing": True} for n, word in fate.items() if word == "bad"}
    body: dict[str, Any] = {"query": {"pages": shuffled, "badrevids": bad}}
    cut = "cut" in fate.values()
    if cut:
        body["continue"] = {"rvcontinue": 7, "continue": "||info"}
    reading = read_pages(Reply(json.dumps(body).encode()), "revision", list(fate), ASKED)
    words: dict[object, str] = {}
    for key, answer in reading.answers.items():
        if isinstance(answer, Missing):
            words[key] = "bad"
        elif isinstance(answer, Found):
            assert answer.revision.identifier == key
            assert answer.revision.content in {None, f"v{key}"}
            words[key] = "hidden" if answer.revision.text_hidden else "found"
    words |= dict.fromkeys(reading.invalid, "lost")
    words |= dict.fromkeys(reading.unreached, "cut") | dict.fromkeys(reading.unanswered, "silent")
    assert words == {n: "cut" if word == "silent" and cut else word for n, word in fate.items()}


@given(
    st.text(alphabet="aA.-/:@#?%[]\\ \t\né0１_", max_size=12).map(lambda head: head + ".wikipedia.org")
    | st.text(max_size=30)
    | st.ip_addresses().map(str)
)
def test_a_host_that_passes_is_the_one_that_is_contacted(server_name: str) -> None:
    """No spelling passes the allow-list and leads elsewhere once it is part of an address."""
    try:
        Allowed(MediaWikiSettings().hosts).check(server_name)
    except HostNotAllowed:
        return
    url = URL(f"https://{server_name}/w/api.php")
    assert (url.host, url.port, url.user, url.path) == (server_name, 443, None, "/w/api.php")
    assert server_name.endswith(".wikipedia.org")
