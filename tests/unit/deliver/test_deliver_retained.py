"""Windows and their common budget."""

from streamer.cutoffs import Cutoffs
from streamer.deliver.encode import Frame
from streamer.deliver.retained import FRAME_OVERHEAD_BYTES, Budget, Window


def frame(size: int, *, page: int = 1, sequence: int = 1) -> Frame:
    return Frame(f"enwiki:{page}", 5, sequence, 0, 0, b"x" * size, 0, frozenset())


def test_the_largest_window_gives_first() -> None:
    """One busy feed does not take the history of a quiet one."""
    budget = Budget(10_000 + 4 * FRAME_OVERHEAD_BYTES)
    quiet, busy = Window(), Window()
    budget.add(quiet)
    budget.add(busy)
    quiet.append(frame(1000))
    for _ in range(20):
        busy.append(frame(3000))
        budget.enforce()
        assert budget.held_bytes() <= budget.limit_bytes
    assert len(quiet) == 1
    assert (busy.first, busy.end) == (17, 20)
    budget.remove(busy)
    budget.remove(quiet)


def test_the_newest_frame_is_kept_however_large() -> None:
    """A reader at the edge of its feed is never overtaken by one frame."""
    budget = Budget(10)
    window = Window()
    budget.add(window)
    window.append(frame(5000))
    budget.enforce()
    assert len(window) == 1
    window.append(frame(6000))
    budget.enforce()
    assert (window.first, window.end) == (1, 2)
    budget.remove(window)


def test_one_large_frame_spares_no_other_window() -> None:
    """A feed whose only frame is larger than all the others' lets them grow no further."""
    budget = Budget(8_000)
    large, small = Window(), Window()
    budget.add(large)
    budget.add(small)
    large.append(frame(6_000))
    for _ in range(9):
        small.append(frame(100))
        budget.enforce()
    assert len(large) == 1
    assert budget.held_bytes() <= 8_000
    budget.remove(large)
    budget.remove(small)


def test_a_cut_off_empties_what_lies_below_it() -> None:
    """Frames of that page below its sequence; the bytes are given back."""
    window = Window()
    for sequence in (1, 2, 3):
        window.append(frame(100, sequence=sequence))
    window.append(frame(100, page=2))
    cutoffs = Cutoffs()
    cutoffs.add("enwiki:1", 3, ("text",))
    before = window.bytes
    window.withdraw("enwiki:1", cutoffs)
    assert [bool(window[i].sse) for i in range(4)] == [False, False, True, True]
    assert window.bytes == before - 200
    window.withdraw("enwiki:1", cutoffs)
    assert window.bytes == before - 200
    while len(window):
        window.evict()
    assert window.bytes == 0
