"""What is fetched and made for partners: the union of what their tables ask for, and nothing beyond it."""

from dataclasses import dataclass
from typing import Final

from streamer.partners import PageList, Partner, Partners


@dataclass(frozen=True, slots=True)
class Plan:
    """Of all partners together. What it leaves out no partner is given."""

    lists: frozenset[PageList] = frozenset()
    """Of the page: they cost continuations."""
    html: bool = False
    """A request a revision."""
    text: bool = True
    """Plain text and abstract: made of what is there."""
    sections: bool = False
    infoboxes: bool = False
    latest_only: bool = False
    """There are partners, and each is content with the newest revision of a page."""


def plan_of(partners: Partners) -> Plan:
    """Where there is nobody yet: what a partner gets that asks for nothing in particular."""
    asked = tuple(partners.values()) or (_USUAL,)
    return Plan(
        lists=frozenset(name for partner in asked for name in partner.page_lists),
        html=any("html" in partner.content for partner in asked),
        text=any(_wants_text(partner) for partner in asked),
        sections=any("sections" in partner.content for partner in asked),
        infoboxes=any("infoboxes" in partner.content for partner in asked),
        latest_only=all(partner.revisions == "latest" for partner in asked),
    )


def _wants_text(partner: Partner) -> bool:
    """Its text, or the abstract, which is the text's beginning."""
    if not partner.fields:
        return True
    names = {field.partition(".")[0] for field in partner.fields}
    return "abstract" in names or ("article_body" in names and "text" in partner.content)


_USUAL: Final = Partner()
