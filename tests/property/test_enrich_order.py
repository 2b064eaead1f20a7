"""Order per title, whatever is done first."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.enrich.order import Order

TITLES = st.sampled_from("ABCD")


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[tuple[str, ...]], list[int]]:
    """Each ticket's titles (a move has two), and the order in which they get done."""
    entries = draw(st.lists(st.lists(TITLES, min_size=0, max_size=2).map(tuple), max_size=30))
    return entries, draw(st.permutations(range(len(entries))))


@given(stories(), st.integers(0, 30))
def test_nothing_is_lost_and_each_title_keeps_its_order(
    story: tuple[list[tuple[str, ...]], list[int]], entered_first: int
) -> None:
    """All tickets are released, once, and those that share a title in the order of entering; some enter
    while others are done already.
    """
    entries, finishing = story
    order = Order()
    released: list[int] = []
    waiting = list(range(len(entries)))
    entered: set[int] = set()

    def enter() -> None:
        ticket = waiting.pop(0)
        order.enter(ticket, [("w", title) for title in entries[ticket]])
        entered.add(ticket)

    for _ in range(min(entered_first, len(entries))):
        enter()
    for ticket in finishing:
        while ticket not in entered:
            enter()
        released += order.done(ticket)
    assert sorted(released) == list(range(len(entries)))
    assert len(order) == 0
    assert not order._queues
    for title in "ABCD":
        of_title = [ticket for ticket in released if title in entries[ticket]]
        assert of_title == sorted(of_title)


@given(stories())
def test_only_a_shared_title_holds_anyone(story: tuple[list[tuple[str, ...]], list[int]]) -> None:
    """A ticket comes out at once unless an earlier one, not yet out, shares a title with it."""
    entries, finishing = story
    order = Order()
    for ticket, titles in enumerate(entries):
        order.enter(ticket, [("w", title) for title in titles])
    out: set[int] = set()
    done: set[int] = set()
    for ticket in finishing:
        out.update(order.done(ticket))
        done.add(ticket)
        for held in done - out:
            earlier = [t for t in range(held) if t not in out and set(entries[t]) & set(entries[held])]
            assert earlier
            assert not order.is_waited_for(held)
