"""That a table is as its corpus knows it: both hold the same random mark, made anew whenever one of them says
how far it is.

The corpus has the new mark first, beside the one before; then the table takes it, with its cursor. Killed
between the two, the table still has the one before. But a corpus that was restored from a copy, or lost its
last commits with the power, has other marks than the table, and so it is with a table from a backup, or of
another corpus: then the cursor means nothing.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consumers.corpus.state import State

if TYPE_CHECKING:
    from consumers.corpus.table import Table

MARKS: Final = "marks:"
"""Begins the facts; the table's absolute path follows, the value is one mark or two."""


def is_known(state: State, table: "Table") -> bool:
    """Whether its cursor counts changes of this corpus."""
    return table.mark in (state.fact(_name(table)) or "").split()


def moved(state: State, table: "Table", cursor: int, filters: str) -> None:
    """A table that is known is further on. Under its lock, with what is up to `cursor` in it."""
    mark = secrets.token_hex(16)
    state.commit(facts={_name(table): f"{table.mark} {mark}"})
    table.done(mark, cursor, filters)


def begun(state: State, table: "Table", filters: str, facts: Mapping[str, str]) -> None:
    """It begins anew, whatever it was. `facts` are committed with it."""
    mark = secrets.token_hex(16)
    state.commit(facts={_name(table): mark, **facts})
    table.done(mark, 0, filters)


def renewed(state: State, table: "Table") -> None:
    """From now on a table as it was before is not known. Under its lock."""
    moved(state, table, table.cursor, table.filters)
    state.commit(facts={_name(table): table.mark})


def _name(table: "Table") -> str:
    return f"{MARKS}{Path(table.folder).resolve()}"
