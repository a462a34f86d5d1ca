"""Turns: what is asked of whom, what a refusal means, who is let through and who is remembered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from js2spawner.catalog import Catalog
from js2spawner.cloud.errors import CloudError, Unreachable
from js2spawner.cloud.records import Flavor, Limits
from js2spawner.failures import failure
from js2spawner.fleet.admission import Admission, LineSettings, NoTurn, Wish
from js2spawner.fleet.journal import Journal
from js2spawner.fleet.store import Store
from js2spawner.fleet.typical import History
from js2spawner.instance import Booting, Building, Ended, Ending, Owner, Planned, Record, Running, State
from js2spawner.limits import Use
from js2spawner.line import FIRST_PAUSE_S, HELD_S, Candidate, Granted
from tests.unit.fleet.stand_ins import DEADLINE_S, eventually
from tests.unit.lives import ADDRESS, T0, record

CATALOG = """
regions:
  IU: {cloud: js2, title: Indiana}
  TACC: {cloud: js2-tacc}
profiles:
  standard: {idle_minutes: 60, longest_hours: 12}
images:
  minimal: {title: Minimal, description: JupyterLab., image: js2-minimal, gpu: possible, profile: standard}
flavors:
  m3.small: {title: Small, vcpus: 2, memory_gb: 6, disk_gb: 20, su_per_hour: 2}
  g3.large:
    {title: A100, vcpus: 16, memory_gb: 60, disk_gb: 60, su_per_hour: 32, gpu: {kind: A100 slice, memory_gb: 20}}
limits:
  everyone: {servers: 3, gpus: 1}
  course: {together: 2}
defaults: {image: minimal, flavor: m3.small}
"""
SMALL, GPU = Candidate("IU", "m3.small"), Candidate("IU", "g3.large")
FAR = Candidate("TACC", "m3.small")
ALICE, BOB = Owner("alice", ""), Owner("bob", "")


@dataclass
class Desk:
    """What a region tells when it is asked. `seen`: it was, for somebody's choice page."""

    most: int | None = None
    used: int = 0
    seen: bool = False
    asked: int = 0
    trouble: CloudError | None = None
    clock: Callable[[], float] = lambda: T0
    flavors: dict[str, Flavor] = field(default_factory=dict)

    async def limits(self, fresh_s: float) -> tuple[Limits, float]:
        del fresh_s
        self.asked += 1
        asked_at = self.clock()
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble
        return self._limits, asked_at

    def limits_seen(self) -> tuple[Limits, float] | None:
        return (self._limits, T0 - 1) if self.seen else None

    @property
    def _limits(self) -> Limits:
        return Limits(self.used, self.most, 0, None, 0, None)

    def fill(self) -> None:
        """One instance of somebody else's takes all there is."""
        self.most = self.used = 1
        self.seen = True

    def flavor(self, name: str) -> Flavor | None:
        return self.flavors.get(name)


@dataclass
class Cloudless:
    """A fleet whose attempts do what the test says."""

    store: Store
    now: float = T0
    desks: dict[str, Desk] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    told: list[Callable[[Record | None, Record], None]] = field(default_factory=list)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("test"))

    def __post_init__(self) -> None:
        self.breaker = SimpleNamespace(is_open=lambda name: name in self.down, when_changed=lambda _: None)
        self.desks = {name: Desk(clock=self.clock) for name in ("IU", "TACC")}

    def clock(self) -> float:
        return self.now

    def live(self) -> list[Record]:
        return list(self.records.values())

    def when_changed(self, told: Callable[[Record | None, Record], None]) -> None:
        self.told.append(told)

    async def saved(self) -> None:
        await self.store.saved()

    def change(self, name: str, state: State, candidate: Candidate = SMALL, user: str = "alice") -> Record:
        """An attempt of that name is in this state now."""
        before = self.records.get(name)
        plan = replace(record().plan, region=candidate.region, flavor=candidate.flavor)
        after = record(state, attempt_id=name, owner=Owner(user, name), plan=plan)
        self.records[name] = replace(before, state=state) if before else after
        changed = self.records[name]
        if isinstance(state, Ended):
            del self.records[name]
        for told in self.told:
            told(before, changed)
        return changed


