from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from js2spawner.cloud.records import Image
from js2spawner.library import properties as named
from js2spawner.library.builds import Build, Builds
from js2spawner.library.pruning import Pruner, fates, local_fates, unrecorded
from js2spawner.library.published import versions
from js2spawner.library.publishing import UPLOAD_TAG

from .in_glance import KEY, OTHER_KEY, T0, changed, image, signed

DAY = timedelta(days=1)
NOW = T0 + 30 * DAY


def version(number: int, **changes: str) -> Image:
    return signed(image(f"b{number}", properties=changes), promoted=T0 + number * DAY)


def gone(*images: Image, keep: int = 2) -> set[str]:
    return {fate.build for fate in fates(versions(images, "minimal", KEY.keys), keep, NOW) if fate.delete}


def why(one: Image, *others: Image) -> str:
    [fate] = [fate for fate in fates(versions([one, *others], "minimal", KEY.keys), 2, NOW) if fate.id == one.id]
    assert not fate.delete
    return fate.why


def test_the_current_version_and_the_one_before_stay():
    assert gone(version(1), version(2), version(3), version(4)) == {"b1", "b2"}
    assert gone(version(1), version(2), version(3), keep=1) == {"b1", "b2"}
    assert gone(version(1), version(2)) == set()


def test_what_goes_is_older_by_promotion_not_by_build():
    back = signed(image("b1"), promoted=T0 + 9 * DAY)
    assert gone(back, version(2), version(3), version(4)) == {"b2", "b3"}
    assert "current" in why(back, version(2), version(3), version(4))


def test_what_is_newer_than_the_current_version_stays():
    assert why(signed(image("b4")), version(3)) == "not promoted yet"
    assert why(signed(changed(image("b4"), **{named.WITHDRAWN_AT: NOW.isoformat()})), version(3)) == "withdrawn"


def test_what_was_withdrawn_or_never_promoted_goes_once_a_newer_one_is_current():
    assert gone(signed(image("b1")), version(2)) == {"b1"}


def test_without_a_current_version_nothing_goes():
    assert gone(signed(image("b1")), signed(image("b2")), signed(image("b3"))) == set()


def test_a_version_that_a_waiting_start_may_hold_stays_for_an_hour():
    just = [signed(image(f"b{number}"), promoted=NOW - timedelta(minutes=10 - number)) for number in (1, 2, 3)]
    assert "starts may still use it" in why(just[0], *just[1:])


def test_a_version_that_somebody_just_went_back_from_stays_for_an_hour_too():
    def withdrawn(minutes_ago: int) -> Image:
        at = (NOW - timedelta(minutes=minutes_ago)).isoformat()
        return signed(changed(image("b1"), **{named.WITHDRAWN_AT: at}))

    assert "starts may still use it" in why(withdrawn(59), version(2))
    assert gone(withdrawn(61), version(2)) == {"b1"}


def test_what_nobody_here_can_vouch_for_is_left_alone():
    others = [version(number) for number in (2, 3, 4)]
    assert "not known here" in why(signed(image("b1"), promoted=T0, key=OTHER_KEY), *others)
    assert "have a look" in why(replace(version(1), os_hash_value="others"), *others)
    assert "left alone" in why(image("b1"), *others)


def test_a_users_snapshot_is_no_version_at_all():
    snapshot = replace(changed(version(3), image_type="snapshot"), id="snapshot", os_hash_value="others")
    told = fates(versions([version(1), version(2), version(3), snapshot], "minimal", KEY.keys), 2, NOW)
    assert "snapshot" not in {fate.id for fate in told}


def test_a_derived_version_is_a_version_though_it_was_saved_by_nova():
    derived = signed(changed(image("b1"), image_type="snapshot"), promoted=T0)
    assert gone(derived, version(2), version(3)) == {"b1"}


def test_an_upload_that_was_never_finished_goes_after_a_day():
    tag = frozenset({UPLOAD_TAG})
    assert gone(replace(image("b9", status="saving"), tags=tag)) == {"b9"}
    young = replace(image("b9", status="saving"), tags=tag, created=NOW - timedelta(hours=23))
    assert "under way" in why(young)


def test_a_derived_build_whose_builder_was_killed_before_its_record_goes_after_an_hour():
    told = {named.KIND: named.BUILT, named.BUILT_BY: "us", named.BUILT_AS: "id-b1"}
    left = image("b1", properties=told)
    snapshot = replace(left, id="of-a-user")
    others = image("b1", properties={**told, named.BUILT_BY: "them"})
    published = image("b1", properties={**told, named.KIND: named.PUBLISHED})
    found = (left, snapshot, others, published)
    hour = timedelta(hours=1, seconds=1)
    assert [fate.id for fate in unrecorded(found, "us", (), T0 + hour) if fate.delete] == ["id-b1"]
    assert unrecorded(found, "us", ("b1",), T0 + hour) == []
    assert unrecorded(found, "us", (), T0 + hour / 2) == []


async def test_two_builds_stay_on_this_machine(tmp_path: Path):
    builds = Builds(tmp_path)
    for number in (1, 2, 3):
        builds.save(Build("minimal", f"2026110{number}", "key", "scratch", T0.isoformat()))
    assert [fate.delete for fate in local_fates(builds.of("minimal"), 2)] == [False, False, True]
    await Pruner(None, builds, KEY.keys, dry_run=True).here("minimal")  # type: ignore[arg-type]
    assert len(builds.of("minimal")) == 3
    await Pruner(None, builds, KEY.keys).here("minimal")  # type: ignore[arg-type]
    assert [build.id for build in builds.of("minimal")] == ["20261103", "20261102"]
