"""The judge finds what is wrong: a proof that can't fail proves nothing."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import pytest

from prove.judge import Cutoff, Logged, Verdict, judge
from prove.partners import Partner
from prove.told import told_by
from prove.wiki import Json, Truth

WIKI = "enproof"
EVERYTHING = Partner("everything")
NAMELESS = Partner("nameless", kinds=("create", "edit"), editor="none")
ARTICLES = Partner("articles", namespaces=(0,))


def article(page: int, sequence: int, text: str | None, **more: object) -> Json:
    """An edit, or with `kind` something else; no text is a delete."""
    kind = str(more.get("kind", "edit" if text is not None else "delete"))
    event: Json = {
        "identifier": f"{page}-{sequence}",
        "kind": kind,
        "type": "delete" if kind == "delete" else "update",
        "sequence": sequence,
    }
    if "previous" in more:
        event["previous"] = {"name": "old", "namespace": {"identifier": more["previous"]}}
    found: Json = {
        "name": str(more.get("name", f"Page {page}")),
        "identifier": page,
        "namespace": {"identifier": more.get("namespace", 0)},
        "is_part_of": {"identifier": WIKI},
        "event": event,
        "version": {"identifier": 100 + sequence},
    }
    if text is not None:
        found["article_body"] = {"wikitext": text}
    return found


def truth(page: int, text: str | None, *, deleted: bool = False) -> dict[tuple[str, int], Truth]:
    sha1 = None if text is None else hashlib.sha1(text.encode()).hexdigest()
    return {(WIKI, page): Truth(f"Page {page}", deleted, sha1)}


LOG = [article(1, 1, "one"), article(2, 2, "two"), article(1, 3, "three"), article(2, 4, None)]
TRUTH = truth(1, "three") | truth(2, None, deleted=True)


def verdict(
    received: Sequence[Json],
    *,
    log: Sequence[Json] = LOG,
    partner: Partner = EVERYTHING,
    cutoffs: Sequence[Cutoff] = (),
    wanted: dict[tuple[str, int], Truth] = TRUTH,
) -> Verdict:
    logged = Logged([], log, cutoffs, Counter())
    return judge(partner, received, logged, before={}, truth=wanted)


def test_what_is_right_is_right() -> None:
    """All that the log holds, in any order across pages: no complaint."""
    found = verdict([LOG[1], LOG[3], LOG[0], LOG[2]])
    assert found.is_right
    assert found.by_api == 2


@pytest.mark.parametrize("index", range(len(LOG)))
def test_one_event_less_is_seen(index: int) -> None:
    """Whichever of them a partner misses."""
    found = verdict([*LOG[:index], *LOG[index + 1 :]])
    assert found.lost == [f"{LOG[index]['identifier']}-{index + 1} {'delete' if index == 3 else 'edit'}"]
    assert bool(found.differing) == (index >= 2)


def test_a_withdrawn_event_is_not_lost() -> None:
    """Below a cut-off of its page or of its revision an event may be missing, and above it not."""
    page, revision = Cutoff((WIKI, 2), 0, 4), Cutoff((WIKI, 1), 101, 3)
    found = verdict(LOG[2:], cutoffs=[page, revision])
    assert found.is_right
    assert found.withdrawn == 2
    assert verdict(LOG[:2] + LOG[3:], cutoffs=[page, revision]).lost == ["1-3 edit"]
    assert verdict(LOG[:3], cutoffs=[page, revision]).lost == ["2-4 delete"]


def test_an_event_twice_and_one_behind_its_time_are_seen() -> None:
    """Although what is held in the end is the same."""
    assert verdict([*LOG, LOG[0]]).doubled == ["1-1 edit"]
    turned = verdict([LOG[2], LOG[0], LOG[1], LOG[3]])
    assert turned.out_of_order == ["1-1 edit"]
    assert not turned.differing


def test_other_text_another_title_and_a_page_that_never_came_are_seen() -> None:
    """The wikis' API has the last word, whatever the log says."""
    assert verdict(LOG, wanted=TRUTH | truth(1, "other")).differing[0].by == "api"
    assert verdict(LOG, wanted=TRUTH | {(WIKI, 1): Truth("Moved", False, None)}).differing
    assert verdict(LOG, wanted=TRUTH | truth(2, "back again")).differing
    assert verdict(LOG, wanted=TRUTH | truth(3, "never told")).differing[0].held is None
    hidden = verdict(LOG, wanted=TRUTH | truth(1, None))
    assert [one.page for one in hidden.differing] == [(WIKI, 1)]


