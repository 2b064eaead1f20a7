"""Invented articles as enrich publishes them: the model's own structs and headers."""

from dataclasses import dataclass, replace

from msgspec import UNSET

from streamer.log.base import Record, partition_of
from streamer.model import (
    EVENT_TYPE,
    Article,
    ArticleBody,
    Attribution,
    Editor,
    Event,
    EventType,
    Hideable,
    Kind,
    Language,
    Licence,
    Maybe,
    Namespace,
    PreviousPlace,
    PreviousVersion,
    Project,
    Reverts,
    RevisionVisibility,
    Size,
    Topics,
    Version,
    Visibility,
    article_headers,
    encode_value,
    identifier_of_revision,
    page_key,
    revision_key,
)

PARTITIONS = 10
LICENCES = [Licence("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/")]


@dataclass(frozen=True, slots=True)
class Page:
    """One record's worth; what isn't given is an ordinary edit. `sequence` is its revision too, where that
    is not given.
    """

    sequence: int
    page_id: int = 1
    wiki: str = "enwiki"
    kind: Kind = "edit"
    namespace: int = 0
    was_in: int | None = None
    language: str = "en"
    bot: bool | None = False
    minor: bool = False
    size: int | None = 100
    tags: tuple[str, ...] = ()
    text: str | None = "some text"
    risk: float | None = None
    risk_by: str = "revertrisk"
    size_change: int | None = None
    reverts: bool = False
    repeats: bool = False
    """What had been reverted, as a revert."""
    hides_revision: bool | None = None
    """Of a visibility change: whether it hides something of an older revision, or shows it again."""
    hidden: Hideable = "text"
    """What that is."""
    comment: str = "a comment"
    editor: str = "Somebody"
    late: bool = False
    event_type: EventType | None = None
    revision: int | None = None
    sha1: str | None = None
    parent: int = 0
    parent_sha1: str | None = None

    @property
    def number(self) -> int:
        """Of the revision."""
        return self.sequence if self.revision is None else self.revision

    @property
    def identifier(self) -> str:
        return identifier_of_revision(self.wiki, self.sequence)

    @property
    def key(self) -> str:
        if self.late:
            return revision_key(self.wiki, self.page_id, self.number)
        return page_key(self.wiki, self.page_id)

    def article(self) -> Article:
        previous: PreviousPlace | Maybe = UNSET
        if self.was_in is not None:
            previous = PreviousPlace("Old title", Namespace(self.was_in))
        revision: RevisionVisibility | Maybe = UNSET
        if self.hides_revision is not None:
            revision = RevisionVisibility(1, Visibility(**{self.hidden: not self.hides_revision}))
        article = Article(
            name=f"Page {self.page_id}",
            identifier=self.page_id,
            url=f"https://{self.wiki}.example/wiki/Page_{self.page_id}",
            namespace=Namespace(self.namespace, "Talk" if self.namespace % 2 else ""),
            is_part_of=Project(self.wiki, self.wiki, in_language=Language(self.language)),
            event=Event(
                self.identifier,
                self.event_type or EVENT_TYPE[self.kind],
                self.kind,
                self.sequence,
                "2026-11-21T12:00:00.000Z",
                "2026-11-21T12:00:01.000Z",
                late=True if self.late else UNSET,
                previous=previous,
                revision=revision,
            ),
            license=LICENCES,
            attribution=Attribution(
                "its contributors",
                f"Page {self.page_id}",
                f"https://r/{self.sequence}",
                "https://h",
                LICENCES,
            ),
        )
        if self.kind == "delete":
            return article
        return _with_version(self, article)

    def record(self, topics: Topics) -> Record:
        article = self.article()
        headers = article_headers(article, key=self.key, server_name=f"{self.wiki}.example", edited_ms=0)
        partition = partition_of(self.key, PARTITIONS)
        return Record(topics.articles, partition, self.key, encode_value(article), headers)

    def tombstone(self, topics: Topics) -> Record:
        return replace(self.record(topics), value=None, headers=())


def _with_version(page: Page, article: Article) -> Article:
    from msgspec.structs import replace as replaced  # noqa: PLC0415 - beside the dataclasses' one

    version = Version(
        page.number,
        comment=page.comment or UNSET,
        tags=list(page.tags),
        is_minor_edit=page.minor,
        size=Size(page.size) if page.size is not None else UNSET,
        editor=Editor(name=page.editor, is_bot=page.bot) if page.bot is not None else UNSET,
        sha1=page.sha1 or UNSET,
        scores={page.risk_by: {"prediction": page.risk >= 0.5, "probability": {"true": page.risk}}}
        if page.risk is not None
        else UNSET,
        size_change=UNSET if page.size_change is None else page.size_change,
        reverts=Reverts(1, 2, is_repeated=True if page.repeats else UNSET) if page.reverts else UNSET,
    )
    if page.text is None:  # hidden
        return replaced(article, version=Version(page.number), visibility=Visibility(text=False))
    previous = PreviousVersion(page.parent, sha1=page.parent_sha1 or UNSET) if page.parent else UNSET
    return replaced(
        article,
        version=version,
        previous_version=previous,
        in_language=Language(page.language),
        article_body=ArticleBody(page.text, page.text),
        visibility=Visibility(),
    )
