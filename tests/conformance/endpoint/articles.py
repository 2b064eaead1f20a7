"""Articles of many kinds, for feeds of our own: what filters, fields and framing are tried with."""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from streamer.model import Article, Link
from tests.harness.articles import Page

WIKIS = ("enwiki", "dewiki", "wikidatawiki")
NASTY = "a\u2028b\u0085c\u2029d\r\n e \ufeff </script> \x00 \U0001f600"
"""What splits lines, looks like framing, or ends a page."""


@dataclass(frozen=True)
class Varied:
    """What is not said is an ordinary edit."""

    page: int
    wiki: str = "enwiki"
    namespace: int = 0
    bot: bool | None = False
    minor: bool = False
    size: int | None = 100
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    text: str | None = "text"
    kind: str = "edit"

    def made(self, first_page: int, sequence: int) -> Article:
        page = Page(
            sequence,
            first_page + self.page,
            self.wiki,
            kind=self.kind,  # type: ignore[arg-type] # one of its strings
            namespace=self.namespace,
            bot=self.bot,
            minor=self.minor,
            size=self.size,
            tags=self.tags,
            text=self.text,
        )
        article = page.article()
        if self.categories and self.kind != "delete":
            links = [Link(name, f"https://x.example/{name}") for name in self.categories]
            article = replace(article, categories=links)
        return article

    @classmethod
    def some(cls, count: int) -> Iterator["Varied"]:
        """The same ones each time: every kind of value that a filter may be about, in every seventh page
        text that is hard to frame, and now and then a removal.
        """
        for n in range(count):
            yield cls(
                page=n % 40,
                wiki=WIKIS[n % 3],
                namespace=(0, 1, 4)[n % 3],
                bot=(True, False, None)[n % 3] if n % 2 else False,
                minor=n % 4 == 0,
                size=(100, 1_000_000, 2_500_000, None)[n % 4],
                tags=(("mobile edit", "visual"), (), ("visual",))[n % 3],
                categories=(("Birds", "Mammals"), ("Birds",), ())[n % 3],
                text=NASTY if n % 7 == 0 else f"text {n}",
                kind="delete" if n % 20 == 19 else "edit",
            )
