"""Servers started from saved images: checked anew in the cloud, under their parent's terms, taken up after a crash."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jupyterhub.spawner import Spawner

from js2spawner.asking import never_reused_id, who_is
from js2spawner.cloud.errors import Unreachable
from js2spawner.refusals import StartRefused
from js2spawner.saved import Key, Saved, may_start
from tests.unit.fleet.stand_ins import eventually
from tests.unit.hubs import CloudInMemory, Hub, hub_process, notebook_at
from tests.unit.saves.made import IMAGE_ID, WORDS, image

ADDRESS = "127.99.0.10"
SAVED = f"saved:{IMAGE_ID}"
OF_LASTING = replace(WORDS, parent="lasting")


@pytest.fixture(autouse=True)
def _addresses_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.fleet.stand_ins.ADDRESS", ADDRESS)


def keep(hub: Hub, *, of: str = "alice", owner_id: str = "") -> Saved:
    """A save of somebody's, in the cloud and sealed by this hub."""
    assert hub.settings.saves is not None
    key: Key = hub.settings.saves.images.key
    words = replace(OF_LASTING, owner=of, owner_id=owner_id or never_reused_id(hub.user(of)))
    begun = image(properties=key.begin(words))
    made = replace(begun, properties={**begun.properties, **key.seal(begun, words)})
    hub.compute.images.kept[IMAGE_ID] = made
    found = key.read(made, "IU")
    assert isinstance(found, Saved)
    return found


async def test_a_saved_image_starts_under_its_parent_s_terms_and_says_its_own_name(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        keep(hub)
        start = await hub.start(image=SAVED, flavor="m3.small")
        record = await hub.attempt()
        assert (record.plan.image, record.plan.saved, record.plan.image_title) == ("lasting", IMAGE_ID, "My course")
        await hub.bring_up(record)
        assert hub.compute.created[0].image_id == IMAGE_ID
        await start
        spawner = hub.user().spawner
        lease = spawner.lease()
        assert lease is not None
        assert 1700 < lease.seconds_left(datetime.now(UTC)) <= 1800
        assert (spawner.image_shown, spawner.allowance.most) == ("My course", 1)


async def test_a_renamed_user_keeps_what_they_saved_and_another_of_the_name_has_none_of_it(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        alice = hub.user()
        kept = keep(hub)
        alice.name = "alicia"
        hub.app.db.commit()
        assert may_start(kept, who_is(hub.user("alicia")))
        assert not may_start(kept, who_is(hub.user("alice")))


async def test_who_gets_the_name_and_the_number_of_a_removed_user_is_somebody_else(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        first, number = hub.user("carol"), hub.user("carol").id
        kept = keep(hub, of="carol")
        assert may_start(kept, who_is(first))
        hub.app.users.delete(first)
        second = hub.user("carol")
        assert second.id == number
        assert not may_start(kept, who_is(second))


@pytest.mark.parametrize("whose", ["a removed alice's", "somebody else's", "changed behind our back", "gone"])
async def test_what_is_not_provably_hers_is_not_started(tmp_path: Path, whose: str) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        owner_id = "0-2026-01-01T00:00:00" if whose == "a removed alice's" else ""
        keep(hub, of="bob" if whose == "somebody else's" else "alice", owner_id=owner_id)
        images = hub.compute.images.kept
        if whose == "gone":
            del images[IMAGE_ID]
        if whose == "changed behind our back":
            images[IMAGE_ID] = replace(images[IMAGE_ID], checksum="another")
        with pytest.raises(StartRefused) as refused:
            await hub.user().spawner._choice({"image": SAVED})
        assert "not shared with you" in str(refused.value)


async def test_a_cloud_that_does_not_answer_starts_no_saved_image(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        keep(hub)
        hub.compute.images.trouble = [Unreachable()] * 5
        start = await hub.start(image=SAVED)
        with pytest.raises(StartRefused, match="cannot be reached"):
            await start
        assert hub.compute.created == []


async def test_an_instance_of_the_parent_is_not_taken_for_one_of_the_saved_image(tmp_path: Path) -> None:
    compute = CloudInMemory()
    async with hub_process(tmp_path, compute) as hub:
        await hub.start(image="lasting", flavor="m3.small")
        await hub.boot(await hub.attempt())
    async with hub_process(tmp_path, compute) as hub:
        keep(hub)
        old = hub.fleet.live()[0]
        await hub.start(image=SAVED, flavor="m3.small")
        await eventually(lambda: (hub.fleet.get(old.attempt_id) or old).over)
        current = await hub.attempt()
        assert current.plan.saved == IMAGE_ID


async def test_the_form_offers_what_is_saved_and_goes_without_it_when_the_cloud_does_not_answer(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        keep(hub)
        spawner: Spawner = hub.user().spawner
        assert [each.title for each in await spawner.all_saved(3.0)] == ["My course"]
        hub.compute.images.trouble = [Unreachable()] * 5
        hub.settings.saves.images._forget("IU")  # type: ignore[union-attr]
        assert await spawner.all_saved(3.0) == []
