"""The identifiers of events are UUIDv5, as any other program would compute them."""

from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from streamer.model import (
    IDENTIFIERS,
    identifier_derived,
    identifier_of_event,
    identifier_of_log,
    identifier_of_revision,
)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz_-0123456789"), st.integers(1, 2**53))
def test_equal_to_the_standard_library(wiki: str, number: int) -> None:
    """Each form is `uuid5` of the agreed text, in the project's namespace."""
    cause = identifier_of_revision(wiki, number)
    assert cause == str(uuid5(IDENTIFIERS, f"{wiki}|rev|{number}"))
    assert identifier_of_log(wiki, number) == str(uuid5(IDENTIFIERS, f"{wiki}|log|{number}"))
    assert identifier_of_event(wiki) == str(uuid5(IDENTIFIERS, wiki))
    assert identifier_derived(cause, "redirect") == str(uuid5(IDENTIFIERS, f"{cause}|redirect"))
