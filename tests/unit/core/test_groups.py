"""What a group of errors means to who waits for the tasks."""

import pytest

from streamer.errors import LaneLost, LogFull, LogUnavailable, RecordTooLarge
from streamer.groups import alone_by_name, cause, leaves


def test_a_group_of_one_comes_out_as_that_one() -> None:
    """Callers name the error that they expect; two at once stay a group."""
    with pytest.raises(LogFull), alone_by_name():
        raise ExceptionGroup("tasks", [LogFull("full")])
    with pytest.raises(ExceptionGroup), alone_by_name():
        raise ExceptionGroup("tasks", [LogFull("full"), LogUnavailable("away")])


def test_the_cause_is_the_most_decisive_error() -> None:
    """A lost lane beats what can't be tried again, and that beats what can, however deep they stand."""
    full, large, lost = LogFull("full"), RecordTooLarge("large"), LaneLost("lost")
    assert cause(ExceptionGroup("tasks", [full, ExceptionGroup("inner", [large])])) is large
    assert cause(ExceptionGroup("tasks", [large, full, ExceptionGroup("inner", [lost])])) is lost


def test_a_mistake_is_not_hidden_behind_an_error_that_is_tried_again() -> None:
    """With an error that isn't ours in it, the group stays whole."""
    group = ExceptionGroup("tasks", [LogFull("full"), KeyError("a mistake")])
    assert cause(group) is group
    assert len(leaves(group)) == 2