def test_a_page_is_as_the_newest_that_the_rules_let_through() -> None:
    """A restatement that a partner did not ask for changes nothing for it; to get it is an error."""
    log = [LOG[0], article(1, 2, "restated", kind="refresh")]
    wanted = truth(1, "restated")
    found = verdict(log[:1], log=log, partner=NAMELESS, wanted=wanted)
    assert found.is_right
    assert (found.by_api, found.by_log) == (0, 1)
    assert verdict(log, log=log, partner=NAMELESS, wanted=wanted).foreign == ["1-2 refresh"]
    assert not verdict(log[:1], log=log, wanted=wanted).is_right


def test_a_page_that_has_left_is_gone_for_its_partner() -> None:
    """It is told by a delete, and that delete must come."""
    log = [LOG[0], article(1, 2, "one", kind="move", namespace=2, previous=0, name="User:Page 1")]
    left = article(1, 2, None, kind="move", namespace=2, name="User:Page 1")
    left["event"] |= {"type": "delete"}  # type: ignore[operator]
    wanted = {(WIKI, 1): Truth("User:Page 1", False, hashlib.sha1(b"one").hexdigest())}
    assert verdict([log[0], left], log=log, partner=ARTICLES, wanted=wanted).is_right
    cutoffs = [Cutoff((WIKI, 1), 0, 9)]
    missing = verdict([log[0]], log=log, partner=ARTICLES, wanted=wanted, cutoffs=cutoffs)
    assert missing.lost == ["1-2 move"]
    assert missing.differing


def test_what_a_partner_did_not_ask_for_is_seen() -> None:
    """A name where none was wanted."""
    named = LOG[0] | {"version": {"identifier": 101, "editor": {"name": "Writer"}}}
    found = verdict([named], log=[named], partner=NAMELESS, wanted=truth(1, "one"))
    assert found.foreign == ["1-1 edit version holds editor"]


def test_a_users_page_without_the_user() -> None:
    """Is right for a partner that is told of nobody, and wrong for others; the name is wrong for it."""
    named = article(1, 1, "one", namespace=2, name="User:Writer")
    masked = article(1, 1, "one", namespace=2, name="User:[…]")
    wanted = {(WIKI, 1): Truth("User:Writer", False, hashlib.sha1(b"one").hexdigest())}
    assert verdict([masked], log=[named], partner=NAMELESS, wanted=wanted).is_right
    assert not verdict([masked], log=[named], wanted=wanted).is_right
    found = verdict([named], log=[named], partner=NAMELESS, wanted=wanted)
    assert found.foreign == ["1-1 edit names the user whose page it is"]


def test_what_was_told_and_not_admitted_is_seen() -> None:
    """And what was admitted twice, or never told."""
    meta = {"domain": "en.proof.example", "dt": "2026-01-01T00:00:00.5Z", "stream": "mediawiki.recentchange"}
    told = told_by([{"meta": meta | {"id": "x"}, "type": "edit", "wiki": WIKI, "revision": {"new": 7}}])
    (name,) = told.required
    assert told.wrongs([name]) == []
    assert told.wrongs([]) == [f"told and never admitted: {name}"]
    assert told.wrongs([name, name, "?"]) == [f"admitted twice: {name}", "admitted and never told: ?"]
