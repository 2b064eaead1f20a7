"""Compiled rules against the same rules read naively."""

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, get_args

import pytest
from harness.articles import Page
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from streamer.cutoffs import Cutoffs
from streamer.globs import matcher
from streamer.log.base import Stored
from streamer.model import KINDS, Hideable, Kind, Topics, encode_value
from streamer.partners import Partner
from streamer.route.feed import Article
from streamer.route.rules import NO_RULES, Rule, Verdict, view

WIKIS = ("enwiki", "dewiki", "enwiktionary", "dewiktionary", "zh_min_nanwiki", "commonswiki")
GLOBS = (*WIKIS, "*wiktionary", "en*", "??wiki", "*_*", "[de]*wiki")
LANGUAGES = ("en", "de", "nan")
TAGS = ("mobile edit", "mw-reverted", "visualeditor", "mw-undo")
KIND: st.SearchStrategy[Kind] = st.sampled_from(KINDS)

partners = st.builds(
    Partner,
    wikis=st.lists(st.sampled_from(GLOBS), max_size=3).map(tuple),
    languages=st.lists(st.sampled_from(LANGUAGES), max_size=2).map(tuple),
    namespaces=st.lists(st.integers(0, 3), max_size=2).map(tuple),
    kinds=st.lists(KIND, max_size=4).map(tuple),
    bots=st.booleans(),
    minor=st.booleans(),
    min_size=st.sampled_from((0, 50, 200)),
    max_size=st.sampled_from((0, 300, 1000)),
    tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    without_tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    max_revert_risk=st.sampled_from((0.0, 0.3, 0.5, 1.0)),
    min_size_change=st.sampled_from((0, 10, 100)),
)
pages = st.builds(
    Page,
    sequence=st.just(1),
    wiki=st.sampled_from(WIKIS),
    kind=KIND,
    namespace=st.integers(0, 3),
    was_in=st.none() | st.integers(0, 3),
    language=st.sampled_from(LANGUAGES),
    bot=st.none() | st.booleans(),
    minor=st.booleans(),
    size=st.none() | st.integers(0, 1_200),
    tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    text=st.none() | st.just("") | st.just("words"),
    risk=st.none() | st.sampled_from((0.0, 0.3, 0.31, 0.5, 0.9, 1.0)),
    risk_by=st.sampled_from(("revertrisk", "revertrisk-wikidata", "something-else")),
    size_change=st.none() | st.integers(-150, 150),
    reverts=st.booleans(),
    repeats=st.booleans(),
    hides_revision=st.none() | st.booleans(),
    hidden=st.sampled_from(get_args(Hideable)),
)


def expected(partner: Partner, page: Page) -> Verdict:
    def seen(namespace: int | None) -> bool:
        return namespace is not None and (not partner.namespaces or namespace in partner.namespaces)

    if partner.wikis and not any(fnmatchcase(page.wiki, glob) for glob in partner.wikis):
        return Verdict.FILTERED
    moved = page.kind == "move" or (page.kind == "refresh" and page.was_in is not None)
    if moved and seen(page.was_in) and not seen(page.namespace):
        return Verdict.LEFT
    removal = page.kind == "delete" or page.text is None or page.hides_revision is True
    if removal:
        return Verdict.WANTED if seen(page.namespace) or seen(page.was_in) else Verdict.FILTERED
    if moved:
        return Verdict.WANTED if seen(page.namespace) else Verdict.FILTERED
    is_risky = page.risk is not None and page.risk_by != "something-else"
    worthless = (
        set(partner.without_tags) & set(page.tags)
        or (not partner.bots and page.bot)
        or (not partner.minor and page.minor)
        or (page.size is not None and page.size < partner.min_size)
        or (page.size is not None and partner.max_size and page.size > partner.max_size)
        or (
            page.kind in ("create", "edit")
            and page.size_change is not None
            and abs(page.size_change) < partner.min_size_change
        )
    )
    is_known = page.reverts and not page.repeats
    is_revert = is_known or (not page.reverts and "mw-undo" in page.tags)
    refused = (
        not seen(page.namespace)
        or (partner.kinds and page.kind not in partner.kinds)
        or (partner.languages and page.language not in partner.languages)
        or (partner.tags and not set(partner.tags) & set(page.tags))
        or (worthless and not is_revert)
        or (is_risky and page.risk is not None and page.risk > partner.max_revert_risk and not is_known)
    )
    return Verdict.FILTERED if refused else Verdict.WANTED


