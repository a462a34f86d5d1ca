"""What guests send is taken apart field by field; nothing they can send does more than be refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from js2spawner.guest import assignment as guest_assignment
from js2spawner.handshake.messages import (
    BadMessage,
    Certificates,
    Lease,
    Orders,
    Quiet,
    Report,
    hello_from,
    report_from,
)
from tests.unit.handshake.books import CREDENTIAL, TICKET, assignment, hello, hello_json, report_json

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def encoded(message: Any) -> bytes:
    return json.dumps(message).encode()


def test_a_hello_comes_out_as_it_went_in() -> None:
    assert hello_from(encoded(hello_json())) == hello()


def test_a_hello_never_shows_its_secrets() -> None:
    shown = repr(hello_from(encoded(hello_json())))
    assert TICKET not in shown
    assert CREDENTIAL not in shown


def test_an_assignment_never_shows_its_environment_or_its_key() -> None:
    shown = repr(assignment(certificates=Certificates("the-private-key", "certificate", "authority")))
    assert "hub-token" not in shown
    assert "the-private-key" not in shown


def test_unknown_fields_are_ignored() -> None:
    assert hello_from(encoded(hello_json(news="of tomorrow"))) == hello()


@pytest.mark.parametrize("field", ["attempt", "ticket", "credential", "instance_id", "boot_id"])
@pytest.mark.parametrize("value", [None, 7, "", "x" * 1000, "a b\n", {"a": 1}], ids=repr)
def test_a_malformed_field_of_a_hello_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(BadMessage, match=field):
        hello_from(encoded(hello_json(**{field: value})))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_nothing_worse(body: bytes) -> None:
    for take_apart in (hello_from, report_from):
        with pytest.raises(BadMessage):
            take_apart(body)


@given(ANYTHING)
def test_arbitrary_json_is_refused_and_nothing_worse(message: Any) -> None:
    for take_apart in (hello_from, report_from):
        with pytest.raises(BadMessage):
            take_apart(encoded(message))


@given(st.sampled_from(sorted(report_json())), ANYTHING)
def test_a_report_with_any_one_field_replaced_is_taken_bounded_or_refused(field: str, value: Any) -> None:
    try:
        report = report_from(encoded(report_json(**{field: value})))
    except BadMessage:
        return
    assert_bounded(report)


@given(
    st.sampled_from(["load1", "memory_used_mb", "memory_total_mb", "disk_used_gb", "disk_total_gb", "uptime_s"]),
    st.integers() | st.floats(),
)
def test_figures_are_finite_and_within_bounds_or_refused(field: str, value: float) -> None:
    body = report_json(health=report_json()["health"] | {field: value})
    try:
        assert_bounded(report_from(encoded(body)))
    except BadMessage:
        assert not math.isfinite(value)


def assert_bounded(report: Report) -> None:
    health = report.health
    for figure in (health.load1, health.memory_used_mb, health.disk_total_gb, health.uptime_s, report.activity.idle_s):
        assert 0 <= figure <= 1e9
    assert len(report.detail) <= 500
    assert report.detail.isprintable()
    assert len(health.gpus) <= 16


@pytest.mark.parametrize("body", [b"[" * 16000, b"1" * 16000, b'{"a":' * 3000, b"\xff\xfe", b"", b"null", b"[]"])
def test_bodies_made_to_break_a_parser_are_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        report_from(body)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400, "true", '"7"'])
def test_what_is_no_finite_number_is_refused(number: str) -> None:
    body = json.dumps(report_json(activity={"idle_s": "HERE", "because": "none"})).replace('"HERE"', number)
    with pytest.raises(BadMessage, match="idle_s"):
        report_from(body.encode())


def test_negative_and_absurd_figures_are_cut() -> None:
    health = report_json()["health"] | {"load1": -4, "uptime_s": 1e30}
    told = report_from(encoded(report_json(health=health))).health
    assert (told.load1, told.uptime_s) == (0.0, 1e9)


def test_the_detail_is_one_printable_line() -> None:
    detail = "one\r\nforged: line\x1b[31m \u202edrawkcab\ud800 end"
    told = report_from(encoded(report_json(detail=detail))).detail
    assert told.isprintable()
    assert told.startswith("one  forged: line [31m")


def test_the_result_of_a_build_step_is_printable_lines_of_a_bounded_length() -> None:
    assert report_from(encoded(report_json())).result == ""
    told = report_json(stage="building", result="one\x1b[2J\ntwo\u202e\n")
    assert report_from(encoded(told)).result == "one [2J\ntwo \n"
    with pytest.raises(BadMessage, match="result"):
        report_from(encoded(report_json(result="x" * 8193)))


def test_gpus_are_taken_apart_and_no_more_than_sixteen() -> None:
    gpu = {"name": "GRID A100X-10C", "utilisation_percent": 400, "memory_used_mb": 1, "memory_total_mb": 10240}
    health = report_json()["health"]
    assert (
        report_from(encoded(report_json(health=health | {"gpus": [gpu]}))).health.gpus[0].utilisation_percent == 100.0
    )
    with pytest.raises(BadMessage, match="gpus"):
        report_from(encoded(report_json(health=health | {"gpus": [gpu] * 17})))


def test_what_the_hub_assigns_is_what_the_guest_understands() -> None:
    certificates = Certificates(*("-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----\n",) * 3)
    given_by_hub = assignment(certificates=certificates, gpu=True, sudo=True)
    understood = guest_assignment.from_json(json.loads(json.dumps(given_by_hub.to_json())))
    assert understood.user_name == given_by_hub.user_name
    assert (understood.uid, understood.sudo, understood.gpu) == (given_by_hub.uid, True, True)
    assert (understood.address, understood.port, understood.argv) == ("127.0.0.1", 8888, given_by_hub.argv)
    assert understood.env == given_by_hub.env
    assert understood.certificates is not None
    assert understood.certificates.key == certificates.key


def test_a_variable_that_is_none_is_not_sent() -> None:
    assert assignment(env={"A": "1", "B": None}).to_json()["server"]["env"] == {"A": "1"}


def test_what_the_hub_says_of_the_lease_is_what_the_guest_publishes() -> None:
    ends_at = datetime(2030, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))
    told = Orders(Lease(ends_at, "age", False, "/hub/js2/lease/a%40b.org/gpu-1"), stop=False).to_json(20.0)
    assert guest_assignment.lease_from_json(told["lease"]) == {
        "ends_at": datetime(2030, 1, 1, tzinfo=UTC).isoformat().replace("+00:00", "Z"),
        "why": "age",
        "warn": False,
        "hub_page": "/hub/js2/lease/a%40b.org/gpu-1",
        "then": "delete",
        "home": False,
        "su_per_hour": None,
    }
    assert told["order"] == "none"


def test_a_report_says_for_which_save_the_guest_is_quiet_and_an_older_guest_for_none() -> None:
    assert report_from(encoded(report_json(saving="save-1"))).saving == "save-1"
    assert report_from(encoded(report_json())).saving == report_from(encoded(report_json(saving=""))).saving == ""
    with pytest.raises(BadMessage, match="saving"):
        report_from(encoded(report_json(saving="no id")))


def test_the_order_to_keep_quiet_names_the_save_and_the_end_wins_over_it() -> None:
    quiet = Quiet("save-1", 60.0)
    told = Orders(save=quiet, report_s=1.0).to_json(20.0)
    assert (told["order"], told["save"], told["report_s"]) == ("save", {"id": "save-1", "within_s": 60.0}, 1.0)
    assert Orders(save=quiet, stop=True).to_json(20.0)["order"] == "stop"
    assert Orders(report_s=50.0).to_json(20.0)["report_s"] == 20.0