@dataclass
class Place:
    """A line over such a fleet."""

    fleet: Cloudless
    line: Admission

    def enter(self, user: str, *candidates: Candidate, server: str = "", **more: Any) -> asyncio.Task[Granted]:
        wish = Wish(Owner(user, server), "minimal", candidates or (SMALL,), **more)
        return asyncio.create_task(self.line.enter(wish, Journal(History(), self.fleet.clock)))

    async def launch(self, user: str, name: str, *candidates: Candidate, **more: Any) -> Granted:
        """Enter, and have an attempt of that name made."""
        granted = await asyncio.wait_for(self.enter(user, *candidates, **more), DEADLINE_S)
        attempt = self.fleet.change(name, Planned(T0), granted.candidate, user)
        self.line.settle(granted, attempt)
        return granted

    def poke(self, after_s: float = 0) -> None:
        """Let time pass, and the line be gone through."""
        self.fleet.now += after_s
        self.line.leave(Owner("nobody", ""))

    async def is_waiting(self, *users: str) -> None:
        await eventually(lambda: all(self._waits(user) for user in users))

    def _waits(self, user: str) -> bool:
        standing = self.line.where(Owner(user, ""))
        return standing is not None and standing.waits is not None


@asynccontextmanager
async def line_over(directory: Path, **settings: Any) -> AsyncIterator[Place]:
    catalog = directory / "catalog.yaml"
    catalog.write_text(CATALOG)
    store = Store(f"sqlite:///{directory / 'js2.sqlite'}", "hub")
    await store.open()
    fleet = Cloudless(store)
    line = Admission(fleet, Catalog.load(catalog), LineSettings(**settings), fleet.log)  # type: ignore[arg-type]
    await line.start()
    try:
        yield Place(fleet, line)
    finally:
        await line.stop()
        await store.close()


def capacity() -> Ending:
    return Ending(T0, failure("capacity"), "server")


