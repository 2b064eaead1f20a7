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
def recorded(state: State, path: Path, kind: Kind) -> Iterator[None]:
    """While it is written and from then on: the fact is there before any text is. Nothing is left of a sink
    that fails, and no fact; killed amid it, the fact stays, and what was written is erased by it.
    """
    name = f"{SINK}{path.resolve()}"
    before = state.fact(name) or ""
    # what stood there under that name may have been erased further than what is written now
    state.commit(facts={name: kind, f"{ERASED}{path.resolve()}": "0"})
    try:
        yield
    except BaseException:
        state.commit(facts={name: before})
        raise
