"""Page lists: what is asked for them, and what the answers mean, one after the other."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from streamer.errors import OriginError, OriginUnavailable
from streamer.metrics import REGISTRY
from streamer.origin import query
from streamer.origin.answer import Found, SiteInfo
from streamer.origin.breaker import Breakers
from streamer.origin.budget import Budget
from streamer.origin.continuing import CLOSED, CONTINUED_MOST, LISTS_WAIT_S, REPLAY_WAIT_S, Continuing
from streamer.origin.parked import Parked
from streamer.origin.parse import AnotherPage, ApiError, Asked, Key, Reply, Unparsable, read_pages
from streamer.origin.scheduler import Item, Lane, Scheduler
from streamer.origin.turns import BEHIND, LIVE, REPLAY
from streamer.origin.waiting import Waiting
from streamer.partners import PAGE_LISTS, PageList

ALL = frozenset(PAGE_LISTS)
SITE = SiteInfo(
    wiki="xwiki",
    server_name="x.example.org",
    name="X",
    language="en",
    direction="ltr",
    namespaces={0: ""},
    licence_name="",
    licence_url="",
    article_path="/wiki/$1",
    script_path="/w",
    server="https://x.example.org",
    fetched_ms=1,
)
ASKED = Asked("xwiki", "x.example.org", 1_000, SITE)
NOW_S = 7.0
LISTING = Asked("xwiki", "x.example.org", 1_000, SITE, ALL)
LIMITS: dict[str, Any] = {"limits": dict.fromkeys(PAGE_LISTS, 500)}
Named = dict[str, tuple[str, ...]]


def a_page(page_id: int, revision: int = 0, **lists: Iterable[str]) -> dict[str, Any]:
    """Of a first answer."""
    page = of(page_id, **lists) | {"contentmodel": "wikitext"}
    if revision:
        slots = {"main": {"contentmodel": "wikitext", "content": f"v{revision}"}}
        page["revisions"] = [{"revid": revision, "timestamp": "2026-11-21T07:32:51Z", "slots": slots}]
    return page


def pages(*found: dict[str, Any]) -> dict[str, Any]:
    return {"query": {"pages": list(found)}}


def entries(*titles: str) -> list[dict[str, Any]]:
    return [{"ns": 0, "title": title} for title in titles]


def of(page_id: int, **lists: Iterable[str]) -> dict[str, Any]:
    """A page of a further answer."""
    listed = {name: entries(*titles) for name, titles in lists.items()}
    return {"pageid": page_id, "ns": 0, "title": f"Page {page_id}", "lastrevid": 99} | listed


def reply(*found: dict[str, Any], **more: str) -> Reply:
    return Reply(json.dumps(pages(*found) | LIMITS | ({"continue": more} if more else {})).encode())


def counted() -> dict[str, float]:
    names = ("whole", "failed", "too_many", "changed", "unknown", "late")
    return {
        name: REGISTRY.get_sample_value("streamer_origin_lists_total", {"outcome": name}) or 0
        for name in names
    }


class Case:
    """Revisions 5 and 6, of pages 1 and 2, of which the first answer brought `lists`, cut as `more` says."""

    def __init__(self, *found: dict[str, Any], priority: int = LIVE, **more: str) -> None:
        lane = Lane("xwiki", "x.example.org", "revision", priority)
        self.reading = read_pages(reply(*found, **more), "revision", [5, 6], LISTING)
        self.futures: list[asyncio.Future[Any]] = []
        answered = []
        for key in (5, 6):
            answer = self.reading.answers[key]
            assert isinstance(answer, Found)
            item = Waiting(key, since_s=float(key))
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            item.waiters.append(future)
            self.futures.append(future)
            answered.append((item, answer))
        self.rest = Continuing.of(lane, [5, 6], answered, self.reading, NOW_S)

    def lists(self) -> list[Named]:
        return [dict(future.result().page.lists) for future in self.futures]


@pytest.mark.parametrize("with_site", [True, False])
def test_without_lists_the_request_is_what_it_was(with_site: bool) -> None:
    """Not a parameter more."""
    asked = query.pages("revision", [1, 2], maxlag=5, with_site=with_site)
    assert asked == query.pages("revision", [1, 2], maxlag=5, with_site=with_site, lists=frozenset())
    assert asked["prop"] == "revisions|info|pageprops|pageimages"
    assert not [name for name in asked if name.startswith(("cl", "tl", "rd"))]


def test_lists_ride_along() -> None:
    """Those that are asked for, in a fixed order, with the highest limit."""
    asked = query.pages("page", [1], maxlag=0, with_site=False, lists=frozenset({"redirects", "categories"}))
    usual = query.pages("page", [1], maxlag=0, with_site=False)
    added = {"cllimit": "max", "rdlimit": "max", "rdprop": "title"}
    assert asked == usual | added | {"prop": "revisions|info|pageprops|pageimages|categories|redirects"}


def test_the_rest_is_asked_of_the_same_keys_without_the_revisions() -> None:
    """Only of the lists that were cut, by the wiki's own word; content is not sent again."""
    more: dict[PageList, str] = {"templates": "7|10|A_b"}
    assert query.rest_of_lists("revision", [5, 6], more, maxlag=5) == {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "revids": "5|6",
        "prop": "info|templates",
        "tllimit": "max",
        "tlcontinue": "7|10|A_b",
        "maxlag": "5",
    }


