"""The hub's homes over the embedded cloud's own HTTP: made, attached, found stuck, copied, restored, ended."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from js2spawner import cli
from js2spawner.catalog import Catalog
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import Unreachable
from js2spawner.cloud.records import Image
from js2spawner.cloud.settings import CloudSettings
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.files import uploaded
from js2spawner.fleet.home_attaching import Pace
from js2spawner.fleet.home_keeping import HomeKeeping
from js2spawner.fleet.home_ledger import HomeLedger
from js2spawner.fleet.homes import Homes
from js2spawner.home_commands.common import Wanted
from js2spawner.home_commands.delete import mark as mark_for_deletion
from js2spawner.home_commands.exporting import Exported, Exporter, Wish
from js2spawner.home_commands.restore import from_snapshot
from js2spawner.home_commands.snapshot import take
from js2spawner.home_copies import CLEAN, COPIED_AT, EXPORT_OF, LEFT_BEHIND_S, ON_REQUEST
from js2spawner.homes import SNAPSHOTS, USED_AT, text_of
from js2spawner.instance import Booting, Deadlines, HomeUse, Owner, Record
from js2spawner.sightings import HomeAttached, HomeDetached, HomeTrouble
from tests.devcloud.client import Scene
from tests.unit import lives
from tests.unit.homes.scenes import ALICE, ALICE_ID, CATALOG, VOLUME

HUB = "5f1d7a3e-0000-4000-8000-00000000abcd"
NOBODY = "00000000-dead-4000-8000-000000000000"


@dataclass
class Hub:
    """The homes of a hub in one region, and its records."""

    scene: Scene
    homes: Homes
    catalog: Catalog
    clock: list[float]
    records: list[Record] = field(default_factory=list)

    async def use(self, owner: Owner = ALICE, user_id: str = ALICE_ID) -> HomeUse:
        home, region = await self.homes.use(owner, user_id, VOLUME, self.catalog.regions[:1])
        assert region == "IU"
        return home

    async def attempt(self, home: HomeUse, home_s: float = 10.0) -> Record:
        server = await self.scene.hub.active(metadata={"js2_hub": HUB})
        record = lives.record(
            Booting(0, server["id"], lives.ADDRESS),
            attempt_id=server["id"].replace("-", "")[:16],
            plan=replace(lives.PLAN, home=home, deadlines=Deadlines(home_s=home_s)),
        )
        self.records.append(record)
        return record

    async def shown(self, home: HomeUse) -> Any:
        return (await self.scene.hub.get(f"/volume/v3/volumes/{home.id}"))["volume"]

    async def spoil(self, home: HomeUse, **how: Any) -> None:
        """What becomes of the volume behind everybody's back."""
        path = f"/devcloud/volumes/{home.id}"
        seen = await self.scene.nobody.call("PUT", path, how)
        assert seen.status == 200, seen


