"""What is fetched and made for partners: the union of what their tables ask for, and nothing beyond it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from streamer.globs import matcher
from streamer.partners import PageList, Partner, Partners

Scope: TypeAlias = tuple[tuple[str, ...], tuple[int, ...]]
"""Globs of wikis and namespaces, each of which may be empty: any."""
ANYWHERE: Final[frozenset[Scope]] = frozenset({((), ())})
OF_AN_EDIT: Final = (
    "bots",
    "minor",
    "min_size",
    "max_size",
    "tags",
    "without_tags",
    "max_revert_risk",
    "min_size_change",
)
"""A partner's rules that may take one edit of a page and not another."""
OF_HTML: Final = frozenset({"abstract", "article_body.*", "article_body.html", "article_body.text"})
"""The fields that hold HTML or, of a partner with it, what was made of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Of all partners together. What it leaves out no partner is given."""

    lists: frozenset[PageList] = frozenset()
    """Of the page: they cost continuations."""
    html: bool = False
    """A request a revision."""
    html_scopes: frozenset[Scope] = ANYWHERE
    """Of the partners that have it: nothing of its share goes to what none of them is given."""
    text: bool = True
    """Plain text and abstract: made of what is there."""
    sections: bool = False
    infoboxes: bool = False
    scores: bool = False
    """Somebody leaves out what is likely to be reverted."""
    latest_only: bool = False
    """There are partners, and each is content with the newest revision of a page, whatever it is like."""

    def wants_html(self, wiki: str, namespace: int) -> bool:
        return self.html and any(
            (not namespaces or namespace in namespaces) and _matcher(wikis)(wiki)
            for wikis, namespaces in self.html_scopes
        )


@lru_cache(256)
def _matcher(wikis: tuple[str, ...]) -> Callable[[str], bool]:
    return matcher(wikis)


def planning(current: Callable[[], Partners]) -> Callable[[], Plan]:
    """The plan of the partners in force, made anew when they are others: it is asked for at each article."""
    of: Partners | None = None
    plan = Plan()

    def now() -> Plan:
        nonlocal of, plan
        partners = current()
        if partners is not of:
            of, plan = partners, plan_of(partners)
        return plan

    return now


def plan_of(partners: Partners) -> Plan:
    """Where there is nobody yet: what a partner gets that asks for nothing in particular."""
    asked = tuple(partners.values()) or (_USUAL,)
    with_html = [partner for partner in asked if "html" in partner.content and _shows_html(partner)]
    return Plan(
        lists=frozenset(name for partner in asked for name in partner.page_lists),
        html=bool(with_html),
        html_scopes=frozenset((partner.wikis, partner.namespaces) for partner in with_html),
        text=any(_wants_text(partner) for partner in asked),
        sections=any("sections" in partner.content for partner in asked),
        infoboxes=any("infoboxes" in partner.content for partner in asked),
        scores=any(partner.max_revert_risk < 1 for partner in asked),
        latest_only=all(map(_wants_latest_only, asked)),
    )


def _wants_latest_only(partner: Partner) -> bool:
    """Whether a newer edit serves it for an older one of the page that is not made. Not so where a rule looks
    at the edit itself, or holds it back: it could take the older and not the newer, and the partner would
    have neither. Rules about the place (`wikis`, `languages`, `namespaces`) take both or none, and so does
    `kinds`, since both are edits.
    """
    return (
        partner.revisions == "latest"
        and partner.settle_s == 0
        and all(getattr(partner, name) == getattr(_USUAL, name) for name in OF_AN_EDIT)
    )


def _shows_html(partner: Partner) -> bool:
    """Or what a partner with HTML is given as it was made of that (Projection): so that it has it of HTML
    whoever is beside it.
    """
    return not partner.fields or any(".".join(field.split(".")[:2]) in OF_HTML for field in partner.fields)


def _wants_text(partner: Partner) -> bool:
    """Its text, or the abstract, which is the text's beginning."""
    if not partner.fields:
        return True
    names = {field.partition(".")[0] for field in partner.fields}
    return "abstract" in names or ("article_body" in names and "text" in partner.content)


_USUAL: Final = Partner()