def test_a_list_that_is_not_there_is_empty_where_the_wiki_knows_lists() -> None:
    """A limit is said of each list that the wiki knows: then what is not told has no entry."""
    body = pages(a_page(1, 5))
    for limits, lists in ((LIMITS, dict.fromkeys(PAGE_LISTS, ())), ({}, {}), ({"limits": []}, {})):
        reading = read_pages(Reply(json.dumps(body | limits).encode()), "revision", [5], LISTING)
        answer = reading.answers[5]
        assert isinstance(answer, Found)
        assert answer.page.lists == lists
        assert reading.unknown == ALL - lists.keys()


def test_lists_that_were_not_asked_for_are_not_taken() -> None:
    """Whatever the answer says."""
    reading = read_pages(reply(a_page(1, 5, categories=["A"])), "revision", [5], ASKED)
    answer = reading.answers[5]
    assert isinstance(answer, Found)
    assert answer.page.lists == {}


@pytest.mark.parametrize(
    ("more", "unreached", "left"),
    [
        ({"clcontinue": "1|B", "continue": "||revisions|info|pageprops"}, [], {"categories"}),
        ({"clcontinue": "1|B", "rvcontinue": "6", "continue": "||info"}, [6], {"categories"}),
        ({"rvcontinue": "6", "continue": "||info|pageprops|categories"}, [6], set()),
        ({"continue": "||"}, [6], set()),
        ({"picontinue": "6", "continue": "||"}, [], set()),
    ],
)
def test_that_lists_are_cut_is_no_word_about_revisions(
    more: dict[str, str], unreached: list[Key], left: set[str]
) -> None:
    """A revision that is not there though only lists were cut is not merely unreached, and the other way
    round.
    """
    body = pages(a_page(1, 5), a_page(2)) | LIMITS | {"continue": more}
    reading = read_pages(Reply(json.dumps(body).encode()), "revision", [5, 6], LISTING)
    assert list(reading.answers) == [5]
    assert reading.unreached == unreached
    assert reading.unanswered == ([] if unreached else [6])
    assert reading.more.keys() == left


async def test_continued_answers_are_put_together_by_page() -> None:
    """In the wiki's order, over any number of answers, in which one list comes to its end before another."""
    before = counted()
    case = Case(
        a_page(2, 6, redirects=["R"]),
        a_page(1, 5, categories=["A", "B"], templates=["T"]),
        clcontinue="1|C",
        tlcontinue="1|10|U",
    )
    assert case.rest.more == {"categories": "1|C", "templates": "1|10|U"}
    case.rest.take(reply(of(1, categories=["C"], templates=["U"]), of(2), clcontinue="2|X"), ALL, NOW_S)
    assert case.rest.more == {"categories": "2|X"}
    assert not case.rest.is_over(NOW_S)
    case.rest.take(reply(of(2, categories=["X", "Y"]), of(1)), ALL, NOW_S)
    assert case.rest.is_over(NOW_S)
    case.rest.tell()
    assert case.lists() == [
        {"categories": ("A", "B", "C"), "templates": ("T", "U"), "redirects": ()},
        {"categories": ("X", "Y"), "templates": (), "redirects": ("R",)},
    ]
    assert counted()["whole"] - before["whole"] == 6


async def test_each_page_is_told_as_soon_as_its_lists_are_whole() -> None:
    """Categories and templates come page by page, and the wiki's word for the rest names the page that it
    goes on with: those before it wait for nothing. What is edited after that is no matter.
    """
    case = Case(
        a_page(1, 5, categories=["A"]), a_page(2, 6, categories=["B"]), clcontinue="2|C", tlcontinue="1|9|T"
    )
    case.rest.tell_whole()
    assert not any(future.done() for future in case.futures)
    again = of(1, templates=["T"]) | {"lastrevid": 99}
    case.rest.take(reply(again, of(2, categories=["C"]), clcontinue="2|D", tlcontinue="2|9|U"), ALL, NOW_S)
    case.rest.tell_whole()
    assert [future.done() for future in case.futures] == [True, False]
    assert dict(case.futures[0].result().page.lists) == {
        "categories": ("A",),
        "templates": ("T",),
        "redirects": (),
    }
    case.rest.take(reply(of(1) | {"lastrevid": 100}, of(2, categories=["D"], templates=["U"])), ALL, NOW_S)
    case.rest.tell_whole()
    assert dict(case.futures[1].result().page.lists) == {
        "categories": ("B", "C", "D"),
        "templates": ("U",),
        "redirects": (),
    }