@given(partner=partners, page=pages)
def test_rules_agree_with_their_reading(partner: Partner, page: Page) -> None:
    """Whatever the table and the article: the compiled rule says what the table says."""
    assert Rule(partner).judge(view(encode_value(page.article()))) is expected(partner, page)


@given(partner=partners, page=pages)
def test_who_got_a_page_learns_of_its_removal(partner: Partner, page: Page) -> None:
    """A partner that wants a page's edit gets the page's delete, and hears of the move that takes it away."""
    if Rule(partner).judge(view(encode_value(page.article()))) is not Verdict.WANTED:
        return
    delete = Page(2, wiki=page.wiki, namespace=page.namespace, kind="delete")
    elsewhere = Page(3, wiki=page.wiki, namespace=99, was_in=page.namespace, kind="move")
    if page.kind not in ("move", "delete") and page.text is not None and not page.hides_revision:
        assert Rule(partner).judge(view(encode_value(delete.article()))) is Verdict.WANTED
        assert Rule(partner).judge(view(encode_value(elsewhere.article()))) is not Verdict.FILTERED


@given(partner=partners, page=pages)
def test_who_got_an_edit_gets_its_revert(partner: Partner, page: Page) -> None:
    """Whatever the rules say of who reverts, how much, and of an edit's worth: by its score a revert may look
    worse than what it undoes, and small; a bot's and a minor one is what rollback makes.
    """
    edit = replace(page, kind="edit", was_in=None, text="words", hides_revision=None, tags=(), reverts=False)
    if partner.tags or Rule(partner).judge(view(encode_value(edit.article()))) is not Verdict.WANTED:
        return
    revert = replace(edit, sequence=2, tags=partner.without_tags, size_change=0, bot=True, minor=True)
    for small in (0, 10**6):
        for made in (
            replace(revert, size=small, reverts=True, repeats=False, risk=1.0),
            replace(revert, size=small, tags=("mw-undo", *partner.without_tags), risk=None),
        ):
            assert Rule(partner).judge(view(encode_value(made.article()))) is Verdict.WANTED


UNTOUCHED = {"size_change": 500, "size": 100}


@pytest.mark.parametrize(
    ("rules", "over"),
    [
        ({"bots": False}, {"bot": True}),
        ({"minor": False}, {"minor": True}),
        ({"min_size": 101}, {}),
        ({"max_size": 99}, {}),
        ({"without_tags": ("spam",)}, {"tags": ("spam",)}),
        ({"min_size_change": 501}, {}),
        ({"max_revert_risk": 0.5}, {"risk": 0.99}),
    ],
)
def test_each_rule_and_reverts(rules: dict[str, Any], over: dict[str, Any]) -> None:
    """Each lets a revert pass that it keeps an edit from, and none lets what was reverted come again. By the
    wiki's tag alone what has a high score does not pass.
    """
    rule = Rule(Partner(**rules))

    def judged(**more: Any) -> Verdict:
        page = Page(5, **{**UNTOUCHED, **over, **more})
        return rule.judge(view(encode_value(page.article())))

    undo = (*over.get("tags", ()), "mw-undo")
    assert judged() is Verdict.FILTERED
    assert judged(reverts=True) is Verdict.WANTED
    assert judged(reverts=True, tags=undo) is Verdict.WANTED
    assert judged(reverts=True, repeats=True) is Verdict.FILTERED
    assert judged(reverts=True, repeats=True, tags=undo) is Verdict.FILTERED
    assert judged(tags=undo) is (Verdict.FILTERED if "risk" in over else Verdict.WANTED)
    assert judged(tags=undo, risk=0.4) is Verdict.WANTED


