"""What a TaskGroup raises, by the errors in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from streamer.errors import LaneLost, StreamerError


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    errors: list[BaseException] = []
    for error in group.exceptions:
        errors.extend(leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return errors


@contextmanager
def alone_by_name() -> Iterator[None]:
    """A group of one comes out as that one: its name is what callers look for."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that tells the log what to do with a lane; the group itself where any is none of ours: a
    mistake is not hidden behind an error that is only tried again.
    """
    found = leaves(group)
    named = [error for error in found if isinstance(error, StreamerError)]
    if len(named) < len(found):
        return group
    # a lost lane beats all, and what can't be tried again beats what can
    return min(named, key=lambda error: (not isinstance(error, LaneLost), error.retriable))
