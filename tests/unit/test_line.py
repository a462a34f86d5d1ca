"""The line: order, room, and that nobody waits for ever."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from js2spawner.instance import Owner
from js2spawner.line import (
    FIRST_PAUSE_S,
    FURTHER_S,
    HELD_S,
    LONGEST_PAUSE_S,
    NOTHING,
    Candidate,
    Doubt,
    Place,
    Room,
    Scarce,
    Size,
    Terms,
    World,
    arriving,
    doubt_after_refusal,
    doubt_after_success,
    sweep,
)

T0 = 1_800_000_000.0
SMALL, BIG, GPU = Candidate("IU", "small"), Candidate("IU", "big"), Candidate("IU", "gpu")
FAR_SMALL = Candidate("TACC", "small")
SIZES = {SMALL: Size(1, 2, 6), BIG: Size(1, 16, 60), GPU: Size(1, 4, 15), FAR_SMALL: Size(1, 2, 6)}
ROOMY = Room()


def place(number: int, *candidates: Candidate, user: str = "", **changes: object) -> Place:
    """The place that arrived as the `number`th, a second after the one before."""
    user = user or f"user{number}"
    since = T0 + number
    plain = Place(f"p{number:04d}", Owner(user, f"s{number}"), "minimal", candidates or (SMALL,), since, since)
    return replace(plain, **changes)  # type: ignore[arg-type]


def world(iu: Room = ROOMY, tacc: Room = ROOMY, **more: object) -> World:
    return World({"IU": iu, "TACC": tacc}, SIZES, **more)  # type: ignore[arg-type]


def room(cores: float, most: float = 1000) -> Room:
    return Room(free=Size(1000, cores, 10_000), most=Size(1000, most, 10_000))


def granted(places: list[Place], seen: World, now: float = T0) -> list[tuple[str, Candidate]]:
    return [(each.place.id, each.candidate) for each in sweep(places, seen, now).granted]


def test_what_comes_back_from_the_shelf_waits_for_its_group_and_its_region_and_for_no_figures() -> None:
    back = place(1, terms=Terms(("course",), returns=True))
    full = room(cores=0, most=0)
    assert granted([place(0), back], world(full, crowds={"course": 1})) == [("p0001", SMALL)]
    assert granted([back], world(full, crowds={"course": 0})) == []
    assert granted([back], world(replace(full, answers=False), crowds={"course": 1})) == []
    two = [back, place(2, terms=Terms(("course",), returns=True))]
    assert len(granted(two, world(full, crowds={"course": 1}))) == 1


def test_nothing_is_free_instead_for_who_waits_for_their_group() -> None:
    waiting, other = place(0, SMALL, terms=Terms(("course",))), place(1, SMALL)
    full = world(room(cores=0), crowds={"course": 0})
    turns = sweep([waiting, other], full, T0)
    assert not turns.free_now(FAR_SMALL, waiting)
    assert turns.free_now(FAR_SMALL, other)


def test_a_lone_start_with_room_goes_at_once() -> None:
    assert granted([place(0)], world()) == [("p0000", SMALL)]


def test_a_small_one_does_not_overtake_into_the_room_a_bigger_one_waits_for() -> None:
    turns = sweep([place(0, BIG), place(1, SMALL)], world(room(cores=8)), T0)
    assert turns.granted == []
    assert turns.waits["p0000"].scarce == turns.waits["p0001"].scarce == Scarce("cores", "IU")
    assert (turns.waits["p0001"].position, turns.waits["p0001"].of) == (2, 2)


def test_who_wants_nothing_of_the_scarce_thing_passes_by() -> None:
    full = {Scarce("capacity", "IU", "gpu"): Doubt(T0 + 60)}
    assert granted([place(0, GPU), place(1, SMALL), place(2, FAR_SMALL)], world(doubts=full)) == [
        ("p0001", SMALL),
        ("p0002", FAR_SMALL),
    ]


def test_the_next_choice_is_taken_when_the_first_has_no_room() -> None:
    assert granted([place(0, SMALL, FAR_SMALL)], world(room(cores=0))) == [("p0000", FAR_SMALL)]


def test_nobody_is_sent_to_the_second_choice_for_what_lasts_a_moment() -> None:
    for moment in (Room(creates=0), Room(known=False)):
        assert granted([place(0, SMALL, FAR_SMALL)], world(moment)) == []


def test_a_region_that_does_not_answer_is_skipped() -> None:
    assert granted([place(0, SMALL, FAR_SMALL)], world(Room(answers=False))) == [("p0000", FAR_SMALL)]


def test_what_can_never_fit_does_not_block_the_line() -> None:
    turns = sweep([place(0, BIG), place(1, SMALL)], world(room(cores=8, most=8)), T0)
    assert [each.id for each in turns.never] == ["p0000"]
    assert [each.place.id for each in turns.granted] == ["p0001"]


def test_a_full_group_keeps_nothing_from_others() -> None:
    seen = world(room(cores=2), crowds={"course": 0})
    turns = sweep([place(0, SMALL, terms=Terms(("course",))), place(1, SMALL)], seen, T0)
    assert [each.place.id for each in turns.granted] == ["p0001"]
    assert turns.waits["p0000"].scarce == Scarce("group", "", "course")


def test_a_second_place_of_one_user_stands_behind_the_first_of_others() -> None:
    line: list[Place] = []
    for number, user in enumerate(["alice", "alice", "alice", "bob", "carol"]):
        line.append(arriving(place(number, user=user), line))
    order = [name for name, _ in granted(line, world(room(cores=1000)))]
    assert order == ["p0000", "p0003", "p0004", "p0001", "p0002"]


def test_and_is_overtaken_for_half_an_hour_at_most() -> None:
    first = place(0, user="alice")
    second = arriving(place(1, user="alice"), [first])
    late = place(2, user="bob", since=T0 + FURTHER_S + 2, turn_at=T0 + FURTHER_S + 2)
    assert [name for name, _ in granted([late, second], world())] == ["p0001", "p0002"]


def test_a_place_is_held_for_a_minute_for_who_is_away() -> None:
    away = place(0, away_since=T0)
    seen = world(room(cores=2))
    assert granted([away, place(1)], seen, T0 + HELD_S) == []
    assert granted([away, place(1)], seen, T0 + HELD_S + 1) == [("p0001", SMALL)]


def test_a_refusal_lets_one_at_a_time_try_with_growing_pauses() -> None:
    thing = Scarce("capacity", "IU", "gpu")
    doubt = doubt_after_refusal(None, T0, tried=False)
    line = [place(0, GPU), place(1, GPU)]
    assert granted(line, world(doubts={thing: doubt}), T0 + FIRST_PAUSE_S - 1) == []
    turns = sweep(line, world(doubts={thing: doubt}), T0 + FIRST_PAUSE_S)
    assert [(each.place.id, each.tries) for each in turns.granted] == [("p0000", True)]
    pauses = []
    for _ in range(6):
        doubt = doubt_after_refusal(doubt, T0, tried=True)
        pauses.append(doubt.pause_s)
    assert pauses == [30, 60, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_refusals_of_those_who_had_set_out_before_make_no_pause_longer() -> None:
    doubt = doubt_after_refusal(None, T0, tried=False)
    assert doubt_after_refusal(doubt, T0 + 1, tried=False) == doubt


def test_success_lets_more_and_more_try_until_there_is_no_doubt() -> None:
    doubt: Doubt | None = Doubt(T0 + 60)
    allowed = []
    while doubt is not None:
        allowed.append(doubt.at_once)
        doubt = doubt_after_success(doubt, T0)
    assert allowed == [1, 2, 4, 8]


# ---- for any line whatever ------------------------------------------------------------------------------------------

CHOICES = st.lists(st.sampled_from([SMALL, BIG, GPU, FAR_SMALL]), min_size=1, max_size=3, unique=True)
WISHES = st.lists(st.tuples(CHOICES, st.sampled_from("abcdef")), min_size=1, max_size=25)
ROOMS = st.builds(
    lambda instances, cores: Room(free=Size(instances, cores, 10_000), most=Size(100, 1000, 10_000)),
    st.integers(0, 6),
    st.integers(0, 40),
)


def line_of(wishes: list[tuple[list[Candidate], str]]) -> list[Place]:
    line: list[Place] = []
    for number, (candidates, user) in enumerate(wishes):
        line.append(arriving(place(number, *candidates, user=user), line))
    return line


@given(WISHES, ROOMS, ROOMS)
def test_never_more_is_granted_than_there_is_room(
    wishes: list[tuple[list[Candidate], str]], iu: Room, tacc: Room
) -> None:
    for region, free in (("IU", iu.free), ("TACC", tacc.free)):
        taken = NOTHING
        for _, candidate in granted(line_of(wishes), world(iu, tacc)):
            if candidate.region == region:
                taken = taken.plus(SIZES[candidate])
        assert taken.fits(free)


@given(WISHES, ROOMS, ROOMS)
def test_nobody_gets_what_somebody_ahead_still_waits_for(
    wishes: list[tuple[list[Candidate], str]], iu: Room, tacc: Room
) -> None:
    line = line_of(wishes)
    went = dict(granted(line, world(iu, tacc)))
    waiting: set[Candidate] = set()
    for each in sorted(line, key=lambda each: each.order):
        if each.id in went:
            assert went[each.id] not in waiting
        else:
            waiting.update(each.candidates)


@given(WISHES, ROOMS)
def test_the_small_ones_room_is_not_taken_from_a_bigger_one_ahead(
    wishes: list[tuple[list[Candidate], str]], iu: Room
) -> None:
    line = line_of(wishes)
    went = dict(granted(line, world(iu, Room(answers=False))))
    blocked = False
    for each in sorted(line, key=lambda each: each.order):
        wants_iu = any(candidate.region == "IU" for candidate in each.candidates)
        assert not (blocked and each.id in went)
        blocked = blocked or (wants_iu and each.id not in went)


@settings(deadline=None)
@given(WISHES, st.integers(16, 40))
def test_everybody_gets_a_turn_in_the_end_however_many_go_on_arriving(
    wishes: list[tuple[list[Candidate], str]], cores: int
) -> None:
    line, now, number = line_of(wishes), T0, len(wishes)
    early = {each.id for each in line}
    running: list[Candidate] = []
    for _ in range(400):
        now += 60
        used = sum(SIZES[candidate].cores for candidate in running)
        turns = sweep(line, world(room(cores - used), Room(answers=False)), now)
        went = {each.place.id for each in turns.granted}
        running += [each.candidate for each in turns.granted]
        line = [each for each in line if each.id not in went]
        early = {each.id for each in line if each.id in early and any(c.region == "IU" for c in each.candidates)}
        if not early:
            return
        # New people come as fast as servers end.
        running = running[1:]
        line.append(arriving(replace(place(number, user=f"new{number}"), since=now, turn_at=now), line))
        number += 1
    raise AssertionError(f"{early} never got a turn")


@given(WISHES, ROOMS)
def test_positions_count_those_ahead_who_wait_for_the_same(wishes: list[tuple[list[Candidate], str]], iu: Room) -> None:
    turns = sweep(line_of(wishes), world(iu, iu), T0)
    for wait in turns.waits.values():
        assert 1 <= wait.position <= wait.of
    first = Counter(wait.scarce for wait in turns.waits.values() if wait.position == 1)
    assert all(count == 1 for count in first.values())
