"""What is fetched for others is nobody else's: a partner receives the same bytes whoever is beside it."""

from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consumers.wikitext.text import PlainText
from streamer.cutoffs import Cutoffs
from streamer.enrich.article import Stamp, article_of
from streamer.log.base import Record, Stored
from streamer.model import Change, Visibility, article_headers, encode_value, page_key
from streamer.origin.answer import Found, PageAnswer, RevisionAnswer, SiteInfo
from streamer.partners import PAGE_LISTS, Content, PageList, Partner
from streamer.plan import Plan, plan_of
from streamer.privacy import FULL, Policy
from streamer.projection import FIELDS, Tree
from streamer.route.feed import Article, Routing, route
from streamer.userspaces import UserSpaces

CONTENTS: tuple[Content, ...] = ("wikitext", "text", "html", "sections", "infoboxes")
NAMES: list[str] = []
"""Fields that a partner may name."""


def _names(tree: Tree, prefix: str = "") -> None:
    for name, below in tree.items():
        NAMES.append(prefix + (name if below is None else f"{name}.*"))
        if below:
            _names(below, f"{prefix}{name}.")


_names(FIELDS)

SITE = SiteInfo(
    "xwiki", "x.example", "X", "en", "ltr", {0: "", 2: "User", 14: "Category"}, "CC", "https://cc.example",
    "/wiki/$1", "/w", "https://x.example", 0,
)  # fmt: skip
SPACES = UserSpaces()
SPACES.take("xwiki", SITE.namespaces, {})
LISTED: dict[PageList, tuple[str, ...]] = {
    "categories": ("Category:A", "Category:B c"),
    "templates": ("Template:Infobox", "User:Zaphod Beeblebrox/Sig", "Module:X"),
    "redirects": (),
}
SECTION = {"path": [], "level": 0, "text": "Words.", "hash": "h"}
BODY: dict[Content, Any] = {
    "html": "<p>Words.</p>",
    "sections": [SECTION],
    "infoboxes": [{"name": "Infobox", "fields": [{"key": "k", "value": "v"}]}],
}
"""What makers of their own add where the plan says so."""


def published(plan: Plan) -> Record:
    """What enrich makes of one revision of one page, under that plan."""
    lists = {name: LISTED[name] for name in plan.lists}
    found = Found(
        SITE,
        PageAnswer(1, 0, "Page", 5, lists=lists),
        RevisionAnswer(
            5, 4, 1_000, minor=False, size=6, sha1="ab", content="Words.", user="Zaphod Beeblebrox"
        ),
        2_000,
    )
    change = Change("id", "edit", "xwiki", "x.example", "Page", 0, 1_000, 1_000, revision=5)
    plain = PlainText("Words.", "Words.") if plan.text else None
    article = article_of(change, found, Visibility(), Stamp(1, 3_000), plain=plain)
    value = msgspec.json.decode(encode_value(article))
    if plan.html:  # the plain text of each stands beside the other
        value["from_html"] = {"text": "Seen.", "abstract": "Seen."} if plan.text else {}
    flags = {"html": plan.html, "sections": plan.sections, "infoboxes": plan.infoboxes}
    value["article_body"] |= {name: BODY[name] for name in BODY if flags[name]}
    key = page_key("xwiki", 1)
    headers = article_headers(article, key=key, server_name="x.example", edited_ms=1_000)
    return Record("wiki.articles.v1", 0, key, encode_value(value), headers)


def received(partner: Partner, others: dict[str, Partner]) -> bytes | None:
    record = published(plan_of({**others, partner.name: partner}))
    stored = Stored(record.topic, 0, 7, 0, record.key, record.value, record.headers)
    article = Article(stored, Cutoffs())
    for other in others.values():  # what was made for them is shared
        route(article, Routing(other, f"t.{other.name}", policy(other)))
    _, made = route(article, Routing(partner, "t", policy(partner)))
    assert made is not None
    return made.value


def policy(partner: Partner) -> Policy:
    return Policy.of(partner.editor, partner.name, b"secret", SPACES) if partner.editor != "full" else FULL


def invented(name: str, random: Random) -> Partner:
    """Mostly with no fields, since those are who get all there is."""
    fields = random.sample(NAMES, random.randint(1, 4)) if random.random() < 0.4 else []
    if fields and random.random() < 0.5:
        fields.append(random.choice(("categories.*", "templates.name", "article_body.*", "abstract")))
    return Partner(
        name=name,
        fields=tuple(fields),
        lists=tuple(random.sample(PAGE_LISTS, random.choice((0, 0, 1, 2, 3)))),
        content=tuple(random.sample(CONTENTS, random.randint(0, 5)))
        if random.random() < 0.6
        else Partner().content,
        editor=random.choice(("full", "full", "pseudonym", "none")),
    )


def crowd(seed: int) -> tuple[Partner, dict[str, Partner]]:
    random = Random(seed)
    others = {f"p{n}": invented(f"p{n}", random) for n in range(random.randint(1, 5))}
    return invented("me", random), others


crowds = st.integers(0).map(crowd)


@settings(max_examples=400)
@given(crowds)
def test_what_a_partner_receives_is_the_same_whoever_is_beside_it(case: tuple[Partner, Any]) -> None:
    """To the byte, over lists, content, fields and editor policies."""
    partner, others = case
    assert received(partner, others) == received(partner, {})


@given(crowds)
def test_a_partner_has_the_lists_that_it_asks_for_and_no_others(case: tuple[Partner, Any]) -> None:
    """And the parts of the text."""
    partner, others = case
    made = received(partner, others)
    assert made is not None
    article = msgspec.json.decode(made)
    assert {name for name in PAGE_LISTS if name in article} == partner.page_lists
    assert article.get("article_body", {}).keys() <= set(partner.content)
    if not partner.fields:
        wanted = set(partner.content) & {"wikitext", "text", *BODY}
        assert article["article_body"].keys() == wanted
    if "templates" in article and "templates.*" in partner.selected:
        shown = [link["name"] for link in article["templates"]]
        names = LISTED["templates"]
        assert shown == [*names] if partner.editor == "full" else shown == [names[0], names[2]]


@given(crowds)
def test_who_asks_for_nothing_costs_nothing(case: tuple[Partner, dict[str, Partner]]) -> None:
    """The plan is the union: without somebody it holds no more, and what nobody has it lacks."""
    partner, others = case
    whole, less = plan_of({**others, "me": partner}), plan_of(others)
    assert whole.lists == less.lists | partner.page_lists
    for part in ("sections", "infoboxes"):
        assert getattr(whole, part) == (getattr(less, part) or part in partner.content)
    shows = not partner.fields or any(
        field.startswith(("article_body", "abstract")) for field in partner.fields
    )
    assert less.html <= whole.html <= (less.html or ("html" in partner.content and shows))
    plain = replace(partner, lists=(), fields=())
    assert plan_of({"me": plain}).lists == frozenset()
