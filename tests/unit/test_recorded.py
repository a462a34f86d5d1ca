"""The rules by which the contract suite holds a cloud against what was recorded: they have to be able to say no."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.client import Seen
from tests.contract.clouds import Shown
from tests.contract.recorded import ANSWERS, Normal, deviations, differences, example, merged

NORMAL = Normal(
    roots={"compute": "http://127.0.0.1:15774", "image": "http://127.0.0.1:1577"}, words={"<flavor>": "m3.tiny"}
)
RECORDED = [
    {"state": "BUILD/scheduling", "rare": False},
    {"state": "BUILD/None", "rare": True},
    {"state": "BUILD/spawning", "rare": False},
    {"state": "ACTIVE/None", "rare": False},
]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Instance c5fc5389-eb32-427e-8e44-7300f20da191 is locked", "Instance <id> is locked"),
        ("http://127.0.0.1:15774/v2.1/servers", "<compute>/v2.1/servers"),
        ("http://127.0.0.1:1577/v2/images", "<image>/v2/images"),
        ("2026-11-22T16:44:37.000000", "<time>.<micro>"),
        ("2026-11-22T16:44:37Z", "<time>Z"),
        ("fa:16:3e:11:22:33 at 10.77.0.12", "<mac> at <address>"),
        ("Flavor m3.tiny, not m3.tiny-2", "Flavor <flavor>, not m3.tiny-2"),
        ("x" * 100, "<x repeated>"),
    ],
)
def test_what_varies_becomes_a_placeholder(text: str, normal: str) -> None:
    assert NORMAL.text(text) == normal


def test_numbers_stay_unless_asked_for() -> None:
    assert NORMAL.text("used 3 of 10") == "used 3 of 10"
    assert NORMAL.text("used 3 of 10", numbers=True) == "used <number> of <number>"


def test_only_significant_headers_count() -> None:
    seen = Seen(200, {"Content-Type": "application/json", "Date": "today"}, {"id": 1}, "compute")
    assert NORMAL.answer(seen) == {
        "service": "compute",
        "status": 200,
        "headers": {"Content-Type": "application/json"},
        "body": {"id": 1},
    }


@pytest.mark.parametrize(
    ("seen", "loose"),
    [
        ({"a": 1, "b": "x"}, ()),
        ({"a": 2, "b": "x"}, ("a",)),
        ({"a": 1, "b": "y"}, ("b", "a")),
    ],
)
def test_a_success_with_the_recorded_members_passes(seen: Any, loose: tuple[str, ...]) -> None:
    assert list(differences({"a": 1, "b": "x"}, seen, loose=frozenset(loose))) == []


@pytest.mark.parametrize(
    ("seen", "loose"),
    [
        ({"a": 2, "b": ["x"]}, ()),
        ({"a": 1}, ()),
        ({"a": 1, "b": ["x"], "c": None}, ()),
        ({"a": "1", "b": ["x"]}, ("a",)),
        ({"a": 1, "b": []}, ()),
        ({"a": 1, "b": [{"x": 1}]}, ("b",)),
    ],
)
def test_any_other_success_does_not(seen: Any, loose: tuple[str, ...]) -> None:
    assert list(differences({"a": 1, "b": ["x"]}, seen, loose=frozenset(loose)))


def test_a_complete_sequence_leaves_out_only_what_is_rare() -> None:
    assert deviations(RECORDED, ["BUILD/scheduling", "BUILD/spawning", "ACTIVE/None"], complete=True) == []
    assert deviations(RECORDED, ["BUILD/scheduling", "ACTIVE/None"], complete=True) == ["BUILD/spawning is left out"]


def test_a_polled_sequence_may_miss_anything_but_the_end() -> None:
    assert deviations(RECORDED, ["ACTIVE/None"], complete=False) == []
    assert deviations(RECORDED, ["BUILD/scheduling"], complete=False)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(
    "seen",
    [
        ["BUILD/scheduling", "BUILD/networking", "BUILD/spawning", "ACTIVE/None"],
        ["BUILD/spawning", "BUILD/scheduling", "ACTIVE/None"],
        ["BUILD/scheduling", "BUILD/spawning", "ACTIVE/None", "BUILD/None"],
    ],
)
def test_a_state_that_is_not_recorded_there_is_a_deviation(seen: list[str], complete: bool) -> None:
    assert deviations(RECORDED, seen, complete=complete)


def test_what_not_every_run_showed_is_rare() -> None:
    first = merged([], [Shown("a"), Shown("b"), Shown("c")])
    second = merged(first, [Shown("a", brief=True), Shown("c")])
    assert second == [
        {"state": "a", "rare": True},
        {"state": "b", "rare": True},
        {"state": "c", "rare": False},
    ]


def test_a_run_that_shows_both_tells_the_order_of_two() -> None:
    doubtful = merged(merged([], [Shown("a"), Shown("y"), Shown("z")]), [Shown("a"), Shown("x"), Shown("z")])
    told = merged(doubtful, [Shown("a"), Shown("x"), Shown("y"), Shown("z")])
    assert [state["state"] for state in told] == ["a", "x", "y", "z"]


def test_a_choice_told_in_the_order_of_a_set_is_compared_as_a_set() -> None:
    normal = Normal({}, {})
    assert normal.text("'x' is not one of ['b', 'a']") == normal.text("'x' is not one of ['a', 'b']")
    assert normal.text("'x' is not one of ['b', 'c']") != normal.text("'x' is not one of ['a', 'b']")


def test_an_example_has_no_placeholder_left() -> None:
    for path in ANSWERS.glob("create-*.json"):
        filled = json.dumps(example(path.stem))
        assert "<id>" not in filled
        assert "repeated>" not in filled
