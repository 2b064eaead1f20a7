"""A wiki is asked as its operators wish, and what it answers becomes rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from harness.api import Answer, Api, Params, serving

from consumers.corpus.asked import LAG_US, pages_of, site_of
from consumers.corpus.site import Site, licences
from consumers.errors import UsageError, WikiError
from consumers.event import Licence
from consumers.wiki import TRIES, Wiki

CONTACT = "ops@partner.example"
SITE = Site("enwiki", "https://en.wikipedia.org", namespaces={0: "", 1: "Talk"}, aliases={"T": 1})
NOW = "2026-01-02T03:04:05Z"
NOW_US = 1_767_323_045_000_000


@contextmanager
def asked(answer: Callable[[Params], Answer], **more: Any) -> Iterator[tuple[Wiki, Api, list[float]]]:
    """The wiki, what answers, and how long it was waited each time."""
    slept: list[float] = []
    with (
        serving(answer) as api,
        Wiki(
            SITE.server, CONTACT, endpoint=api.endpoint, sleep=slept.append, monotonic=lambda: 0.0, **more
        ) as wiki,
    ):
        yield wiki, api, slept


def one_after_the_other(*answers: Answer) -> Callable[[Params], Answer]:
    waiting = list(answers)
    return lambda _: waiting.pop(0)


def ok(query: Any = None, **more: Any) -> Answer:
    return 200, {}, {"curtimestamp": NOW, "query": query or {}, **more}


def error(code: str, headers: dict[str, str] | None = None) -> Answer:
    return 200, headers or {}, {"error": {"code": code, "info": "no"}}


def test_a_request_says_who_asks_and_how_long_it_may_wait() -> None:
    """User-Agent with the contact, the wiki's own name as Host, maxlag, JSON of version 2."""
    with asked(lambda _: ok()) as (wiki, api, _):
        wiki.ask(meta="siteinfo")
    [headers], [params] = api.headers, api.asked
    assert CONTACT in headers["User-Agent"]
    assert headers["Host"] == "en.wikipedia.org"
    assert params.items() >= {"maxlag": "5", "formatversion": "2", "meta": "siteinfo"}.items()


@pytest.mark.parametrize("server", ["", "ftp://x.example", "https://", "https://user:secret@x.example"])
def test_what_is_no_server_is_refused(server: str) -> None:
    """Before anything is asked; a password isn't shown."""
    with pytest.raises(UsageError, match="--server"):
        Wiki(server, CONTACT)


@pytest.mark.parametrize("contact", ["", "x", "a\nHost: b", "ä" * 5])
def test_nobody_asks_without_a_contact(contact: str) -> None:
    """Nor with one that is no header's value."""
    with pytest.raises(UsageError, match="--contact"):
        Wiki(SITE.server, contact)


def test_the_budget_is_spent_evenly() -> None:
    """By a clock that stands still, each request but the first waits its part of the minute."""
    with asked(lambda _: ok(), requests_per_minute=60) as (wiki, _, slept):
        for _ in range(4):
            wiki.ask()
    assert slept == [1.0, 2.0, 3.0]
    assert wiki.requests == 4


@pytest.mark.parametrize(
    ("answer", "waited_s"),
    [
        ((429, {"Retry-After": "17"}, b""), 17),
        ((503, {}, b"down"), 2),
        ((503, {"Retry-After": "99999"}, b"down"), 120),
        ((200, {}, b"<html>"), 2),
        (error("maxlag", {"Retry-After": "7"}), 7),
        (error("ratelimited"), 2),
        (error("readonly"), 2),
        (error("internal_api_error_DBQueryError"), 2),
    ],
)
def test_what_is_no_answer_is_asked_again(answer: Answer, waited_s: float) -> None:
    """As late as it says, or by our own patience; never longer than two minutes."""
    with asked(one_after_the_other(answer, ok({"x": 1})), requests_per_minute=1e9) as (wiki, _, slept):
        assert wiki.ask()["query"] == {"x": 1}
    assert [wait for wait in slept if wait > 0.5] == [waited_s]


@pytest.mark.parametrize(
    "answer", [error("badtoken"), (404, {}, b""), (301, {"Location": "http://x.example"}, b"")]
)
def test_a_refusal_is_not_asked_again(answer: Answer) -> None:
    """Nor is a redirect followed."""
    with asked(one_after_the_other(answer)) as (wiki, api, _), pytest.raises(WikiError):
        wiki.ask()
    assert len(api.asked) == 1


def test_patience_ends() -> None:
    """After so many tries, with what was said last."""
    with asked(lambda _: error("maxlag")) as (wiki, api, _), pytest.raises(WikiError, match="maxlag"):
        wiki.ask()
    assert len(api.asked) == TRIES


def test_lists_are_continued() -> None:
    """With all that the answer gave; one that continues where it was is an error and no loop."""
    first, second = ok(["a"], **{"continue": {"rccontinue": "x|1", "continue": "-||"}}), ok(["b"])
    with asked(one_after_the_other(first, second)) as (wiki, api, _):
        assert [answer["query"] for answer in wiki.listed(list="recentchanges")] == [["a"], ["b"]]
    assert api.asked[1].items() >= {"rccontinue": "x|1", "continue": "-||", "list": "recentchanges"}.items()
    with asked(lambda _: first) as (wiki, _, _), pytest.raises(WikiError, match="continues where it was"):
        list(wiki.listed(list="recentchanges"))


