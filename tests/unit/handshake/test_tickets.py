"""Tickets and credentials."""

from __future__ import annotations

from js2spawner.guest.identity import CREDENTIAL
from js2spawner.handshake import tickets


def test_a_ticket_is_43_characters_that_need_no_quoting_anywhere() -> None:
    assert tickets.SHAPE.fullmatch(tickets.mint())


def test_no_ticket_is_minted_twice() -> None:
    assert len({tickets.mint() for _ in range(1000)}) == 1000


def test_a_ticket_matches_its_own_hash_only() -> None:
    ticket = tickets.mint()
    assert tickets.matches(ticket, tickets.hashed(ticket))
    assert not tickets.matches(tickets.mint(), tickets.hashed(ticket))


def test_what_is_kept_of_a_ticket_does_not_hold_it() -> None:
    ticket = tickets.mint()
    assert ticket not in tickets.hashed(ticket)


def test_nothing_matches_a_hash_that_was_never_kept() -> None:
    assert not tickets.matches("", "")
    assert not tickets.matches(tickets.hashed(""), "")


def test_both_ends_agree_on_the_shape_of_a_credential() -> None:
    assert CREDENTIAL.pattern == tickets.SHAPE.pattern
