"""The progress page's story: every reader gets all of it, and it is true."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from js2spawner.failures import failure
from js2spawner.fleet.journal import Journal
from js2spawner.fleet.store import Timing
from js2spawner.fleet.typical import History
from js2spawner.instance import Ended, Ending
from tests.unit.lives import PLAN, SERVER_ID, T0, assigned, booting, building, greeted, record, running


class Clock:
    now = T0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def journal(*timings: Timing) -> Journal:
    return Journal(History(timings), Clock())


async def told(story: Journal) -> list[dict]:
    story.close()
    return [event["js2"] async for event in story.follow()]


def marks(events: list[dict]) -> list[tuple[str, str]]:
    return [(event["stage"], event["state"]) for event in events if event["kind"] == "stage"]


async def test_every_stage_is_begun_and_done_in_order() -> None:
    story = journal()
    story.plan(record())
    for rec in (building(), booting(), greeted(), assigned(), assigned("notebook"), running()):
        story.note(rec)
    assert marks(await told(story)) == [
        (stage, state) for stage in ("create", "boot", "assign", "notebook") for state in ("begun", "done")
    ]


async def test_a_flavor_with_a_gpu_has_its_stage() -> None:
    story = journal()
    gpu = replace(record(), plan=replace(PLAN, gpu=True))
    story.plan(gpu)
    events = await told(story)
    assert [stage["name"] for stage in events[0]["stages"]] == ["create", "boot", "assign", "gpu", "notebook"]


async def test_typical_times_stand_beside_the_stages() -> None:
    story = journal(Timing("minimal", "m3.small", "boot", 21.04, 0))
    story.plan(record())
    typical = {stage["name"]: stage["typical"] for stage in (await told(story))[0]["stages"]}
    assert typical["boot"] == {"p50_s": 21.0, "p90_s": 21.0}
    assert typical["create"] is None


async def test_an_instance_that_goes_while_the_next_one_starts_is_no_part_of_its_story() -> None:
    # Stopped and started again at once: the end of the first is seen while the second is being made.
    story = journal()
    story.plan(building())
    gone = replace(running(), attempt_id="the-one-before", state=Ended(T0, failure("stopped")))
    story.note(gone)
    for rec in (booting(), greeted(), assigned(), assigned("notebook"), running()):
        story.note(rec)
    assert [timing.stage for timing in story.timings(running())] == ["create", "boot", "assign", "notebook", "total"]
    assert "failed" not in [state for _, state in marks(await told(story))]


async def test_a_failed_stage_is_marked_and_the_retry_says_why() -> None:
    story = journal()
    story.plan(booting())
    story.note(replace(booting(), state=Ending(T0, failure("boot-silent"), SERVER_ID)))
    story.retry(2, failure("boot-silent"))
    events = await told(story)
    assert ("boot", "failed") in marks(events)
    assert events[-1]["kind"] == "retry"
    assert events[-1]["why"] == failure("boot-silent").sentence


async def test_an_instance_found_half_way_shows_what_it_has_passed() -> None:
    story = journal()
    story.plan(greeted())
    assert marks(await told(story)) == [("create", "done"), ("boot", "done"), ("assign", "begun")]


async def test_many_readers_each_get_all_of_it_whenever_they_come() -> None:
    story = journal()
    story.plan(record())

    async def read() -> int:
        return len([event async for event in story.follow()])

    early = asyncio.create_task(read())
    await asyncio.sleep(0)
    for rec in (booting(), greeted(), running()):
        story.note(rec)
    late = asyncio.create_task(read())
    await asyncio.sleep(0)
    story.close()
    assert await asyncio.wait_for(early, 5) == await asyncio.wait_for(late, 5) == 1 + 1 + 2 + 2 + 1


async def test_only_a_start_seen_from_its_beginning_teaches() -> None:
    story = journal()
    story.plan(greeted())
    story.note(running())
    assert story.timings(running()) == []
    whole = journal()
    whole.plan(record())
    for rec in (booting(), greeted(), assigned("notebook"), running()):
        whole.note(rec)
    assert [row.stage for row in whole.timings(running())] == ["create", "boot", "assign", "notebook", "total"]


async def test_the_story_is_bounded() -> None:
    story = journal()
    for number in range(2000):
        story.say(f"{number}")
    assert len(await told(story)) == 500


async def test_only_the_newest_place_in_the_line_is_told_and_none_once_it_is_over() -> None:
    story = journal()
    for position in (3, 2, 1):
        story.place(f"You are number {position}.", {"kind": "place", "position": position})
    reader = story.follow()
    assert (await anext(reader))["js2"]["position"] == 1
    story.out_of_line()
    story.plan(record())
    assert (await anext(reader))["js2"]["kind"] == "plan"
    assert "place" not in {event["kind"] for event in await told(story)}
