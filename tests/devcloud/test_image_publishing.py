"""Versions of an image in a cloud: what publishing leaves there whatever happens to calls, and what starts then get."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha512
from pathlib import Path
from typing import Any

import pytest

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError, QuotaExceeded
from js2spawner.cloud.records import Image, Server
from js2spawner.library import promoting, publishing
from js2spawner.library import properties as named
from js2spawner.library.builds import DISK, BootReport, Build, Builds, Busy
from js2spawner.library.converting import CannotPublish
from js2spawner.library.definition import Definition, FromScratch
from js2spawner.library.derived.leftovers import builder_id
from js2spawner.library.inventorying import record
from js2spawner.library.properties import from_parts
from js2spawner.library.pruning import Fate, Pruner
from js2spawner.library.published import current
from js2spawner.library.releasing import Publisher, Terms
from js2spawner.library.signing import SigningKey, verdict
from js2spawner.library.software import Package, unpacked
from tests.devcloud.client import Scene

DEFINITION = Definition(
    "minimal", "JupyterLab", "Little.", (), "us", FromScratch("bookworm", 300), (), (), "m3.tiny", "no", 30
)
PASSED = BootReport("2026-11-24T21:00:00+00:00", "tcg", {})
PACKAGES = (Package("deb", "bash", "5.2", "GPL-3+"), Package("pypi", "jupyterlab", "4.4", "BSD-3-Clause"))
PROMOTED = Terms(promote=True)
GIB = 1024**3


async def at_once(_: float) -> None:
    return None


@dataclass
class Shop:
    """A publisher with a cloud of its own, and builds to publish."""

    scene: Scene
    cloud: Cloud
    builds: Builds
    key: SigningKey
    said: list[str] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 24, 22, tzinfo=UTC)

    def built(self, number: int = 1, **changes: Any) -> Build:
        data = b"disk %d " % number * 1000
        build = Build(
            "minimal",
            f"2026112{number}T000000Z-1a2b3c4d",
            DEFINITION.key,
            "scratch",
            f"2026-11-2{number}T00:00:00+00:00",
        )
        build = replace(build, boot=PASSED, disk_sha512=sha512(data).hexdigest(), virtual_bytes=3 * GIB // 2, **changes)
        place = self.builds.place(build)
        place.mkdir(parents=True)
        (place / DISK).write_bytes(data)
        record.write(PACKAGES, place / record.NAME)
        self.builds.save(build)
        return build

    def publisher(self, convert: Callable[[Path, Path], None] = shutil.copyfile) -> Publisher:
        return Publisher(self.cloud, self.builds, self.key, self.said.append, convert, at_once, self._clock)

    def _clock(self) -> datetime:
        self.now += timedelta(hours=2)
        return self.now

    async def publish(self, build: Build, terms: Terms = Terms(), **more: Any) -> publishing.Published:  # noqa: B008
        return await self.publisher(**more).release(DEFINITION, build, terms)

    async def fails(self, build: Build, error: type[Exception] = CannotPublish, **more: Any) -> str:
        with pytest.raises(error) as raised:
            await self.publish(build, **more)
        return str(raised.value)

    async def images(self) -> list[Image]:
        return await self.cloud.images.list(properties={named.IMAGE: "minimal"})

    async def current(self) -> str | None:
        found = current(await self.cloud.images.list(), "minimal", self.key.keys)
        return found.properties[named.BUILD] if found else None

    async def promote(self, build: Build | None = None) -> bool:
        found = await promoting.promote(
            self.cloud, "minimal", build and build.id, self.key.keys, self._clock(), at_once
        )
        return found[1]

    async def rollback(self) -> str:
        return (await promoting.rollback(self.cloud, "minimal", self.key.keys, self._clock(), at_once))[1].build

    async def prune(self, **changes: Any) -> dict[str, Fate]:
        pruner = Pruner(self.cloud, self.builds, self.key.keys, **changes)
        return {fate.build: fate for fate in await pruner.in_cloud("minimal", self.now + timedelta(days=1))}

    async def arm(self, operation: str, effect: dict[str, Any], **when: int) -> None:
        match = {"operation": f"image.images.{operation}"}
        rule = {"name": f"under-test-{operation}", "match": match, "when": when or {"count": 1}, "effect": effect}
        assert (await self.scene.nobody.call("POST", "/devcloud/faults", rule)).status == 200

    def work_left(self) -> list[Path]:
        return list(self.builds.folder.rglob(".upload*"))


@pytest.fixture
async def shop(scene: Scene, tmp_path: Path) -> AsyncIterator[Shop]:
    cloud = Cloud("devcloud", config_file=str(scene.running.clouds_yaml))
    builds = Builds(tmp_path / "builds")
    yield Shop(scene, cloud, builds, SigningKey.make(tmp_path / "signing.key"))
    await cloud.close()


async def test_a_published_build_says_what_it_is_and_is_vouched_for(shop: Shop) -> None:
    build = shop.built()
    done = await shop.publish(build)
    [image] = await shop.images()
    assert (done.how, done.image.id) == ("uploaded", image.id)
    assert (image.name, image.status, image.visibility) == ("js2-minimal", "active", "private")
    assert (image.disk_format, image.min_disk_gb, image.min_ram_mb) == ("raw", 2, 3072)
    assert image.os_hash_value == build.disk_sha512
    assert image.properties["hw_disk_bus"] == "scsi"
    assert image.properties[named.TITLE] == "JupyterLab"
    assert image.properties[named.LICENCES] == "GPL-3+ 1, BSD-3-Clause 1"
    assert unpacked(from_parts(image.properties)) == PACKAGES
    assert named.UNTESTED not in image.properties
    assert verdict(image, shop.key.keys) == "good"
    assert await shop.current() is None
    assert shop.said[-1].endswith("(100 %).")
    assert shop.work_left() == []


async def test_publishing_twice_is_publishing_once(shop: Shop) -> None:
    build = shop.built()
    await shop.publish(build)
    assert (await shop.publish(build, PROMOTED)).how == "was there"
    assert len(await shop.images()) == 1
    assert await shop.current() == build.id


async def test_a_build_is_promoted_in_the_very_step_that_signs_it(shop: Shop) -> None:
    first, second = shop.built(1), shop.built(2)
    await shop.publish(first, PROMOTED)
    await shop.publish(second)
    assert await shop.current() == first.id
    await shop.arm("update", {"status": 500}, count=9)
    third = shop.built(3)
    await shop.fails(third, CloudError, terms=PROMOTED)
    assert await shop.current() == first.id
    await shop.scene.nobody.call("DELETE", "/devcloud/faults/under-test-update")
    assert (await shop.publish(third, PROMOTED)).how == "finished"
    assert await shop.current() == third.id


async def test_what_nobody_has_seen_boot_is_not_published(shop: Shop) -> None:
    untried = replace(shop.built(), boot=None)
    assert "js2 image test minimal" in await shop.fails(untried)
    failed = replace(untried, boot=replace(PASSED, failures=("no notebook within 300 s",)))
    assert "no notebook within 300 s" in await shop.fails(failed)
    assert await shop.images() == []
    await shop.publish(failed, Terms(untested=True))
    assert (await shop.images())[0].properties[named.UNTESTED] == "yes"


async def test_a_disk_that_is_not_what_was_built_is_not_published(shop: Shop) -> None:
    build = shop.built()
    (shop.builds.place(build) / DISK).write_bytes(b"something else")
    assert "not the disk that was built" in await shop.fails(build)
    (shop.builds.place(build) / DISK).unlink()
    assert "build it again" in await shop.fails(build)
    assert await shop.images() == []


async def test_no_room_for_the_raw_disk_is_said_before_anything_is_made(shop: Shop) -> None:
    build = replace(shop.built(), virtual_bytes=10**18)
    assert "--format qcow2" in await shop.fails(build)
    assert await shop.images() == []
    assert (await shop.publish(build, Terms(disk_format="qcow2"))).image.disk_format == "qcow2"


async def test_a_disk_that_fills_up_while_it_is_converted_leaves_nothing(shop: Shop) -> None:
    def full(_: Path, raw: Path) -> None:
        raw.write_bytes(b"some")
        raise OSError(28, "No space left on device")

    assert "No space left on device" in await shop.fails(shop.built(), convert=full)
    assert await shop.images() == []
    assert shop.work_left() == []


@pytest.mark.parametrize("effect", [{"lose": "after"}, {"status": 503, "done": True}])
async def test_a_lost_create_answer_never_leaves_two_images(shop: Shop, effect: dict[str, Any]) -> None:
    await shop.arm("create", effect)
    await shop.publish(shop.built())
    [image] = await shop.images()
    assert verdict(image, shop.key.keys) == "good"


async def test_a_create_that_never_happened_is_an_error_and_no_image(shop: Shop) -> None:
    await shop.arm("create", {"lose": "before"})
    assert "nothing was published" in await shop.fails(shop.built())
    assert await shop.images() == []


@pytest.mark.parametrize("effect", [{"lose": "after"}, {"status": 504, "done": True}])
async def test_an_upload_whose_answer_was_lost_is_taken_for_what_it_is(shop: Shop, effect: dict[str, Any]) -> None:
    await shop.arm("upload", effect)
    assert (await shop.publish(shop.built())).how == "uploaded"
    assert len(await shop.images()) == 1


async def test_a_connection_lost_while_uploading_leaves_nothing_half_published(shop: Shop) -> None:
    await shop.arm("upload", {"lose": "before"})
    build = shop.built()
    assert "The connection to the cloud was lost while uploading" in await shop.fails(build)
    assert await shop.images() == []
    assert (await shop.publish(build)).how == "uploaded"


async def test_an_upload_over_the_quota_is_named_and_leaves_nothing(shop: Shop) -> None:
    await shop.arm("upload", {"status": 413, "body": "<h1>413</h1>Image storage quota exceeded"})
    assert "quota" in await shop.fails(shop.built(), QuotaExceeded)
    assert await shop.images() == []


async def test_what_could_not_be_removed_is_removed_by_the_next_publisher(shop: Shop) -> None:
    await shop.arm("upload", {"lose": "before"})
    await shop.arm("delete", {"status": 503})
    build = shop.built()
    await shop.fails(build)
    [left] = await shop.images()
    assert (left.status, verdict(left, shop.key.keys)) == ("queued", "unsigned")
    assert (await shop.publish(build)).how == "uploaded"
    [image] = await shop.images()
    assert image.id != left.id
    assert any("interrupted" in line for line in shop.said)


async def test_a_publisher_killed_before_it_signed_is_taken_up_by_the_next(shop: Shop) -> None:
    build = shop.built()
    await shop.arm("update", {"status": 500}, count=9)
    await shop.fails(build, CloudError)
    [whole] = await shop.images()
    assert (whole.status, verdict(whole, shop.key.keys)) == ("active", "unsigned")
    await shop.scene.nobody.call("DELETE", "/devcloud/faults/under-test-update")
    done = await shop.publish(build)
    assert (done.how, done.image.id) == ("finished", whole.id)
    assert len(await shop.images()) == 1


@pytest.mark.parametrize("effect", [{"lose": "after"}, {"lose": "before"}, {"status": 503, "done": True}])
async def test_a_lost_answer_to_the_signature_signs_once(shop: Shop, effect: dict[str, Any]) -> None:
    await shop.arm("update", effect)
    build = shop.built()
    await shop.publish(build, PROMOTED)
    assert await shop.current() == build.id


async def test_what_arrived_broken_is_removed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "hashed", lambda *_: "0" * 128)
    assert "What arrived" in await shop.fails(shop.built())
    assert await shop.images() == []


async def test_a_new_key_takes_the_old_ones_place_and_what_starts_get_stays(shop: Shop, tmp_path: Path) -> None:
    build = shop.built()
    before = (await shop.publish(build, PROMOTED)).image
    old, shop.key = shop.key, SigningKey.make(tmp_path / "new.key")
    done = await shop.publish(build)
    assert (done.how, done.image.id) == ("finished", before.id)
    assert (verdict(done.image, shop.key.keys), verdict(done.image, old.keys)) == ("good", "unknown-key")
    assert done.image.properties[named.PROMOTED_AT] == before.properties[named.PROMOTED_AT]
    assert await shop.current() == build.id


async def test_a_new_key_signs_what_was_published_before_the_definition_changed_and_nothing_else_of_then(
    shop: Shop, tmp_path: Path
) -> None:
    before, never = shop.built(1), shop.built(2)
    await shop.publish(before)
    shop.key = SigningKey.make(tmp_path / "new.key")
    today = replace(DEFINITION, base=FromScratch("bookworm", 400))
    assert (await shop.publisher().release(today, before, Terms())).how == "finished"
    with pytest.raises(CannotPublish, match="another definition"):
        await shop.publisher().release(today, never, Terms())


async def test_a_version_that_another_key_signed_is_never_taken_for_an_interrupted_upload(
    shop: Shop, tmp_path: Path
) -> None:
    # Sent compressed, the same build has other bytes.
    def other_bytes(disk: Path, raw: Path) -> None:
        raw.write_bytes(disk.read_bytes() + b"\0")

    build = shop.built()
    before = (await shop.publish(build, PROMOTED)).image
    old, shop.key = shop.key, SigningKey.make(tmp_path / "new.key")
    assert (await shop.publish(build, convert=other_bytes)).how == "uploaded"
    assert verdict(await shop.cloud.images.get(before.id), old.keys) == "good"


async def test_an_image_that_another_project_shares_is_not_taken_for_published_here(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = shop.built()
    theirs = replace((await shop.publish(build)).image, owner="another")

    async def shared(**_: Any) -> list[Image]:
        return [theirs]

    monkeypatch.setattr(shop.cloud.images, "list", shared)
    assert (await shop.publish(build)).how == "uploaded"


async def test_a_users_snapshot_with_copied_properties_is_no_interrupted_upload(shop: Shop) -> None:
    build = shop.built()
    copied = {named.IMAGE: "minimal", named.KIND: named.PUBLISHED, named.BUILD: build.id, "image_type": "snapshot"}
    hers = (await shop.scene.hub.call("POST", "/image/v2/images", {"name": "hers", **copied})).body["id"]
    assert (await shop.publish(build)).image.id != hers
    assert (await shop.cloud.images.get(hers)).name == "hers"


async def test_an_image_that_changes_while_it_is_signed_is_not_told_to_be_published(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = shop.cloud.images.update

    async def somebody_too(image_id: str, **changes: Any) -> Image:
        done = await update(image_id, **changes)
        return await update(image_id, put={named.TITLE: "Mine"}) if named.SIGNATURE in changes["put"] else done

    monkeypatch.setattr(shop.cloud.images, "update", somebody_too)
    assert "was changed while it was signed" in await shop.fails(shop.built())


async def test_a_change_that_somebody_else_came_before_is_made_all_the_same(shop: Shop) -> None:
    await three(shop)
    await shop.arm("update", {"status": 409, "body": "<h1>409</h1>Property js2_promoted_at does not exist"})
    assert (await shop.rollback())[:9] == "20261122T"


async def test_one_publication_of_an_image_at_a_time(shop: Shop) -> None:
    build = shop.built()
    with shop.builds.alone("publication of minimal"):
        assert "publication of minimal is under way" in await shop.fails(build, Busy)
    assert (await shop.publish(build)).how == "uploaded"


async def test_a_derived_build_is_signed_where_it_lies(shop: Shop) -> None:
    path, headers = "/image/v2/images", {"Content-Type": "application/octet-stream"}
    asked = {
        "name": "js2-gpu",
        "disk_format": "raw",
        "container_format": "bare",
        "image_type": "snapshot",
        named.SIGNATURE: "of the image its instance came from",
        named.PROMOTED_AT: "2026-01-01T00:00:00+00:00",
    }
    saved = (await shop.scene.hub.call("POST", path, asked)).body["id"]
    build = replace(shop.built(), kind="derived", cloud="devcloud", cloud_image=saved)
    assert "not active" in await shop.fails(build)
    await shop.scene.hub.call("PUT", f"{path}/{saved}/file", b"data", headers=headers)
    assert "--cloud elsewhere" in await shop.fails(replace(build, cloud="elsewhere"))
    done = await shop.publish(build)
    assert (done.how, done.image.id) == ("signed", saved)
    assert verdict(done.image, shop.key.keys) == "good"
    assert await shop.current() is None
    await shop.promote()
    assert await shop.current() == build.id
    assert "gone from the cloud" in await shop.fails(
        replace(build, id="another", cloud_image="11111111-1111-1111-1111-111111111111")
    )


async def derived(shop: Shop, number: int) -> Build:
    """A derived build and its image, which nobody has published."""
    asked = {"name": "js2-derived", "disk_format": "raw", "container_format": "bare"}
    image_id = (await shop.scene.hub.call("POST", "/image/v2/images", asked)).body["id"]
    headers = {"Content-Type": "application/octet-stream"}
    await shop.scene.hub.call("PUT", f"/image/v2/images/{image_id}/file", b"data", headers=headers)
    return shop.built(number, kind="derived", cloud="devcloud", cloud_image=image_id)


async def test_a_derived_build_is_shown_to_whom_the_publisher_says(shop: Shop) -> None:
    build = await derived(shop, 1)
    assert (await shop.publish(build, Terms(visibility="community"))).image.visibility == "community"


async def test_a_derived_build_that_has_much_to_say_of_itself_keeps_to_glances_quota(shop: Shop) -> None:
    build = await derived(shop, 1)
    record.write(tuple(Package("deb", sha512(b"%d" % n).hexdigest()[:60], "1", "MIT") for n in range(300)),
                 shop.builds.place(build) / record.NAME)  # fmt: skip
    of_the_base = {f"os_property_{number}": "x" for number in range(60)}
    await shop.cloud.images.update(build.cloud_image, put=of_the_base)
    image = (await shop.publish(build, PROMOTED)).image
    assert len(image.properties) <= 128
    assert image.properties.items() >= of_the_base.items()


async def test_a_derived_build_that_was_never_published_takes_its_image_along(shop: Shop) -> None:
    builds = [await derived(shop, number) for number in (1, 2, 3, 4)]
    ids = [build.cloud_image for build in builds]
    await shop.publish(builds[0])
    pruner = Pruner(shop.cloud, shop.builds, shop.key.keys)
    assert [fate.delete for fate in await pruner.here("minimal")] == [False, False, True, True]
    there = {image.id for image in await shop.cloud.images.list(name="js2-derived")}
    assert there == {ids[0], ids[2], ids[3]}


async def test_a_derived_build_that_no_record_names_is_pruned_unless_an_instance_uses_it(shop: Shop) -> None:
    used, kept, lost = [await derived(shop, number) for number in (1, 2, 3)]
    by = {named.KIND: named.BUILT, named.IMAGE: "minimal", named.BUILT_BY: builder_id(shop.builds)}
    for build in (used, kept, lost):
        own = {named.BUILD: build.id, named.BUILT_AS: build.cloud_image}
        await shop.cloud.images.update(build.cloud_image, put={**by, **own})
    for build in (used, lost):
        shutil.rmtree(shop.builds.place(build))
    await shop.scene.hub.active("hers", imageRef=used.cloud_image)
    shop.now = datetime.now(UTC)
    fates = await shop.prune()
    assert {name: fate.delete for name, fate in fates.items()} == {used.id: False, lost.id: True}
    assert {image.id for image in await shop.images()} == {used.cloud_image, kept.cloud_image}


async def test_a_derived_build_whose_image_an_instance_uses_keeps_the_record_that_names_it(shop: Shop) -> None:
    oldest, *_ = [await derived(shop, number) for number in (1, 2, 3)]
    await shop.scene.hub.active("hers", imageRef=oldest.cloud_image)
    fates = await Pruner(shop.cloud, shop.builds, shop.key.keys).here("minimal")
    assert (fates[-1].delete, "an instance uses its image" in fates[-1].why) == (False, True)
    assert shop.builds.of("minimal")[-1] == oldest


async def three(shop: Shop) -> list[Build]:
    builds = [shop.built(number) for number in (1, 2, 3)]
    for build in builds:
        await shop.publish(build, PROMOTED)
    return builds


async def test_each_rollback_goes_one_step_back_and_a_promotion_comes_again(shop: Shop) -> None:
    first, second, third = await three(shop)
    assert await shop.current() == third.id
    assert await shop.rollback() == second.id == await shop.current()
    assert await shop.rollback() == first.id == await shop.current()
    with pytest.raises(CannotPublish, match="none to go back to"):
        await shop.rollback()
    with pytest.raises(CannotPublish, match=f"js2 image promote minimal {third.id}"):
        await shop.promote()
    assert await shop.promote(third)
    assert not await shop.promote(third)
    assert await shop.current() == third.id
    assert await shop.rollback() == first.id


@pytest.mark.parametrize("effect", [{"lose": "after"}, {"lose": "before"}, {"status": 503, "done": True}])
async def test_a_rollback_whose_answer_was_lost_is_one_step(shop: Shop, effect: dict[str, Any]) -> None:
    _, second, third = await three(shop)
    await shop.arm("update", effect)
    assert await shop.rollback() == second.id == await shop.current()
    await shop.arm("update", effect)
    await shop.promote(third)
    assert await shop.current() == third.id


async def test_an_image_changed_behind_our_back_is_no_version(shop: Shop) -> None:
    first, second, third = await three(shop)
    [image] = [image for image in await shop.images() if image.properties[named.BUILD] == third.id]
    await shop.cloud.images.update(image.id, put={named.TITLE: "Something else"})
    assert await shop.current() == second.id
    with pytest.raises(CannotPublish, match="there are: "):
        await shop.promote(third)
    assert await shop.rollback() == first.id


async def test_two_versions_stay_and_an_older_one_goes(shop: Shop) -> None:
    first, second, third = await three(shop)
    waiting = shop.built(4)
    await shop.publish(waiting)
    assert (await shop.prune(dry_run=True))[first.id].delete
    assert len(await shop.images()) == 4
    fates = await shop.prune()
    assert {build for build, fate in fates.items() if fate.delete} == {first.id}
    assert {image.properties[named.BUILD] for image in await shop.images()} == {second.id, third.id, waiting.id}


async def test_an_old_version_that_an_instance_uses_stays_as_long_as_it_does(shop: Shop) -> None:
    first, _, _ = await three(shop)
    [image] = [image for image in await shop.images() if image.properties[named.BUILD] == first.id]
    server = await shop.scene.hub.active("hers", imageRef=image.id)
    fate = (await shop.prune())[first.id]
    assert (fate.delete, "1 instance uses it (hers)" in fate.why) == (False, True)
    await shop.scene.hub.call("DELETE", f"/compute/v2.1/servers/{server['id']}")
    await shop.scene.hub.gone(f"/compute/v2.1/servers/{server['id']}")
    assert (await shop.prune())[first.id].delete


async def test_a_version_that_the_storage_holds_on_to_stays(shop: Shop) -> None:
    first, _, _ = await three(shop)
    await shop.arm("delete", {"status": 409, "body": "<h1>409</h1>Image x could not be deleted because it is in use"})
    assert not (await shop.prune())[first.id].delete


async def test_a_version_that_is_promoted_while_it_is_pruned_stays(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, _ = await three(shop)
    look = shop.cloud.compute.servers_of_image

    async def somebody_is_quicker(image_id: str) -> list[Server]:
        await shop.promote(first)
        return await look(image_id)

    monkeypatch.setattr(shop.cloud.compute, "servers_of_image", somebody_is_quicker)
    assert "changed it meanwhile" in (await shop.prune())[first.id].why
    assert await shop.current() == first.id


async def test_a_protected_version_keeps_none_of_the_others_from_going(shop: Shop) -> None:
    first, second, _ = await three(shop)
    [image] = [image for image in await shop.images() if image.properties[named.BUILD] == second.id]
    await shop.cloud.images.update(image.id, put={"protected": True})
    fates = await shop.prune(keep=1)
    assert (fates[second.id].delete, "protected" in fates[second.id].why, fates[first.id].delete) == (False, True, True)


async def test_what_another_project_shares_is_neither_pruned_nor_promoted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, third = await three(shop)
    found = [
        replace(image, owner="another") if image.properties[named.BUILD] == first.id else image
        for image in await shop.images()
    ]

    async def shared(**_: Any) -> list[Image]:
        return found

    monkeypatch.setattr(shop.cloud.images, "list", shared)
    assert first.id not in await shop.prune(keep=1)
    [theirs] = [image for image in found if image.owner == "another"]
    assert (await shop.cloud.images.get(theirs.id)).properties[named.BUILD] == first.id
    with pytest.raises(CannotPublish, match=f"there are: {third.id}"):
        await shop.promote(first)


async def test_strays_go_after_a_day_and_other_peoples_images_never(shop: Shop) -> None:
    await shop.arm("upload", {"lose": "before"})
    await shop.arm("delete", {"status": 503})
    build = shop.built()
    await shop.fails(build)
    theirs = {"name": "js2-minimal", named.IMAGE: "minimal", named.KIND: named.PUBLISHED, named.BUILD: "theirs"}
    await shop.scene.other.call("POST", "/image/v2/images", {**theirs, "visibility": "community"})
    await shop.scene.hub.call("POST", "/image/v2/images", {**theirs, named.BUILD: "unsigned"})
    shop.now = datetime.now(UTC) - timedelta(days=1)
    young = await shop.prune()
    assert {name: fate.delete for name, fate in young.items()} == {build.id: False, "unsigned": False}
    shop.now = datetime.now(UTC) + timedelta(hours=1)
    assert (await shop.prune())[build.id].delete
    assert [image.properties[named.BUILD] for image in await shop.images()] == ["unsigned"]


async def test_a_publisher_that_is_told_to_stop_takes_its_upload_along(shop: Shop) -> None:
    await shop.arm("upload", {"delay_s": 3600})
    publishing_it = asyncio.create_task(shop.publish(shop.built()))
    async with asyncio.timeout(20):
        while not await shop.images():
            await asyncio.sleep(0.02)
    publishing_it.cancel()
    with suppress(asyncio.CancelledError):
        await publishing_it
    assert await shop.images() == []