async def test_articles_without_an_answer_go_before_the_rest_of_lists() -> None:
    """Of as many that have waited as long, and of their own wiki too; what has waited for much longer has its
    turn, so that nothing starves while it waits.
    """
    case = Case(a_page(1, 5), a_page(2, 6), clcontinue="1|C")
    scheduler: Scheduler[Item] = Scheduler(Budget(200, 3), Breakers(50))
    texts = case.rest.lane._replace(by="revision")
    scheduler.put_back(case.rest.lane, [case.rest])
    for key in (7, 8):
        scheduler.add(texts, Item(key, NOW_S))
    first = scheduler.next_batch(NOW_S + 1)
    assert first is not None
    assert first.lane == texts
    scheduler.add(texts, Item(9, NOW_S + 3.5))
    second = scheduler.next_batch(NOW_S + LISTS_WAIT_S - 0.1)
    assert second is not None
    assert second.items == [case.rest]


@pytest.mark.parametrize("token", ["3", "3|0|X", "x|1", ""])
async def test_no_other_word_of_a_wiki_says_which_pages_are_whole(token: str) -> None:
    """Redirects come by their titles; and what is no page's id is not taken for one."""
    more = {"rdcontinue": token} if token.startswith("3") else {"clcontinue": token}
    case = Case(a_page(1, 5), a_page(2, 6), **more)
    case.rest.tell_whole()
    assert not any(future.done() for future in case.futures)


@pytest.mark.parametrize(
    "told",
    [[of(2)], [of(1, categories=["C"]) | {"lastrevid": 100}, of(2)], [of(1) | {"lastrevid": 98}, of(2)]],
    ids=["gone", "edited", "a replica that lags"],
)
async def test_a_page_that_is_another_meanwhile_has_no_list_of_two_states(told: list[dict[str, Any]]) -> None:
    """The list that was being continued is absent of this page alone; what was whole before stays."""
    before = counted()
    case = Case(a_page(1, 5, categories=["A"], redirects=["R"]), a_page(2, 6), clcontinue="1|C")
    case.rest.take(reply(*told, clcontinue="1|D"), ALL, NOW_S)
    case.rest.take(reply(of(1, categories=["D"]), of(2, categories=["E"])), ALL, NOW_S)
    case.rest.tell()
    assert case.lists() == [
        {"templates": (), "redirects": ("R",)},
        {"categories": ("E",), "templates": (), "redirects": ()},
    ]
    assert counted()["changed"] - before["changed"] == 1


async def test_what_is_refused_leaves_only_the_cut_lists_out() -> None:
    """Of all pages, since the wiki does not say of which it was done; no article is lost by it."""
    before = counted()
    case = Case(a_page(1, 5, categories=["A"]), a_page(2, 6, templates=["T"]), clcontinue="1|C")
    case.rest.refuse(OriginUnavailable("timeout"))
    assert case.lists() == [{"templates": (), "redirects": ()}, {"templates": ("T",), "redirects": ()}]
    assert counted()["failed"] - before["failed"] == 2


async def test_no_batch_is_continued_for_ever() -> None:
    """After so many requests what is cut still is absent."""
    before = counted()
    case = Case(a_page(1, 5), a_page(2, 6), rdcontinue="7", clcontinue="1|B")
    case.rest.take(reply(of(1), of(2, categories=["B"]), rdcontinue="7"), ALL, NOW_S)
    for number in range(1, CONTINUED_MOST):
        assert not case.rest.is_over(NOW_S), number
        case.rest.take(reply(of(1, redirects=[f"R{number}"]), of(2), rdcontinue="7"), ALL, NOW_S)
    assert case.rest.is_over(NOW_S)
    case.rest.tell()
    assert case.lists() == [{"categories": (), "templates": ()}, {"categories": ("B",), "templates": ()}]
    assert counted()["too_many"] - before["too_many"] == 2


