"""What is made of a page beside its text."""

from msgspec import Struct


class Section(Struct, frozen=True):
    """What stands below a heading up to the next one, of whatever level; or the lead."""

    path: list[str]
    """Headings from the top down to its own; empty of the lead, which comes first."""
    level: int
    """Of its heading, 1 to 6; 0 of the lead."""
    text: str
    """Without the heading; may be empty. In order and joined by blank lines, headings and the texts that are
    not empty are the plain text of the wikitext: `article_body.text`, but in a feed with HTML.
    """
    hash: str
    """Of path and text, in NFC and with all white space as one space: 32 hex characters of SHA-256. The same
    as long as nobody changes what is read there.
    """


class InfoboxField(Struct, frozen=True):
    key: str
    """As the wikitext names it."""
    value: str
    """Plain text; a line for each item of a list."""


class Infobox(Struct, frozen=True):
    name: str
    """Of its template, without the namespace."""
    fields: list[InfoboxField]
    """In order; without those that are empty."""
