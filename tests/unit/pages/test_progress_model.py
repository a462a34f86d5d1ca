"""What the progress page understands of the hub's events; the real script, run by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from js2spawner.demo.node import find_node

from .rendering import HOSTILE, STATIC

Events = list[Any]
AT = "2026-01-02T03:04:0{}Z"
# One line of JSON in (a list of events), one line of JSON out (the picture after them).
RUNNER = """
import { createInterface } from "node:readline";
import { after, nothing } from "./progress_model.mjs";
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(JSON.parse(line).reduce(after, nothing)));
}
"""


@pytest.fixture(scope="module")
def picture_after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Events], dict[str, Any]]]:
    """A function that answers the picture a page has after these events."""
    node = find_node()
    if node is None:
        pytest.skip("no Node; `make install` brings one")
    folder: Path = tmp_path_factory.mktemp("model")
    shutil.copy(STATIC / "progress_model.js", folder / "progress_model.mjs")
    (folder / "run.mjs").write_text(RUNNER)
    argv = [node.program, str(folder / "run.mjs")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def run(events: Events) -> dict[str, Any]:
            print(json.dumps(events), file=stdin, flush=True)
            picture: dict[str, Any] = json.loads(stdout.readline())
            return picture

        try:
            yield run
        finally:
            process.kill()


def ours(**fields: Any) -> dict[str, Any]:
    return {"progress": 5, "message": "for the stock page", "js2": fields}


def plan(attempt: int = 1, second: int = 0) -> dict[str, Any]:
    stages = [
        {"name": "create", "title": "Creating", "typical": {"p50_s": 2, "p90_s": 4}},
        {"name": "boot", "title": "Booting", "typical": None},
    ]
    return ours(
        kind="plan", attempt=attempt, image="Minimal", flavor="m3.small", started_at=AT.format(second), stages=stages
    )


def stage(name: str, state: str, second: int, detail: str = "") -> dict[str, Any]:
    return ours(kind="stage", stage=name, state=state, at=AT.format(second), detail=detail)


def states(picture: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in picture["stages"]}


STORY = [plan(), stage("create", "begun", 1), stage("create", "done", 3), stage("boot", "begun", 3)]


def test_stages_follow_the_events(picture_after):
    picture = picture_after(STORY)
    assert states(picture) == {"create": "done", "boot": "begun"}
    assert picture["stages"][0]["endedAt"] - picture["stages"][0]["begunAt"] == 2000


def test_a_story_told_twice_is_the_same_story(picture_after):
    assert picture_after(STORY + STORY) == picture_after(STORY)


def test_a_retry_is_kept_with_its_reason_and_the_stages_begin_anew(picture_after):
    failed = [
        stage("boot", "failed", 4),
        ours(kind="retry", attempt=2, why="No answer.", at=AT.format(4)),
        plan(attempt=2, second=5),
    ]
    picture = picture_after(STORY + failed)
    assert [(each["attempt"], each["why"]) for each in picture["retries"]] == [(2, "No answer.")]
    assert states(picture) == {"create": "waiting", "boot": "waiting"}


def test_elapsed_time_counts_from_the_first_attempt(picture_after):
    assert picture_after([plan(), plan(attempt=2, second=5)])["startedAt"] == picture_after([plan()])["startedAt"]


def test_a_stage_that_is_over_is_not_opened_again(picture_after):
    assert states(picture_after([*STORY, stage("create", "begun", 9)]))["create"] == "done"


def test_a_done_stage_whose_beginning_was_never_seen_took_no_time(picture_after):
    create = picture_after([plan(), stage("create", "done", 3)])["stages"][0]
    assert create["begunAt"] == create["endedAt"]


def test_ready_is_the_end(picture_after):
    assert picture_after([*STORY, {"progress": 100, "ready": True, "message": "Server ready"}])["outcome"] == "ready"


def place(position: int = 2, of: int = 5, **changes: Any) -> dict[str, Any]:
    free = [{"flavor": "g3.medium", "region": "IU", "title": "A100 slice in Indiana"}]
    told = {"position": position, "of": of, "waits_for": "room for Whole A100 in Indiana", "instead": free}
    return ours(kind="place", since=AT.format(0), **(told | changes))


def test_a_place_in_the_line_follows_the_events_until_an_instance_is_made(picture_after):
    picture = picture_after([place(3), place(2, typical_s=90)])
    assert (picture["place"]["position"], picture["place"]["of"], picture["place"]["typicalS"]) == (2, 5, 90)
    assert picture["place"]["instead"][0]["flavor"] == "g3.medium"
    assert picture_after([place(1), plan()])["place"] is None


def test_who_got_no_room_after_all_is_in_the_line_again(picture_after):
    failed = [stage("create", "failed", 4), place(1, 1)]
    assert picture_after([place(1), *STORY[:2], *failed])["place"]["position"] == 1


@pytest.mark.parametrize("changes", [{"position": 0}, {"position": 6}, {"of": "many"}, {"position": None}])
def test_a_place_that_cannot_be_changes_nothing(picture_after, changes):
    assert picture_after([place(2), place(**changes)])["place"]["position"] == 2


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("Spawn failed: The cloud is full.", "The cloud is full."),
        ("Spawn cancelled", "The start was stopped."),
        ("Spawn failed", "The hub could not start your server."),
        (None, "The hub could not start your server."),
    ],
)
def test_a_failure_is_a_sentence(picture_after, message, sentence):
    picture = picture_after([plan(), {"progress": 100, "failed": True, "message": message}])
    assert (picture["outcome"], picture["sentence"]) == ("failed", sentence)


def test_words_of_other_spawners_are_notes(picture_after):
    assert picture_after([{"progress": 10, "message": "Pulling"}])["note"] == "Pulling"


def test_long_words_are_cut(picture_after):
    assert len(picture_after([plan(), stage("create", "begun", 1, detail="x" * 10_000)])["stages"][0]["detail"]) == 300


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        7,
        [],
        {"js2": None},
        {"js2": 7},
        {"js2": {"kind": HOSTILE}},
        {"js2": {"kind": "stage"}},
        {"js2": {"kind": "stage", "stage": "create", "state": "exploded", "at": "never"}},
        {"js2": {"kind": "retry", "attempt": "two"}},
    ],
)
def test_nonsense_changes_nothing(picture_after, nonsense):
    assert picture_after([*STORY, nonsense]) == picture_after(STORY)


@pytest.mark.parametrize(
    "typical", [None, 7, {}, {"p50_s": "1", "p90_s": 2}, {"p50_s": 0, "p90_s": 0}, {"p50_s": 1, "p90_s": -1}]
)
def test_a_typical_time_that_is_none_is_not_shown(picture_after, typical):
    picture = picture_after(
        [ours(kind="plan", attempt=1, stages=[{"name": "boot", "title": "Booting", "typical": typical}])]
    )
    assert picture["stages"][0]["typical"] is None


def test_a_plan_of_nonsense_has_no_stages(picture_after):
    assert (
        picture_after([ours(kind="plan", attempt=1, image=7, flavor=None, started_at=3, stages="all")])["stages"] == []
    )