@pytest.mark.parametrize(
    ("scores", "risk"),
    [
        ({}, 0.0),
        ({"revertrisk": 0.2, "revertrisk-multilingual": 0.9}, 0.2),
        ({"revertrisk-wikidata": 0.9, "revertrisk-multilingual": 0.3}, 0.9),
        ({"quality": 1.0}, 0.0),
    ],
)
def test_which_score_is_the_risk(scores: dict[str, float], risk: float) -> None:
    """The model for all Wikipedias goes before others; what is about something else is none."""
    article = {
        "namespace": {"identifier": 0},
        "is_part_of": {"identifier": "enwiki"},
        "event": {"type": "update", "kind": "edit"},
        "version": {"scores": {name: {"probability": {"true": of}} for name, of in scores.items()}},
        "article_body": {},
    }
    version = view(encode_value(article)).version
    assert version
    assert version.revert_risk == risk


@given(st.lists(st.sampled_from(GLOBS), min_size=1, max_size=4), st.sampled_from(WIKIS))
def test_globs_match_whole_names(globs: list[str], wiki: str) -> None:
    """A glob is anchored: `enwiki` is not `enwiktionary`."""
    assert matcher(globs)(wiki) is any(fnmatchcase(wiki, glob) for glob in globs)


def test_the_replay_of_a_move_takes_the_page_away_as_the_move_would() -> None:
    """A `refresh` that names an old place: a partner of that namespace learns that the page has left it."""
    article = {
        "name": "User:A",
        "identifier": 1,
        "namespace": {"identifier": 2},
        "is_part_of": {"identifier": "enwiki"},
        "article_body": {"wikitext": ""},
        "event": {
            "identifier": "i",
            "type": "update",
            "kind": "refresh",
            "sequence": 1,
            "previous": {"name": "A", "namespace": {"identifier": 0}},
        },
    }
    seen = view(encode_value(article))
    assert Rule(Partner(name="p", namespaces=(0,))).judge(seen) is Verdict.LEFT
    assert Rule(Partner(name="p", namespaces=(2,), kinds=("move",))).judge(seen) is Verdict.WANTED
    assert Rule(Partner(name="p", namespaces=(4,))).judge(seen) is Verdict.FILTERED


@given(st.lists(partners, min_size=2, max_size=20), pages)
def test_partners_with_equal_rules_share_a_verdict(asking: list[Partner], page: Page) -> None:
    """And nobody gets that of other rules, whoever was judged before."""
    record = page.record(Topics())
    article = Article(Stored(record.topic, 0, 0, 0, record.key, record.value, record.headers), Cutoffs())
    for partner in (*asking, *asking):
        rule = Rule(partner)
        assert article.verdict(rule) is rule.judge(article.view)
        renamed = Rule(replaced(partner, name="another", fields=("url",), editor="none"))
        assert renamed.digest == rule.digest


def test_every_rule_tells_partners_apart() -> None:
    """What is not known to be no rule counts as one: a new key of the table is never overlooked."""
    other: dict[str, Any] = {
        "wikis": ("enwiki",),
        "namespaces": (1,),
        "kinds": ("edit",),
        "languages": ("en",),
    }
    other |= {"bots": False, "minor": False, "min_size": 1, "max_size": 1, "tags": ("a",)}
    other |= {"without_tags": ("a",), "max_revert_risk": 0.5, "min_size_change": 1}
    assert other.keys() | NO_RULES == set(Partner.__struct_fields__)
    digests = {Rule(replaced(Partner(), **{name: value})).digest for name, value in other.items()}
    assert len(digests | {Rule(Partner()).digest}) == len(other) + 1