@pytest.fixture
async def hub(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr("js2spawner.fleet.homes_in_cloud.LOOK_EVERY_S", 0.01)
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    catalog, log = Catalog.load(file), logging.getLogger("homes")
    settings = CloudSettings(calls_per_second=1000, burst=1000)
    cloud = Cloud("devcloud", config_file=str(scene.running.clouds_yaml), settings=settings)
    desks: Any = {"IU": SimpleNamespace(region=catalog.regions[0], cloud=cloud, down=False)}
    records: list[Record] = []
    clock = [scene.clock.now().timestamp()]
    homes = Homes(
        desks,
        catalog,
        HUB,
        records=lambda: records,
        ledger=HomeLedger(tmp_path / "homes.json", log),
        log=log,
        clock=lambda: clock[0],
        pace=Pace(first_look_s=0.01, latest_look_s=0.05, stuck_s=0.3),
    )
    yield Hub(scene, homes, catalog, clock, records)
    await homes.stop()
    await cloud.close()


async def test_a_home_is_made_attached_and_let_go_of(hub: Hub) -> None:
    home = await hub.use()
    record = await hub.attempt(home)
    assert await hub.homes.attach(record) == HomeAttached()
    shown = await hub.shown(home)
    assert (shown["status"], shown["attachments"][0]["server_id"]) == ("in-use", record.server_id)
    assert await hub.homes.detach(record) == HomeDetached()
    assert (await hub.shown(home))["status"] == "available"
    assert await hub.use() == home


@pytest.mark.parametrize("status", ["in-use", "detaching"])
async def test_what_somebody_who_is_gone_holds_is_told_of_and_left_to_an_administrator(hub: Hub, status: str) -> None:
    """Cinder asks Nova about it in the caller's name, and no application credential is good for that."""
    home = await hub.use()
    record = await hub.attempt(home)
    await hub.homes.attach(record)
    await hub.homes.detach(record)
    await hub.spoil(home, status=status, attached_to=NOBODY)
    assert isinstance(await hub.homes.attach(record), HomeTrouble)
    assert [held["server_id"] for held in (await hub.shown(home))["attachments"]] == [NOBODY]
    await hub.spoil(home, status="available", attached_to="")
    assert await hub.homes.attach(record) == HomeAttached()


async def test_a_reservation_for_an_instance_that_never_came_is_dropped(hub: Hub) -> None:
    home = await hub.use()
    record = await hub.attempt(home)
    asked = {"attachment": {"volume_uuid": home.id, "instance_uuid": NOBODY}}
    seen = await hub.scene.hub.call(
        "POST", "/volume/v3/attachments", asked, headers={"OpenStack-API-Version": "volume 3.27"}
    )
    assert seen.status == 200, seen
    assert (await hub.shown(home))["status"] == "reserved"
    assert await hub.homes.attach(record) == HomeAttached()


@pytest.mark.parametrize("status", ["attaching", "reserved", "detaching", "in-use"])
async def test_a_volume_that_is_on_its_way_for_nobody_is_had_again(hub: Hub, status: str) -> None:
    home = await hub.use()
    record = await hub.attempt(home)
    await hub.spoil(home, status=status)
    assert await hub.homes.attach(record) == HomeAttached()


async def test_a_broken_volume_is_told(hub: Hub) -> None:
    home = await hub.use()
    record = await hub.attempt(home)
    await hub.spoil(home, status="error")
    found = await hub.homes.attach(record)
    assert isinstance(found, HomeTrouble)
    assert found.failure.name == "home-broken"


async def test_what_an_ending_instance_has_is_waited_for(hub: Hub) -> None:
    home = await hub.use()
    before, after = await hub.attempt(home), await hub.attempt(home)
    await hub.homes.attach(before)
    hub.records.remove(before)
    # Nobody speaks for it any more, and it goes.
    assert (await hub.scene.hub.call("DELETE", f"/compute/v2.1/servers/{before.server_id}")).status == 204
    assert await hub.homes.attach(after) == HomeAttached()
    assert (await hub.shown(home))["attachments"][0]["server_id"] == after.server_id


async def test_a_home_is_copied_while_it_is_mounted_and_the_copy_takes_its_place(hub: Hub) -> None:
    home = await hub.use()
    there = hub.homes.in_cloud["IU"]
    record = await hub.attempt(home)
    await hub.homes.attach(record)
    now = text_of(hub.clock[0])
    await there.mark(await there.get("volume", home.id), {"js2_formatted": "yes", USED_AT: now, SNAPSHOTS: "24h/2"})
    await HomeKeeping(hub.homes, kinds=("volume",)).round("IU")
    (snapshot,) = await there.snapshots()
    assert not snapshot.clean
    await there.snapshot_settled(snapshot, 10)
    await hub.homes.detach(record)
    asked = await take(there, await there.get("volume", home.id), ON_REQUEST)
    assert asked.clean
    restored = await from_snapshot({"IU": there}, Wanted("alice"), asked.id)
    assert restored.id != home.id
    assert CLEAN not in restored.metadata
    hub.homes.finding._lists.clear()
    assert (await hub.use()).id == restored.id


async def test_a_home_whose_grace_is_over_is_gone_with_its_snapshots(
    hub: Hub, eventually: Callable[..., Awaitable[None]]
) -> None:
    home = await hub.use()
    there = hub.homes.in_cloud["IU"]
    made = await there.until_settled(await there.get("volume", home.id), 10)
    await take(there, made, ON_REQUEST)
    await mark_for_deletion({"IU": there}, Wanted("alice"), 0)
    hub.clock[0] += 3600
    keeping = HomeKeeping(hub.homes, kinds=("volume",))

    async def nothing_is_left() -> bool:
        await keeping.round("IU")
        return not await there.of_kind("volume") and not await there.snapshots()

    await eventually(nothing_is_left)


async def test_the_commands_see_and_change_the_same_homes(hub: Hub, tmp_path: Path) -> None:
    home = await hub.use()
    await hub.homes.in_cloud["IU"].until_settled(await hub.homes.in_cloud["IU"].get("volume", home.id), 10)
    one_region = tmp_path / "one.yaml"
    without = re.sub("  TACC: .*\n", "", CATALOG)
    one_region.write_text(without.replace("{cloud: js2}", "{cloud: devcloud}"))

    async def js2(*words: str) -> str:
        options = ["--catalog", str(one_region), "--clouds", str(hub.scene.running.clouds_yaml), "--hub-id", HUB]
        done = await asyncio.to_thread(CliRunner().invoke, cli.main, ["home", *words, *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    (listed,) = json.loads(await js2("list", "--json"))
    assert (listed["id"], listed["status"], listed["size_gb"]) == (home.id, "available", 10)
    await js2("grow", "alice", "12")
    assert (await hub.shown(home))["size"] == 12
    await js2("snapshot", "alice")
    assert "at rest" in await js2("show", "alice")
    await js2("restore", "alice", "--snapshot", "latest")
    assert [each["role"] for each in json.loads(await js2("list", "--all", "--json"))] == ["home", "old"]
    assert "with its snapshots" in await js2("delete", "alice", "--confirm", "alice")


async def test_an_export_goes_on_where_it_broke_off_and_what_is_left_of_one_goes_in_time(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pour_out(cloud: DevCloud, volume: Any, image_id: str) -> bool:
        # The whole of the home is 10 GB, which nobody has to carry about to see what becomes of images.
        uploaded(cloud, image_id).parent.mkdir(exist_ok=True)
        uploaded(cloud, image_id).write_bytes(b"the home")
        return True

    monkeypatch.setattr("js2spawner.devcloud.cinder.actions.pour_out", pour_out)
    monkeypatch.setattr("js2spawner.home_commands.exporting.LOOK_EVERY_S", 0.01)
    there = hub.homes.in_cloud["IU"]
    home = await there.until_settled(await there.get("volume", (await hub.use()).id), 10)

    async def breaks_off(*_: Any) -> None:
        raise Unreachable("no route")

    async def export(name: str) -> Exported:
        wish = Wish(tmp_path / name, "raw")
        return await Exporter(there, home, wish, lambda _: None, lambda: hub.clock[0]).run()

    async def broken_off() -> Image:
        with monkeypatch.context() as broken:
            broken.setattr(there.cloud.images, "download", breaks_off)
            with pytest.raises(Unreachable):
                await export("broken.raw")
        (left,) = await there.exported([home])
        return left

    left = await broken_off()
    assert (left.status, left.properties[EXPORT_OF]) == ("active", home.id)
    done = await export("alice.raw")
    assert text_of(done.copied_at) == left.properties[COPIED_AT]
    assert done.file.stat().st_size == done.size_bytes == left.size_bytes
    assert await there.exported([home]) == []
    await broken_off()
    hub.clock[0] += LEFT_BEHIND_S + 60
    await HomeKeeping(hub.homes, kinds=("volume",)).round("IU")
    assert await there.exported([home]) == []