async def test_a_refusal_of_one_region_sends_to_the_next_at_once(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        first = await place.launch("alice", "a1", SMALL, FAR)
        assert first.candidate == SMALL
        place.fleet.change("a1", Building(T0, "server"))
        place.fleet.change("a1", capacity())
        assert (await place.launch("alice", "a2", SMALL, FAR)).candidate == FAR


async def test_after_a_refusal_one_tries_at_a_time_and_its_success_lets_the_others_go(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        await place.launch("carol", "c", GPU)
        place.fleet.change("c", Building(T0, "server"))
        place.fleet.change("c", capacity())
        alice, bob = place.enter("alice", GPU), place.enter("bob", GPU)
        await place.is_waiting("alice", "bob")
        place.poke(after_s=FIRST_PAUSE_S)
        granted = await asyncio.wait_for(alice, DEADLINE_S)
        assert granted.tries
        attempt = place.fleet.change("a", Planned(T0), GPU)
        place.line.settle(granted, attempt)
        place.poke(after_s=FIRST_PAUSE_S)
        await place.is_waiting("bob")
        place.fleet.change("a", Building(T0, "server-a"))
        place.fleet.change("a", Booting(T0, "server-a", ADDRESS))
        await asyncio.wait_for(bob, DEADLINE_S)


async def test_the_success_of_one_that_had_set_out_before_a_refusal_lets_nobody_try(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        await place.launch("dora", "d", GPU)
        await place.launch("carol", "c", GPU)
        place.fleet.change("c", Building(T0, "server-c"))
        place.fleet.change("c", capacity())
        place.fleet.change("d", Booting(T0, "server-d", ADDRESS))
        bob = place.enter("bob", GPU)
        await place.is_waiting("bob")
        bob.cancel()
        await asyncio.wait([bob])


async def test_one_of_ours_that_ends_lets_the_next_try_before_the_pause_is_over(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        await place.launch("dora", "d", GPU)
        place.fleet.change("d", Booting(T0, "server-d", ADDRESS))
        await place.launch("carol", "c", GPU)
        place.fleet.change("c", Building(T0, "server-c"))
        place.fleet.change("c", capacity())
        bob = place.enter("bob", GPU)
        await place.is_waiting("bob")
        # The refused one's own end frees nothing.
        place.fleet.change("c", Ended(T0, failure("capacity")))
        await place.is_waiting("bob")
        assert not bob.done()
        place.fleet.change("d", Ended(T0, failure("stopped")))
        await asyncio.wait_for(bob, DEADLINE_S)


async def test_a_region_that_does_not_answer_is_skipped_and_where_none_does_that_is_said_at_once(
    tmp_path: Path,
) -> None:
    async with line_over(tmp_path) as place:
        place.fleet.down = {"IU"}
        assert (await place.launch("alice", "a", SMALL, FAR)).candidate == FAR
        with pytest.raises(NoTurn) as caught:
            await place.enter("bob", SMALL)
        assert caught.value.why.name == "unreachable"


async def test_a_limit_is_a_refusal_with_its_figures_and_counts_who_waits(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        place.fleet.desks["IU"].most = 2
        await place.launch("alice", "one")
        await place.launch("alice", "two")
        third = place.enter("alice", server="three")
        await eventually(lambda: place.line.where(Owner("alice", "three")) is not None)
        with pytest.raises(NoTurn) as caught:
            await place.enter("alice", server="four")
        assert caught.value.why.sentence == "You may have 3 servers at once, and you have 3."
        third.cancel()


async def test_a_candidate_over_a_limit_is_left_out(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        await place.launch("alice", "one", GPU)
        assert (await place.launch("alice", "two", GPU, SMALL)).candidate == SMALL


async def test_a_gpu_of_which_the_catalog_says_nothing_counts_against_the_limit_all_the_same(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        for desk in place.fleet.desks.values():
            desk.flavors["m3.small"] = Flavor("f", "m3.small", 2, 6144, 20, {"resources:VGPU": "1"})
        await place.launch("alice", "one")
        with pytest.raises(NoTurn) as caught:
            await place.enter("alice", server="two")
        assert caught.value.why.sentence == "You may use 1 GPU at once, and your servers use 1."
        assert place.line.use_of("alice") == Use(1, 1, 2)


async def test_what_a_group_may_have_together_is_waited_for(tmp_path: Path) -> None:
    course = {"groups": frozenset({"course"}), "members": {"course": frozenset({"alice", "bob", "carol"})}}
    async with line_over(tmp_path) as place:
        await place.launch("alice", "a", **course)
        await place.launch("bob", "b", **course)
        carol = place.enter("carol", **course)
        await place.is_waiting("carol")
        # Others are not kept waiting by it.
        await place.launch("dora", "d")
        place.fleet.change("a", Ended(T0, failure("stopped")))
        await asyncio.wait_for(carol, DEADLINE_S)


async def test_no_more_creates_are_under_way_than_the_cloud_is_to_get(tmp_path: Path) -> None:
    async with line_over(tmp_path, creates_at_once=2) as place:
        starts = [place.enter(f"user{number}") for number in range(5)]
        await eventually(lambda: sum(start.done() for start in starts) == 2)
        first = next(start.result() for start in starts if start.done())
        place.line.settle(first, place.fleet.change("a", Planned(T0)))
        place.poke()
        assert sum(start.done() for start in starts) == 2
        place.fleet.change("a", Building(T0, "server"))
        await eventually(lambda: sum(start.done() for start in starts) == 3)
        for start in starts:
            start.cancel()
        await asyncio.wait(starts)


async def test_the_figures_are_not_asked_for_again_while_what_happens_here_explains_all(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        desk = place.fleet.desks["IU"]
        desk.most = 3
        starts = [place.enter(f"user{number}") for number in range(4)]
        await eventually(lambda: sum(start.done() for start in starts) == 3)
        assert desk.asked == 1
        for number, start in enumerate(starts[:3]):
            place.line.settle(start.result(), place.fleet.change(f"a{number}", Planned(T0)))
            place.fleet.change(f"a{number}", Running(T0, f"server-{number}", ADDRESS, "hash"))
        await place.is_waiting("user3")
        # It was accepted after the question, so the question does not count it, and its end frees it all the same.
        place.fleet.change("a0", Ended(T0, failure("stopped")))
        await asyncio.wait_for(starts[3], DEADLINE_S)


async def test_a_cloud_that_gives_no_figures_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        place.fleet.desks["IU"].trouble = Unreachable("down")
        await asyncio.wait_for(asyncio.gather(place.enter("alice"), place.enter("bob")), DEADLINE_S)


async def test_who_comes_back_after_a_restart_has_the_old_place_and_who_comes_too_late_has_a_new_one(
    tmp_path: Path,
) -> None:
    async with line_over(tmp_path) as place:
        place.fleet.desks["TACC"].fill()
        waiting = [place.enter("alice", FAR), place.enter("bob", FAR)]
        await place.is_waiting("alice", "bob")
        await place.fleet.saved()
        old = {user: place.line.where(Owner(user, "")) for user in ("alice", "bob")}
        for start in waiting:
            start.cancel()
        await asyncio.wait(waiting)
    async with line_over(tmp_path, place_kept_s=900) as place:
        place.fleet.desks["TACC"].fill()
        alice = place.enter("alice", FAR)
        await place.is_waiting("alice")
        assert place.line.where(ALICE).place.id == old["alice"].place.id
        place.poke(after_s=901)
        await eventually(lambda: place.line.where(BOB) is None)
        alice.cancel()
        await asyncio.wait([alice])


async def test_room_is_held_a_minute_for_who_is_not_back_yet(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        place.fleet.desks["IU"].fill()
        waiting = [place.enter("alice"), place.enter("bob")]
        await place.is_waiting("alice", "bob")
        await place.fleet.saved()
        for start in waiting:
            start.cancel()
        await asyncio.wait(waiting)
    async with line_over(tmp_path) as place:
        place.fleet.desks["IU"].most = 1
        bob = place.enter("bob")
        await place.is_waiting("bob")
        place.poke(after_s=HELD_S / 2)
        await place.is_waiting("bob")
        assert not bob.done()
        place.poke(after_s=HELD_S)
        await asyncio.wait_for(bob, DEADLINE_S)


async def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    async with line_over(tmp_path, longest_wait_s=3600) as place:
        place.fleet.desks["IU"].fill()
        waiting = [place.enter("alice"), place.enter("bob")]
        await place.is_waiting("alice", "bob")
        place.poke(after_s=3601)
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), DEADLINE_S)
        assert [result.why.name for result in results if isinstance(result, NoTurn)] == ["line-slow", "line-slow"]


async def test_what_is_larger_than_the_allocation_is_said_at_once(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        place.fleet.desks["IU"].most = 0
        results = await asyncio.gather(place.enter("alice"), place.enter("bob"), return_exceptions=True)
        assert {result.why.name for result in results if isinstance(result, NoTurn)} == {"too-large"}


async def test_nobody_is_sent_away_by_a_quota_that_has_been_raised_since(tmp_path: Path) -> None:
    async with line_over(tmp_path) as place:
        desk = place.fleet.desks["IU"]
        desk.most = 0
        results = await asyncio.gather(place.enter("alice"), place.enter("bob"), return_exceptions=True)
        assert any(isinstance(result, NoTurn) for result in results)
        desk.most = 3
        place.poke(after_s=6)
        await asyncio.wait_for(place.enter("carol"), DEADLINE_S)
