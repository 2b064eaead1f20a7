"""The hint of a change, waited for: what page_change tells of a revision comes about when recentchange tells
it, mostly while the wiki is still asked, and sometimes a little after its answer.

Waited for is only what can come: the hint of a create or an edit, on a wiki whose hints flow, that has not
been passed by those of later edits. So nothing waits without page_change in `source.streams`, and a backlog
is read no slower: what is not there by then never came. When hints stop, some changes of the wiki wait in
vain, and no more until one comes again.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from streamer.enrich.article import BY_REVISION
from streamer.enrich.memory import Contents, Hints, Recent
from streamer.enrich.signals import signal_of, with_restored
from streamer.metrics import HINT_WAIT
from streamer.model import Change, Hint, Signal

WAIT_S: Final = 1.0
"""From the wiki's answer on, at most."""
PASSED_MS: Final = 3_000
"""A hint of so much later than a change: the change's own is not to come. The two streams are apart by less
than a second."""
MOST_MISSED: Final = 10
"""In a row, of one wiki: then its hints don't flow."""
MAX_WIKIS: Final = 4_096


@dataclass(slots=True)
class Flow:
    """Of one wiki's hints."""

    newest_ms: int
    """Upstream's time of the one read last: a wrong one is forgotten with the next."""
    missed: int = 0


class Hinting:
    """One for each lane, which reads the hints of its wikis; what they say is in `hints`, for all lanes."""

    def __init__(self, hints: Hints, contents: Contents) -> None:
        self._hints = hints
        self._contents = contents
        self._flows: Recent[str, Flow] = Recent(MAX_WIKIS)
        self._awaited: dict[tuple[str, int], asyncio.Event] = {}
        """Bounded by what may be open (streamer.enrich.lane)."""
        self._closed = False

    def read(self, hint: Hint) -> Signal | None:
        """A hint, in the order of the log; and the revert that it tells."""
        restored = self._contents.take(hint)
        judged = self._contents.judge(with_restored(hint, restored))
        self._hints.add(judged)
        if hint.is_of_edit:
            self._flows.put(hint.wiki, Flow(hint.upstream_ms))
            event = self._awaited.get((hint.wiki, hint.revision))
            if event:
                event.set()
        return signal_of(hint, restored, is_repeated=judged.restored_reverted)

    async def wait(self, change: Change, until_s: float) -> None:
        """Until the change's hint is there, or the loop's time is `until_s`; not at all if none can come."""
        if not self.may_come(change):
            return
        key = change.wiki, change.revision
        event = self._awaited.setdefault(key, asyncio.Event())
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            async with asyncio.timeout_at(until_s):
                await event.wait()
        except TimeoutError:
            flow = self._flows.get(change.wiki)
            if flow:
                flow.missed += 1
        finally:
            self._awaited.pop(key, None)
            HINT_WAIT.observe(loop.time() - began_s)

    def close(self) -> None:
        """Nothing is read any more, so nothing is waited for."""
        self._closed = True
        for event in self._awaited.values():
            event.set()

    def may_come(self, change: Change) -> bool:
        """Whether it is to come: it is not there, and its wiki's hints flow."""
        if self._closed or not has_hint(change) or self._hints.has_edit(change.wiki, change.revision):
            return False
        flow = self._flows.get(change.wiki)
        if flow is None or flow.missed >= MOST_MISSED:
            return False
        return flow.newest_ms < change.upstream_ms + PASSED_MS


def has_hint(change: Change) -> bool:
    """Whether page_change tells such a change as an edit: not the redirect that a move left, nor what only
    restates a page.
    """
    return change.kind in BY_REVISION and change.revision > 0 and change.cause != "redirect"
