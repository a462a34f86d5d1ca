"""Saves under way, over a cloud in memory: restarts of the hub, lost answers, ends in the middle, leftovers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from js2spawner.cloud.errors import Conflict, NoAnswer, ServerFault, Throttled
from js2spawner.failures import failure
from js2spawner.saved import Saved
from js2spawner.saving import Failed, Ready, Save
from tests.unit.fleet.stand_ins import eventually
from tests.unit.saves.glance import Images, Stage, running, saves_of
from tests.unit.saves.made import KEY, image


def begin(stage: Stage) -> Save:
    return stage.saves.begin(stage.record, "My course", "", owner_id="1-alice", most_gb=40)


def anyhow(_saved: Saved) -> None:
    """No condition."""


def state(stage: Stage, save: Save) -> object:
    found = stage.saves.get(save.id)
    assert found is not None
    return found.state


async def copying(stage: Stage) -> tuple[Save, str]:
    """A save whose copy the cloud has begun; the image's id."""
    save = begin(stage)
    stage.report()
    stage.report()
    await eventually(lambda: bool(stage.saves.get(save.id).image_id))  # type: ignore[union-attr]
    return save, stage.saves.get(save.id).image_id  # type: ignore[union-attr]


async def failed(stage: Stage, save: Save, name: str) -> None:
    await eventually(lambda: isinstance(state(stage, save), Failed))
    found = state(stage, save)
    assert isinstance(found, Failed)
    assert found.because.name == name


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_save_becomes_an_image_that_is_its_owner_s_and_the_guest_is_let_go(tmp_path: Path) -> None:
    before = counted("js2_saves_total", outcome="ready")
    async with running(tmp_path) as stage:
        save, image_id = await copying(stage)
        stage.images.becomes(image_id, "active", size_bytes=10**9)
        await eventually(lambda: stage.report() is None)
        await eventually(lambda: isinstance(state(stage, save), Ready))
        (kept,) = await stage.saves.images.all()
        assert (kept.owner, kept.title, kept.id) == ("alice", "My course", image_id)
        assert counted("js2_saves_total", outcome="ready") == before + 1
        assert counted("js2_save_seconds_count", stage="copy") >= 1
        assert stage.fleet.history.typical("minimal", "m3.small", "save-copy") is not None


