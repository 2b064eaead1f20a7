"""What the proof asks of a wiki: that things can be done to it, that it can say how it stands, and that its
stream can be cut.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

Json = dict[str, object]
PageKey = tuple[str, int]
"""Wiki and page id."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A page as everybody may see it. `sha1` (hex, of the text) is None where it is deleted or hidden."""

    title: str
    deleted: bool
    sha1: str | None


class Wiki(Protocol):
    """Some wikis with one stream, already open."""

    done: Counter[str]
    """Deeds by kind, those that the wiki refused left out."""

    @property
    def undone(self) -> Sequence[str]:
        """Kinds of deeds that were never done."""
        ...

    @property
    def endpoint(self) -> str: ...
    @property
    def stream_url(self) -> str: ...
    @property
    def allowed_hosts(self) -> Sequence[str]: ...
    @property
    def wikis(self) -> Sequence[str]: ...
    @property
    def requests(self) -> int:
        """That the service has sent to the wikis' APIs."""
        ...

    async def deed(self, rng: Random) -> str | None:
        """One thing of any kind to any page; its name, None where the wiki refused it."""
        ...

    async def truth(self) -> dict[PageKey, Truth]:
        """Every page. One that isn't there has never been, or is deleted."""
        ...

    def events(self) -> list[Json]:
        """All that the streams have told so far, in order."""
        ...

    def cut(self, *, abort: bool) -> None:
        """Ends the connections of the stream, or resets them."""
        ...

    def silence(self, seconds: float) -> None:
        """The stream says nothing for so long, and then all of it."""
        ...