async def test_an_article_that_is_late_does_not_wait_for_lists() -> None:
    """Else a budget that does not suffice for lists made all articles ever later. What is tried again, or
    behind, is in less of a hurry, or in none.
    """
    before = counted()
    case = Case(a_page(1, 5), a_page(2, 6), clcontinue="1|B")
    assert not case.rest.is_over(NOW_S + LISTS_WAIT_S - 0.1)
    assert case.rest.is_over(NOW_S + LISTS_WAIT_S)
    case.rest.tell()
    assert case.lists() == [{"templates": (), "redirects": ()}] * 2
    assert counted()["late"] - before["late"] == 2
    replay = Case(a_page(1, 5), a_page(2, 6), priority=REPLAY, clcontinue="1|B")
    assert not replay.rest.is_over(NOW_S + REPLAY_WAIT_S - 0.1)
    assert replay.rest.is_over(NOW_S + REPLAY_WAIT_S)
    behind = Case(a_page(1, 5), a_page(2, 6), priority=BEHIND, clcontinue="1|B")
    assert not behind.rest.is_over(NOW_S + 10_000)


async def test_what_nobody_asks_for_by_now_is_not_continued() -> None:
    """Its rest is left where it is, without a word in the figures."""
    before = counted()
    case = Case(a_page(1, 5), a_page(2, 6), rdcontinue="7", clcontinue="1|B")
    case.rest.take(reply(of(1), of(2), rdcontinue="8", clcontinue="1|C"), frozenset({"redirects"}), NOW_S)
    assert case.rest.more == {"redirects": "8"}
    case.rest.take(reply(of(1), of(2), rdcontinue="9"), frozenset(), NOW_S)
    assert case.rest.is_over(NOW_S)
    case.rest.tell()
    assert case.lists() == [{"templates": ()}] * 2
    assert counted() == before | {"whole": before["whole"] + 2}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (pages(of(1), of(3)), AnotherPage),
        ({"error": {"code": "badcontinue"}}, Unparsable),
        ({"error": {"code": "maxlag"}}, ApiError),
        ("<html>", Unparsable),
    ],
)
async def test_an_answer_to_another_question_is_not_taken(body: object, error: type[Exception]) -> None:
    """Nothing of it; what a wiki does not understand of its own word is told at once, not tried again."""
    case = Case(a_page(1, 5, categories=["A"]), a_page(2, 6), clcontinue="1|C")
    with pytest.raises(error):
        case.rest.take(Reply(json.dumps(body).encode()), ALL, NOW_S)
    assert (case.rest.requests, case.rest.more) == (0, {"categories": "1|C"})


async def test_at_the_end_nothing_is_told_without_its_lists() -> None:
    """What waits when the client is left is asked again after the restart."""
    case = Case(a_page(1, 5), a_page(2, 6), clcontinue="1|C")
    case.rest.refuse(OriginUnavailable(CLOSED))
    for future in case.futures:
        with pytest.raises(OriginError):
            future.result()


async def test_it_waits_since_their_texts_are_here_and_as_long_as_anybody_does() -> None:
    """What they waited before does not push them to the front again; and nothing is asked for nobody."""
    case = Case(a_page(1, 5), a_page(2, 6), clcontinue="1|C")
    assert (case.rest.since_s, case.rest.lane.by) == (NOW_S, "lists")
    case.futures[0].cancel()
    assert not case.rest.is_abandoned
    case.futures[1].cancel()
    assert case.rest.is_abandoned
    assert case.rest.is_over(NOW_S)


async def test_what_waits_for_lists_is_bounded_and_known_by_its_revisions() -> None:
    """What is beyond the bound goes without them, and what has gone takes no room."""
    before = counted()
    one, other = (Case(a_page(1, 5), a_page(2, 6), clcontinue="1|C") for _ in range(2))
    parked = Parked(one.rest.held_bytes + 5_000)
    assert parked.goes_on(one.rest, NOW_S)
    assert parked.holds("xwiki", "revision", 6)
    assert not parked.holds("ywiki", "revision", 6)
    assert not parked.holds("xwiki", "page", 6)
    one.rest.take(reply(of(1, categories=["C" * 4_000]), of(2), clcontinue="1|X"), ALL, NOW_S)
    assert parked.goes_on(one.rest, NOW_S)
    assert parked.held_bytes == one.rest.held_bytes > 4_000
    other.rest.take(reply(of(1, categories=["C" * 2_000]), of(2), clcontinue="1|X"), ALL, NOW_S)
    assert not parked.goes_on(other.rest, NOW_S)
    assert other.lists() == [{"templates": (), "redirects": ()}] * 2
    assert parked.next_s() == one.rest.late_at_s
    assert parked.over(one.rest.late_at_s) == [one.rest]
    assert (len(parked), parked.held_bytes, parked.holds("xwiki", "revision", 6)) == (0, 0, False)
    one.rest.tell()
    one.rest.tell()
    assert counted()["late"] - before["late"] == 4
