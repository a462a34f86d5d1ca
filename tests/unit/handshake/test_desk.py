"""Every row of the tables in docs/handshake.md, as values."""

from __future__ import annotations

import pytest

from js2spawner.handshake.book import Expected
from js2spawner.handshake.desk import Verdict, admit, authorise, quarantines
from tests.unit.handshake.books import CREDENTIAL, ELSEWHERE, HOME, OTHER_CREDENTIAL, admitted, expected, hello


def test_the_first_hello_of_an_expected_instance_is_admitted() -> None:
    assert admit(expected(), hello(), HOME) is Verdict.ADMIT


def test_an_address_in_its_ipv6_clothes_is_the_same_address() -> None:
    assert admit(expected(), hello(), f"::ffff:{HOME}") is Verdict.ADMIT


def test_the_same_ticket_with_the_same_credential_is_the_same_hello() -> None:
    assert admit(admitted(), hello(), HOME) is Verdict.AGAIN


def test_the_same_ticket_with_another_credential_is_a_ticket_shown_twice() -> None:
    verdict = admit(admitted(), hello(credential=OTHER_CREDENTIAL), HOME)
    assert verdict is Verdict.REPLAY
    assert quarantines(admitted(), verdict)


def test_a_ticket_shown_again_after_the_assignment_was_taken_ends_nothing() -> None:
    running = admitted(assignment_taken=True)
    verdict = admit(running, hello(credential=OTHER_CREDENTIAL), HOME)
    assert verdict is Verdict.REPLAY
    assert not quarantines(running, verdict)


def test_a_quarantined_attempt_admits_nobody_and_is_not_quarantined_again() -> None:
    shut = admitted(quarantined=True)
    assert admit(shut, hello(), HOME) is Verdict.REPLAY
    assert not quarantines(shut, Verdict.REPLAY)


@pytest.mark.parametrize("unknown", [{"server_id": ""}, {"addresses": ()}])
def test_a_hello_before_nova_told_us_is_early_and_spends_nothing(unknown: dict[str, object]) -> None:
    verdict = admit(expected(**unknown), hello(), HOME)
    assert verdict is Verdict.EARLY
    assert not quarantines(expected(**unknown), verdict)


def test_a_wrong_source_address_is_a_stranger() -> None:
    assert admit(expected(), hello(), ELSEWHERE) is Verdict.STRANGER


def test_a_wrong_instance_id_is_a_stranger() -> None:
    assert admit(expected(), hello(instance_id="another"), HOME) is Verdict.STRANGER


@pytest.mark.parametrize("attempt", [expected(), admitted(), expected(closed=True), expected(server_id="")])
def test_a_wrong_ticket_is_a_stranger_whatever_became_of_the_attempt(attempt: Expected) -> None:
    verdict = admit(attempt, hello(ticket="X" * 43), HOME)
    assert verdict is Verdict.STRANGER
    assert not quarantines(attempt, verdict)


def test_a_ticket_shown_from_elsewhere_never_quarantines_its_owner() -> None:
    verdict = admit(admitted(), hello(credential=OTHER_CREDENTIAL), ELSEWHERE)
    assert verdict is Verdict.STRANGER
    assert not quarantines(admitted(), verdict)


@pytest.mark.parametrize("attempt", [None, expected(closed=True), admitted(closed=True)])
def test_a_hello_for_no_attempt_or_an_ended_one_is_told_so(attempt: Expected | None) -> None:
    assert admit(attempt, hello(), HOME) is Verdict.ENDED


def test_the_channel_is_open_to_its_credential_from_its_address() -> None:
    assert authorise(admitted(), CREDENTIAL, HOME) is Verdict.PASS


def test_the_channel_is_closed_to_another_credential() -> None:
    assert authorise(admitted(), OTHER_CREDENTIAL, HOME) is Verdict.UNKNOWN


def test_before_the_hello_no_credential_opens_a_channel() -> None:
    assert authorise(expected(), CREDENTIAL, HOME) is Verdict.UNKNOWN


def test_the_channel_is_closed_to_another_address() -> None:
    assert authorise(admitted(), CREDENTIAL, ELSEWHERE) is Verdict.STRANGER


def test_a_hub_that_has_not_seen_the_cloud_yet_asks_for_patience() -> None:
    assert authorise(admitted(addresses=()), CREDENTIAL, HOME) is Verdict.EARLY


@pytest.mark.parametrize("end", [{"closed": True}, {"quarantined": True}])
def test_an_ended_attempt_is_told_so_on_its_own_channel(end: dict[str, bool]) -> None:
    assert authorise(admitted(**end), CREDENTIAL, HOME) is Verdict.ENDED


def test_a_hub_that_knows_nothing_of_an_attempt_never_tells_its_guest_to_end() -> None:
    assert authorise(None, CREDENTIAL, HOME) is Verdict.UNKNOWN
