"""Where the text of a corpus went: each place has a fact in its file, by which `corpus erase` finds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from consumers.corpus.state import State

Kind = Literal["snapshot", "jsonl"]
SINK: Final = "sink:"
"""Begins the facts; the absolute path follows, the value is the kind, "" of one that is no more."""
ERASED: Final = "erased:"
"""Begins those that say up to which change of the corpus a sink was erased."""


@contextmanager
def recorded(state: State, path: Path, kind: Kind, through: int | None = None) -> Iterator[None]:
    """While it is written and from then on: the fact is there before any text is. Nothing is left of a sink
    that fails, and no fact; killed amid it, the fact stays, and what was written is erased by it.

    `through`: up to which change what it is made of is without what was withdrawn; of a corpus, its last one.
    Before that nothing is judged any more: a page that was withdrawn and came back may be in it rightly.
    """
    sink, erased = f"{SINK}{path.resolve()}", f"{ERASED}{path.resolve()}"
    before = {sink: state.fact(sink) or "", erased: state.fact(erased) or "0"}
    through = state.changed() if through is None else through
    # what stood there under that name may have been erased further than what is written now
    state.commit(facts={sink: kind, erased: "0"})
    try:
        yield
    except BaseException:
        state.commit(facts=before)
        raise
    state.commit(facts={erased: str(through)})


def erased_through(state: State, path: Path) -> int:
    """Of what was written there; 0 where this corpus doesn't know of it."""
    path = path.resolve()
    return int(state.fact(f"{ERASED}{path}") or "0") if state.fact(f"{SINK}{path}") else 0
