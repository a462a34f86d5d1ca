"""What people ask about saved images: begun, shared, frozen, deleted, or refused with a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from js2spawner import save_requests
from js2spawner.catalog import Catalog
from js2spawner.options import Who
from js2spawner.save_requests import NotPossible
from js2spawner.saved import Allowance, Saved
from tests.unit.saves.glance import Stage, running, saves_of
from tests.unit.saves.made import IMAGE_ID, WORDS, saved, sealed

CATALOG = Catalog.load(Path(__file__).resolve().parents[3] / "hub_config" / "catalog.demo.yaml")
ALICE = Who("alice", frozenset({"maps"}), admin=False, id="1-alice")
HOST = Who("alice", frozenset({"maps", "instructors"}), admin=False, id="1-alice")
MAPS = frozenset({"maps"})
BOB = Who("bob", frozenset({"maps"}), admin=False, id="1-bob")


def spawner(stage: Stage, used_gb: float = 1.0, **allowed: Any) -> SimpleNamespace:
    """As much of alice's spawner as is asked here."""
    return SimpleNamespace(
        who=lambda: ALICE,
        record=stage.fleet.get(stage.record.attempt_id),
        allowance=replace(Allowance(most=1, most_gb=10, share=True, freezers=()), **allowed),
        health=SimpleNamespace(disk_used_gb=used_gb),
        hub_fleet=SimpleNamespace(catalog=CATALOG),
    )


async def sentence(work: Awaitable[object]) -> str:
    with pytest.raises(NotPossible) as caught:
        await work
    return str(caught.value)


def keep(stage: Stage, kept: Saved) -> Saved:
    stage.images.kept[kept.id] = kept.image
    return kept


async def test_two_requests_at_once_begin_one_save(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        asked = [save_requests.begin(spawner(stage), stage.saves, f"Number {n}", "") for n in range(2)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        (refused,) = [each for each in outcomes if isinstance(each, NotPossible)]
        assert str(refused) == "This server is being saved already."


async def test_what_is_kept_already_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        keep(stage, saved())
        assert "Delete one first" in await sentence(save_requests.begin(spawner(stage), stage.saves, "x", ""))
        begun = await save_requests.begin(spawner(stage, most=2), stage.saves, "x", "")
        assert begun.most_gb == 8.0


async def test_two_saves_at_once_together_become_no_larger_than_what_may_be_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        first = await save_requests.begin(spawner(stage, most=3, most_gb=30), stage.saves, "x", "")
        assert first.most_gb == 20
        assert await save_requests.kept_gb(stage.saves, ALICE) == [20]
        another = spawner(stage, most=3, most_gb=30)
        another.record = replace(another.record, attempt_id="b" * 16)
        assert (await save_requests.begin(another, stage.saves, "y", "")).most_gb == 10


async def test_a_hub_that_was_restarted_saves_nothing_before_it_has_looked_for_what_was_under_way(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as stage:
        await stage.saves.stop()
        stage.saves = saves_of(stage.fleet, stage.images)
        assert "has just started" in await sentence(save_requests.begin(spawner(stage), stage.saves, "x", ""))


async def test_what_an_earlier_user_of_the_same_name_kept_does_not_count_and_is_not_hers(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        keep(stage, saved(replace(WORDS, owner_id="0-alice")))
        assert await save_requests.kept_gb(stage.saves, ALICE) == []
        assert "no such saved image" in await sentence(save_requests.changeable(stage.saves, ALICE, IMAGE_ID))


async def test_an_image_that_is_frozen_while_somebody_asks_to_share_or_delete_it_stays_as_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        shared = keep(stage, saved(group="maps"))
        await save_requests.freeze(stage.saves, CATALOG, HOST, shared, frozen=True)
        assert "Thaw it first" in await sentence(save_requests.share(stage.saves, CATALOG, ALICE, shared, "", MAPS))
        assert "Thaw it first" in await sentence(save_requests.delete(stage.saves, shared))
        thawed = await save_requests.freeze(stage.saves, CATALOG, HOST, shared, frozen=False)
        await save_requests.share(stage.saves, CATALOG, ALICE, thawed, "", MAPS)
        assert "Share it" in await sentence(save_requests.freeze(stage.saves, CATALOG, HOST, thawed, frozen=True))


async def test_what_is_used_on_the_disk_is_held_against_what_may_be_kept_and_no_disk_holds_more_than_it_is_large(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as stage:
        asked = save_requests.begin(spawner(stage, used_gb=15.0), stage.saves, "x", "")
        assert "this instance holds 15 GB" in await sentence(asked)
        assert await save_requests.begin(spawner(stage, used_gb=1e6, most_gb=20), stage.saves, "x", "")


async def test_a_server_that_does_not_run_cannot_be_saved(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        stopped = spawner(stage)
        stopped.record = None
        assert "not running" in await sentence(save_requests.begin(stopped, stage.saves, "x", ""))


async def test_an_image_is_shared_with_a_group_its_owner_is_in_and_with_no_other(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        mine = keep(stage, saved())
        shared = await save_requests.share(stage.saves, CATALOG, ALICE, mine, "maps", MAPS)
        assert shared.group == "maps"
        assert "a group that you are in" in await sentence(
            save_requests.share(stage.saves, CATALOG, ALICE, mine, "strangers", MAPS)
        )
        assert (await save_requests.share(stage.saves, CATALOG, ALICE, shared, "", MAPS)).group == ""


async def test_where_sharing_is_not_allowed_nothing_is_shared(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        of_gpu = keep(stage, saved(replace(WORDS, parent="gpu")))
        assert "does not let people share" in await sentence(
            save_requests.share(stage.saves, CATALOG, ALICE, of_gpu, "maps", MAPS)
        )


async def test_a_host_freezes_for_a_group_and_a_frozen_image_is_neither_shared_anew_nor_deleted(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        mine = keep(stage, saved())
        assert "Only hosts" in await sentence(save_requests.freeze(stage.saves, CATALOG, ALICE, mine, frozen=True))
        assert "Share it" in await sentence(save_requests.freeze(stage.saves, CATALOG, HOST, mine, frozen=True))
        shared = await save_requests.share(stage.saves, CATALOG, HOST, mine, "maps", MAPS)
        frozen = await save_requests.freeze(stage.saves, CATALOG, HOST, shared, frozen=True)
        assert "Thaw it first" in await sentence(save_requests.delete(stage.saves, frozen))
        assert "Thaw it first" in await sentence(save_requests.share(stage.saves, CATALOG, HOST, frozen, "", MAPS))
        thawed = await save_requests.freeze(stage.saves, CATALOG, HOST, frozen, frozen=False)
        await save_requests.delete(stage.saves, thawed)
        assert not stage.images.kept


async def test_an_image_that_runs_somewhere_is_kept_by_the_cloud_and_that_is_said(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        mine = keep(stage, saved())
        stage.images.in_use.add(mine.id)
        assert "Stop that server first" in await sentence(save_requests.delete(stage.saves, mine))


async def test_nobody_changes_somebody_else_s_or_what_is_no_save(tmp_path: Path) -> None:
    async with running(tmp_path) as stage:
        keep(stage, saved(group="maps"))
        assert await sentence(save_requests.changeable(stage.saves, BOB, IMAGE_ID)) == await sentence(
            save_requests.changeable(stage.saves, BOB, "0f9e5c1e-0000-4000-8000-0000000000aa")
        )
        forged = sealed()
        stage.images.kept[IMAGE_ID] = replace(forged, properties={**forged.properties, "js2_owner": "bob"})
        await sentence(save_requests.changeable(stage.saves, BOB, IMAGE_ID))
