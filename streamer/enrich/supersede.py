"""Which edits need not be asked for, since a newer one of their page waits behind them. Pure.

Only while there is a backlog, and only where no partner wants every revision or has a rule by which it could
take the older and not the newer (streamer.plan): then the budget goes to what partners will see in the end. A
creation is never left out, nor anything that is more than an edit; and what stands between two edits (a move,
a deletion, a creation under the same title) keeps both.
"""

from collections.abc import Iterable, Mapping, Sequence

from streamer.enrich.outcome import Wikis, Work
from streamer.model import Change


def needless(queues: Iterable[Sequence[int]], works: Mapping[int, Work], origin: Wikis) -> list[Work]:
    """Those that are neither answered nor under way. `queues`: of each title, what is open, by offset; one
    that `works` has no more is a deletion that is out already, and keeps what stands around it.
    """
    found: list[Work] = []
    for queue in queues:
        if all(offset in works for offset in queue):
            found += superseded(works[offset] for offset in queue)
    return [work for work in found if not _is_asked(work, origin)]


def _is_asked(work: Work, origin: Wikis) -> bool:
    if work.outcome is not None or work.held_bytes:
        return True
    return origin.is_under_way(work.change.wiki, work.change.revision)


def superseded(of_a_title: Iterable[Work]) -> list[Work]:
    """`of_a_title`: what is open of it, in the order of reading."""
    found: list[Work] = []
    run: list[Work] = []
    for work in of_a_title:
        if not _is_plain_edit(work.change):
            run = []
            continue
        if run and _is_newer(work.change, run[-1].change):
            found.append(run[-1])
        run = [work]
    return found


def _is_plain_edit(change: Change) -> bool:
    has_more = change.replays or change.cause or change.previous or change.visibility or change.suppressed
    return change.kind == "edit" and change.revision > 0 and not has_more


def _is_newer(change: Change, than: Change) -> bool:
    is_other_page = change.page_id and than.page_id and change.page_id != than.page_id
    return change.revision > than.revision and not is_other_page
