"""Tickets: nobody makes one without the secret, and none outlives its key."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.deliver.auth import Identity
from streamer.deliver.problems import Problem
from streamer.deliver.ticket_route import valid_s_of
from streamer.deliver.tickets import Tickets
from streamer.partners import KEY_PREFIX, Partner, Partners, hash_key

KEYS = (hash_key("wrs_one"), hash_key("wrs_two"))
ACME = Partner(name="acme", keys=KEYS)
GLOBEX = Partner(name="globex", keys=(hash_key("wrs_three"),))
PARTNERS: Partners = {"acme": ACME, "globex": GLOBEX}
TICKETS = Tickets.of("a secret of more than 32 characters")
TICKET = TICKETS.issue(Identity(ACME, KEYS[1]), 1_000)


def refusal(tickets: Tickets, ticket: str, *, partners: Partners = PARTNERS, now_s: float = 10.0) -> Problem:
    with pytest.raises(Problem) as caught:
        tickets.verify(partners, ticket, now_s)
    assert caught.value.status == 401
    return caught.value


@given(
    name=st.text("abcxyz0189-", min_size=1, max_size=40),
    secrets=st.lists(st.integers(), min_size=1, max_size=3, unique=True),
    expires_s=st.integers(1, 10**11),
)
def test_a_ticket_stands_for_the_key_that_asked(name: str, secrets: list[int], expires_s: int) -> None:
    """Of several keys exactly that one, up to the second in which it expires; no URL need quote it."""
    partner = Partner(name=name, keys=tuple(hash_key(f"wrs_{n}") for n in secrets))
    for key_hash in partner.keys:
        ticket = TICKETS.issue(Identity(partner, key_hash), expires_s)
        assert TICKETS.verify({name: partner}, ticket, expires_s - 0.001) == Identity(partner, key_hash)
        assert "expired" in refusal(TICKETS, ticket, partners={name: partner}, now_s=expires_s).detail
        assert not set(ticket) - set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert KEY_PREFIX not in ticket
        assert key_hash not in ticket


@given(at=st.integers(0, len(TICKET) - 1), character=st.characters())
def test_no_changed_ticket_is_good(at: int, character: str) -> None:
    """Whatever character is another one, is missing or is one too many."""
    assert TICKETS.verify(PARTNERS, TICKET, 10.0).partner == ACME
    for forged in (
        TICKET[:at] + character + TICKET[at + 1 :],
        TICKET[:at] + TICKET[at + 1 :],
        TICKET[:at] + character + TICKET[at:],
    ):
        if forged != TICKET:
            refusal(TICKETS, forged)


def test_a_ticket_of_another_name_expiry_or_secret_is_forged(rng: random.Random) -> None:
    """The signature covers all that it says; each process without a secret has its own."""
    name, prefix, expires, mac = TICKET.split(".")
    for forged in (
        f"globex.{prefix}.{expires}.{mac}",
        f"{name}.{prefix}.{int(expires) + 1}.{mac}",
        f"{name}.{KEYS[0].removeprefix('sha256:')[:16]}.{expires}.{mac}",
        f"{name}.{prefix}.{expires}.{rng.getrandbits(256):064x}",
        f"{name}.{prefix}.{expires}.{mac}".upper(),
        "",
        "." * 1_000,
    ):
        assert "no ticket" in refusal(TICKETS, forged).detail
    mine, other = Tickets.of(""), Tickets.of("")
    ticket = mine.issue(Identity(ACME, KEYS[0]), 1_000)
    assert mine.verify(PARTNERS, ticket, 10.0) == Identity(ACME, KEYS[0])
    for tickets in (other, TICKETS):
        refusal(tickets, ticket)


def test_a_ticket_dies_with_its_key() -> None:
    """Taken from the partner, or with the partner; the other key's tickets live on."""
    for partners in ({"globex": GLOBEX}, {"acme": Partner(name="acme", keys=KEYS[:1])}, {}):
        assert "revoked" in refusal(TICKETS, TICKET, partners=partners).detail
    assert TICKETS.verify({"acme": Partner(name="acme", keys=KEYS[1:])}, TICKET, 10.0).key_hash == KEYS[1]


@pytest.mark.parametrize(
    "value", [0, 86_401, -1, "0", "", "x", "1.5", "-1", "١", 1.5, True, None, [], "9" * 5_000]
)
def test_how_long_it_is_valid_is_a_whole_number_of_seconds(value: object) -> None:
    """From 1 to a day."""
    assert valid_s_of({}) == 3_600
    assert valid_s_of({"valid_s": "86400"}) == valid_s_of({"valid_s": 86_400}) == 86_400
    with pytest.raises(Problem) as caught:
        valid_s_of({"valid_s": value})
    assert (caught.value.status, caught.value.parameter) == (422, "valid_s")
