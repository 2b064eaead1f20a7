"""How much is held, how long a change is tried, and what a worker remembers."""

import asyncio

from streamer.config import MediaWikiSettings
from streamer.enrich.held import Held
from streamer.enrich.memory import Hints, Recent, Removal, Removals
from streamer.enrich.patience import BACKOFF_MOST_S, Patience
from streamer.model import EditorFigures, Hint
from streamer.origin.breaker import Reach


async def test_nothing_is_asked_for_while_too_much_is_held() -> None:
    """Until some of it is committed."""
    held = Held(limit_bytes=10)
    held.add(10)
    waiting = asyncio.create_task(held.room(lambda: False))
    await asyncio.sleep(0)
    assert not waiting.done()
    held.release(1)
    async with asyncio.timeout(30):
        await waiting


async def test_what_a_full_house_waits_for_is_asked() -> None:
    """All that is held is stuck behind one change that is not yet asked: it may go, or both wait for ever."""
    held = Held(limit_bytes=10)
    held.add(12)
    held.stick(12)
    async with asyncio.timeout(30):
        await held.room(lambda: True)
    other = asyncio.create_task(held.room(lambda: False))
    await asyncio.sleep(0)
    assert not other.done()
    held.unstick(12)
    held.release(12)
    async with asyncio.timeout(30):
        await other


async def test_who_waits_is_let_in_in_turn_as_long_as_there_is_room() -> None:
    """One after the other, without anything being released in between; and no more than there is room for."""
    held = Held(limit_bytes=10)
    held.add(20)
    came: list[int] = []

    async def ask(number: int) -> None:
        await held.room(lambda: False)
        came.append(number)
        held.add(3)

    tasks = [asyncio.create_task(ask(number)) for number in range(6)]
    await asyncio.sleep(0)
    held.release(14)  # 6 of 10 are held
    await turns()
    assert came == [0, 1]
    held.release(6)
    await turns()
    assert came == [0, 1, 2, 3]
    held.release(100)
    await asyncio.gather(*tasks)
    assert came == [0, 1, 2, 3, 4, 5]


async def test_one_that_leaves_as_it_is_woken_does_not_keep_the_next_from_coming() -> None:
    """Cancelled between the two."""
    held = Held(limit_bytes=10)
    held.add(10)
    first, second = (asyncio.create_task(held.room(lambda: False)) for _ in range(2))
    await asyncio.sleep(0)
    held.release(1)
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(30):
        await second


async def test_that_a_title_waits_by_now_is_noticed() -> None:
    """Though nothing tells of it: what waits in front of it for room does not, and stays."""
    held = Held(limit_bytes=10)
    held.add(12)
    held.stick(12)
    titles_wait: list[bool] = []
    first = asyncio.create_task(held.room(lambda: False))
    second = asyncio.create_task(held.room(lambda: bool(titles_wait)))
    await asyncio.sleep(0)
    titles_wait.append(True)
    async with asyncio.timeout(30):
        await second
    assert not first.done()
    first.cancel()


async def turns() -> None:
    """Of the loop, more than anything takes that waits for nothing else."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_change_that_fails_while_its_wiki_answers_others_is_given_up() -> None:
    """After the configured number of failures, each with an answer to someone else before it."""
    patience = Patience(MediaWikiSettings(retries=3))
    assert [patience.verdict(t, None, any_host_answers=True) for t in (1, 2, 3)] == [
        "",
        "",
        "origin_unavailable",
    ]


def test_failures_of_a_silent_wiki_are_not_the_changes_fault() -> None:
    """However many: it is deferred once the wiki has been silent for long, and only while others answer."""
    patience = Patience(MediaWikiSettings(retries=3, defer_after_s=100))
    verdicts = {patience.verdict(float(t), 0.5, any_host_answers=True) for t in range(1, 100)}
    assert verdicts == {""}
    assert patience.verdict(101.0, 0.5, any_host_answers=False) == ""
    assert patience.verdict(102.0, 0.5, any_host_answers=True) == "deferred"


def test_the_origins_word_is_on_the_same_clock() -> None:
    """What the origin tells of a silent wiki is an instant, as patience reads it: on a machine that has been
    up for a day, the first failure defers nothing, and five minutes of them do.
    """
    reach = Reach()
    reach.answered("other", 100_000.0)
    patience = Patience(MediaWikiSettings(retries=3, defer_after_s=300.0))
    verdicts = []
    for now_s in (100_000.0, 100_010.0, 100_150.0, 100_299.0, 100_300.0):
        reach.failed("silent", now_s)
        verdicts.append(patience.verdict(now_s, reach.failing_since_s("silent"), any_host_answers=True))
    assert verdicts == ["", "", "", "", "deferred"]


def test_pauses_grow_and_honour_the_wiki() -> None:
    """Doubling to a bound, never less than the wiki asks for."""
    patience = Patience(MediaWikiSettings())
    patience.attempts = 30
    assert BACKOFF_MOST_S / 2 <= patience.pause_s(None) <= BACKOFF_MOST_S
    assert patience.pause_s(60.0) == 60.0


def test_memory_is_bounded() -> None:
    """The oldest goes first; writing again makes young."""
    recent: Recent[int, str] = Recent(2)
    recent.put(1, "a")
    recent.put(2, "b")
    recent.put(1, "c")
    recent.put(3, "d")
    assert (recent.get(1), recent.get(2), recent.get(3), len(recent)) == ("c", None, "d", 2)


def test_what_a_removal_overtakes() -> None:
    """All that was read before it, and edits made before it however late they are read; not its restore."""
    removals = Removals()
    removals.resolved("w", 1, Removal(read_no=5, edited_ms=10_000))
    assert removals.overtakes("w", 1, read_no=4, edited_ms=None)
    assert not removals.overtakes("w", 1, read_no=6, edited_ms=None)
    assert removals.overtakes("w", 1, read_no=6, edited_ms=9_000)
    assert not removals.overtakes("w", 1, read_no=6, edited_ms=10_000)
    assert not removals.overtakes("w", 2, read_no=4, edited_ms=None)


def test_hints_about_one_revision_are_joined() -> None:
    """Streams tell different things of it, in any order."""
    hints = Hints()
    hints.add(Hint("w", 1, 5, 0, size=3, editor=EditorFigures(edit_count=1), scores={"a": 0.1}))
    hints.add(Hint("w", 1, 5, 1, tags=("t",), scores={"b": 0.2}))
    joined = hints.of("w", 5)
    assert joined
    assert (joined.size, joined.tags, joined.scores) == (3, ("t",), {"a": 0.1, "b": 0.2})
    assert joined.editor == EditorFigures(edit_count=1)


def test_whether_an_edit_was_told_is_forgotten_with_its_hint() -> None:
    """Neither before it nor after it."""
    hints = Hints(limit=2)
    hints.add(Hint("w", 1, 1, 0))
    hints.add(Hint("w", 1, 2, 0, tags=()))
    hints.add(Hint("w", 1, 1, 0, tags=("t",)))
    hints.add(Hint("w", 1, 3, 0))
    assert (hints.of("w", 1) is not None, hints.has_edit("w", 1)) == (True, True)
    hints.add(Hint("w", 1, 4, 0, tags=()))
    assert (hints.of("w", 1) is not None, hints.has_edit("w", 1)) == (False, False)
    assert not hints.has_edit("w", 4)