async def test_a_lost_answer_never_makes_two_copies(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        stage.compute.faults["copy"] = [NoAnswer()]
        stage.compute.works_all_the_same = True
        save, image_id = await copying(stage)
        assert len(stage.compute.copies) == 1
        stage.images.becomes(image_id, "active")
        await eventually(lambda: stage.report() is None)
        await eventually(lambda: isinstance(state(stage, save), Ready))
        assert len(stage.compute.copies) == 1


async def test_a_lost_answer_without_a_copy_is_given_up_and_not_sent_again(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        stage.compute.faults["copy"] = [ServerFault()]
        save = begin(stage)
        stage.report()
        stage.report()
        await failed(stage, save, "save-lost")
        assert len(stage.compute.copies) == 1
        assert stage.report() is None


async def test_what_surely_had_no_effect_is_sent_again(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        stage.compute.faults["copy"] = [Throttled(retry_after_s=0.0)]
        await copying(stage)
        assert len(stage.images.kept) == 1


async def test_what_was_given_up_meanwhile_is_not_sent_again(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        stage.compute.faults["copy"] = [Throttled(retry_after_s=0.5)]
        begin(stage)
        stage.report()
        stage.report()
        await eventually(lambda: not stage.compute.faults["copy"])
        stage.saves.cancel(stage.record.attempt_id)
        await eventually(lambda: not stage.saves._busy)
        assert len(stage.compute.copies) == 1


async def test_a_refused_copy_lets_the_guest_go(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        stage.compute.faults["copy"] = [Conflict("image_uploading")]
        save = begin(stage)
        stage.report()
        stage.report()
        await failed(stage, save, "save-busy")
        assert stage.report() is None


async def test_a_guest_that_is_not_quiet_while_it_is_copied_spoils_the_copy(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, _ = await copying(stage)
        stage.quiet_for = ""
        stage.report(obeys=False)
        await failed(stage, save, "save-interrupted")
        await eventually(lambda: not stage.images.kept)


async def test_an_instance_that_was_restarted_spoils_the_copy(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, _ = await copying(stage)
        stage.saves.hello(stage.record.attempt_id)
        await failed(stage, save, "save-interrupted")
        await eventually(lambda: not stage.images.kept)


async def test_a_server_that_is_stopped_takes_its_half_made_copy_along(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, _ = await copying(stage)
        await stage.fleet.end(stage.record.attempt_id, failure("stopped"))
        await failed(stage, save, "save-stopped")
        await eventually(lambda: not stage.images.kept)


async def test_a_save_that_its_owner_gives_up_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, _ = await copying(stage)
        stage.saves.cancel(stage.record.attempt_id)
        await failed(stage, save, "save-cancelled")
        await eventually(lambda: not stage.images.kept)


async def test_a_copy_that_cannot_be_deleted_at_once_is_deleted_later(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, _ = await copying(stage)
        stage.images.trouble = [ServerFault() for _ in range(3)]
        stage.saves.cancel(stage.record.attempt_id)
        await failed(stage, save, "save-cancelled")
        await eventually(lambda: not stage.images.kept)


async def test_a_restarted_hub_goes_on_with_the_copy_it_finds_and_keeps_the_guest_quiet_meanwhile(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as stage:
        save, image_id = await copying(stage)
        stage.report()
        await stage.saves.stop()
        stage.saves = saves_of(stage.fleet, stage.images)
        order = stage.report()
        assert order is not None
        assert order.save_id == save.id
        stage.saves.start()
        await eventually(lambda: stage.saves.under_way(stage.record.attempt_id) is not None)
        stage.images.becomes(image_id, "active")
        await eventually(lambda: stage.report() is None)
        await eventually(lambda: isinstance(state(stage, save), Ready))
        assert isinstance(KEY.read(stage.images.kept[image_id], "IU"), Saved)


async def test_a_restarted_hub_does_not_trust_a_copy_whose_guest_was_not_quiet_meanwhile(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        _, image_id = await copying(stage)
        await stage.saves.stop()
        stage.images.becomes(image_id, "active")
        stage.quiet_for = ""
        stage.saves = saves_of(stage.fleet, stage.images)
        stage.saves.start()
        await eventually(lambda: stage.saves.under_way(stage.record.attempt_id) is not None)
        stage.report(obeys=False)
        await eventually(lambda: not stage.images.kept)


async def test_a_restarted_hub_lets_a_guest_go_whose_copy_never_began(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        await stage.saves.stop()
        stage.quiet_for = "5a5e0000000000ff"
        stage.saves = saves_of(stage.fleet, stage.images)
        assert stage.report() is not None
        stage.saves.start()
        await eventually(lambda: stage.report() is None)


async def test_a_region_that_is_away_keeps_no_save_of_another_from_being_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as stage:
        save, _ = await copying(stage)
        await stage.saves.stop()
        away = Images()
        away.trouble = [ServerFault() for _ in range(1000)]
        desk = SimpleNamespace(cloud=SimpleNamespace(images=away))
        monkeypatch.setattr(stage.fleet, "desks", {"asked-first": desk, **stage.fleet.desks})
        stage.saves = saves_of(stage.fleet, stage.images)
        stage.saves.start()
        await eventually(lambda: stage.saves.get(save.id) is not None)
        asked = away.asked
        await eventually(lambda: away.asked > asked + 3)
        assert stage.saves.may_be_found()
        monkeypatch.undo()


async def test_an_unfinished_image_of_an_instance_that_is_gone_is_deleted(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        left = image("active")
        stage.images.kept[left.id] = left
        await eventually(lambda: not stage.images.kept)


async def test_images_that_are_not_provably_ours_are_never_touched(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        plain = image("active")
        forged = replace(plain, id="forged", properties={**plain.properties, "js2_owner": "mallory"})
        other = replace(plain, id="other", properties={**plain.properties, "js2_hub": "another"})
        stage.images.kept = {each.id: each for each in (forged, other)}
        asked = stage.images.asked
        await eventually(lambda: stage.images.asked > asked + 5)
        assert stage.images.kept.keys() == {"forged", "other"}


async def test_what_was_put_in_the_place_of_a_copy_while_the_hub_was_away_is_never_sealed(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, image_id = await copying(stage)
        stage.report()
        await stage.saves.stop()
        copied = stage.images.kept.pop(image_id)
        stage.images.kept["mallory-s"] = replace(copied, id="mallory-s", status="active")
        stage.saves = saves_of(stage.fleet, stage.images)
        stage.saves.start()
        await eventually(lambda: stage.saves.get(save.id) is not None)
        await failed(stage, save, "save-interrupted")
        await eventually(lambda: not stage.images.kept)


async def test_what_only_says_that_it_is_the_copy_does_not_keep_the_copy_from_being_found(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, image_id = await copying(stage)
        stage.report()
        await stage.saves.stop()
        copied = stage.images.kept.pop(image_id)
        stage.images.kept |= {"mallory-s": replace(copied, id="mallory-s"), image_id: copied}
        stage.saves = saves_of(stage.fleet, stage.images)
        stage.saves.start()
        await eventually(lambda: stage.images.kept.keys() == {image_id})
        found = stage.saves.under_way(stage.record.attempt_id)
        assert found is not None
        assert (found.id, found.most_gb) == (save.id, 40)


async def test_a_copy_that_the_hub_died_before_writing_down_is_deleted_and_its_owner_told(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, image_id = await copying(stage)
        stage.report()
        await stage.saves.stop()
        stage.fleet.amend(stage.record.attempt_id, lambda r: replace(r, copy_id=""))
        stage.saves = saves_of(stage.fleet, stage.images)
        stage.saves.start()
        await eventually(lambda: stage.saves.get(save.id) is not None)
        await failed(stage, save, "save-interrupted")
        await eventually(lambda: image_id not in stage.images.kept)
        assert stage.report() is None
        assert stage.saves.latest(stage.record.attempt_id) == stage.saves.get(save.id)


async def test_until_it_has_looked_a_hub_that_was_restarted_says_that_a_save_may_be_found(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        await stage.saves.stop()
        stage.saves = saves_of(stage.fleet, stage.images)
        assert stage.saves.may_be_found_of(stage.record)
        stage.saves.start()
        await eventually(lambda: not stage.saves.may_be_found_of(stage.record))
        stage.saves.orders(stage.record, "5a5e0000000000ff")
        assert stage.saves.may_be_found_of(stage.record)
        await eventually(lambda: not stage.saves.may_be_found_of(stage.record))


async def test_a_guest_that_may_be_saved_soon_is_asked_to_report_often(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        assert stage.saves.orders(stage.record, "") == (None, None)
        stage.saves.soon(stage.record.attempt_id)
        assert stage.saves.orders(stage.record, "") == (None, 2.0)


async def test_sharing_and_freezing_are_sealed_and_protected_in_the_cloud(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        save, image_id = await copying(stage)
        stage.images.becomes(image_id, "active")
        await eventually(lambda: stage.report() is None)
        await eventually(lambda: isinstance(state(stage, save), Ready))
        kept = stage.saves.images
        await kept.share(image_id, "bio101", only_if=anyhow)
        frozen = await kept.freeze(image_id, frozen=True, only_if=anyhow)
        assert frozen is not None
        assert (frozen.group, frozen.frozen, stage.images.protected) == ("bio101", True, {image_id})
        thawed = await kept.freeze(image_id, frozen=False, only_if=anyhow)
        assert thawed is not None
        assert (thawed.group, thawed.frozen, stage.images.protected) == ("bio101", False, set())
        assert [each.group for each in await kept.all()] == ["bio101"]
        await kept.delete(thawed, only_if=anyhow)
        assert await kept.all() == []
        assert await kept.share(image_id, "bio101", only_if=anyhow) is None