def page(number: int, **more: Any) -> dict[str, Any]:
    return {"pageid": number, "ns": 0, "title": f"Page {number}", **more}


def revised(number: int, content: str | None = "text", **more: Any) -> dict[str, Any]:
    slot = {"contentmodel": "wikitext"} | ({"texthidden": True} if content is None else {"content": content})
    revision = {"revid": number * 10, "timestamp": NOW, "minor": False, "sha1": "ab", "slots": {"main": slot}}
    return page(number, revisions=[revision], **more)


def pages(*answers: Answer, ids: Sequence[int] = (), titles: Sequence[str] = ()) -> dict[int, Any]:
    with asked(one_after_the_other(*answers)) as (wiki, _, _):
        return {row.page: row for row in pages_of(wiki, SITE, ids=ids, titles=titles)}


def test_pages_become_rows_as_of_when_they_were_asked_for() -> None:
    """Shown, hidden, missing; by the wiki's clock, less what its replicas may lag."""
    rows = pages(ok({"pages": [revised(1), revised(2, None), {"pageid": 3, "missing": True}]}), ids=[1, 2, 3])
    assert {row.at for row in rows.values()} == {NOW_US - LAG_US}
    assert (rows[1].content.text, rows[1].content.sha1, rows[1].revision) == ("text", "ab", 10)
    assert [rows[2].gone, rows[3].gone] == ["hidden", "deleted"]


def test_a_text_that_only_the_asker_may_see_is_hidden() -> None:
    """An account with rights is given the text with the flag beside it."""
    told = revised(1)
    told["revisions"][0]["slots"]["main"]["texthidden"] = True
    assert pages(ok({"pages": [told]}), ids=[1])[1].content is None


def test_an_answer_that_was_cut_is_put_together() -> None:
    """Pages come without revisions until it is their turn: that is no page without a text."""
    properties = {"pageprops": {"wikibase_item": "Q7", "disambiguation": ""}, "pagelanguage": "de"}
    rows = pages(
        ok({"pages": [revised(1), page(2)]}, **{"continue": {"rvcontinue": "2"}}),
        ok({"pages": [page(1, **properties), revised(2)]}),
        ids=[1, 2],
    )
    content = rows[1].content
    assert (content.wikidata, content.is_disambiguation, content.language) == ("Q7", True, "de")
    assert rows[2].content.text == "text"


def test_a_redirect_has_no_text_and_leads_somewhere() -> None:
    """By the wiki's word that it is one, whatever its language's; an alias of a namespace is its name."""
    told = revised(1, "#REDIRECCIÓN [[t:some_page#part|x]]", redirect=True)
    content = pages(ok({"pages": [told]}), titles=["Page 1"])[1].content
    assert (content.text, content.redirect_target) == ("", "Talk:Some page")


@pytest.mark.parametrize(
    "told", [page(1), page(1, revisions=[{"revid": 3, "slots": {"main": {}}}]), {"pageid": 1}]
)
def test_half_an_answer_is_an_error_that_names_the_page(told: dict[str, Any]) -> None:
    """A text that is missing without being hidden is not taken for an empty one."""
    with pytest.raises(WikiError, match="page 1 is not as expected"):
        pages(ok({"pages": [told]}), ids=[1])


def test_a_title_without_a_page_says_nothing() -> None:
    """It has no id to say it of."""
    assert pages(ok({"pages": [{"ns": 0, "title": "X", "missing": True}]}), titles=["X"]) == {}


def test_a_site_is_what_it_says_of_itself() -> None:
    """Names, namespaces with aliases, addresses, licence with its identifier."""
    query = {
        "general": {"wikiid": "dewiki", "server": "//de.wikipedia.org", "sitename": "W", "lang": "de"},
        "namespaces": {"0": {"id": 0, "name": ""}, "6": {"id": 6, "name": "Datei"}},
        "namespacealiases": [{"id": 6, "alias": "Bild"}],
        "rightsinfo": {"url": "https://creativecommons.org/licenses/by-sa/4.0/deed.de", "text": "CC BY-SA"},
    }
    with asked(lambda _: ok(query)) as (wiki, _, _):
        site = site_of(wiki)
    assert (site.wiki, site.server, site.language) == ("dewiki", "https://de.wikipedia.org", "de")
    assert (site.namespaces[6], site.aliases) == ("Datei", {"Bild": 6})
    assert [licence.identifier for licence in site.licence] == ["CC-BY-SA-4.0"]
    with asked(lambda _: ok({})) as (wiki, _, _), pytest.raises(WikiError, match="siteinfo"):
        site_of(wiki)
    query["general"] = {"wikiid": "../../evil"}
    with asked(lambda _: ok(query)) as (wiki, _, _), pytest.raises(WikiError, match="wikiid"):
        site_of(wiki)


@pytest.mark.parametrize(
    ("url", "identifier"),
    [
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("//creativecommons.org/licenses/by/2.5/", "CC-BY-2.5"),
        ("https://www.gnu.org/copyleft/fdl.html", "GFDL"),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "GFDL-1.3"),
        ("https://x.example/ours", None),
    ],
)
def test_licences_have_the_identifiers_of_the_feed(url: str, identifier: str | None) -> None:
    """And the wiki's own words beside it."""
    address = f"https:{url}" if url.startswith("//") else url
    assert licences("Name", url) == [Licence("Name", address, identifier)]
