"""The rule which stored rows go for which withdrawals."""

import pytest

from consumers.corpus.state import Withdrawal
from consumers.corpus.withdrawn import Withdrawn

DELETED = Withdrawal(1, "enwiki", 7, 0, 500)
HIDDEN = Withdrawal(2, "enwiki", 8, 80, 500)
FOUND_GONE = Withdrawal(3, "enwiki", 9, 0, 0)
FOUND_HIDDEN = Withdrawal(4, "enwiki", 10, 80, 0)
ALL = (DELETED, HIDDEN, FOUND_GONE, FOUND_HIDDEN)


@pytest.mark.parametrize(
    ("row", "goes"),
    [
        (("enwiki", 7, 70, 499), True),
        (("enwiki", 7, 70, 0), True),
        (("enwiki", 7, 70, 500), False),
        (("enwiki", 7, 71, 501), False),
        (("dewiki", 7, 70, 499), False),
        (("enwiki", 8, 80, 499), True),
        (("enwiki", 8, 80, 0), True),
        (("enwiki", 8, 80, 600), False),
        (("enwiki", 8, 79, 100), False),
        (("enwiki", 8, 81, 499), False),
        (("enwiki", 9, 90, 10**16), True),
        (("enwiki", 10, 80, 10**16), True),
        (("enwiki", 10, 81, 10**16), False),
        (("enwiki", 11, 80, 1), False),
    ],
)
def test_what_was_said_before_goes(row: tuple[str, int, int, int], goes: bool) -> None:
    """Of a deletion all that was said of the page before it, of a hidden revision that one only; what only a
    listing said counts as before; other pages and other wikis stay.
    """
    assert Withdrawn(ALL)(*row) is goes


def test_what_is_shown_now_stays() -> None:
    """A page that a listing found gone and that came back: what the corpus shows of it now is kept in the
    sinks, what was before is not.
    """
    is_withdrawn = Withdrawn(ALL, {("enwiki", 9): (91, 700)})
    assert not is_withdrawn("enwiki", 9, 91, 700)
    assert is_withdrawn("enwiki", 9, 90, 600)


def test_the_latest_of_several_counts() -> None:
    """Deleted, restored and deleted again: up to the second one; a hidden revision does not lessen it."""
    again = Withdrawn([DELETED, Withdrawal(5, "enwiki", 7, 0, 900), Withdrawal(6, "enwiki", 7, 70, 950)])
    assert again("enwiki", 7, 71, 899)
    assert again("enwiki", 7, 70, 949)
    assert not again("enwiki", 7, 71, 900)
    assert again.pages == {("enwiki", 7)}
