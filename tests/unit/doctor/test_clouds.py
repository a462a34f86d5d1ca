from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import ClassData, FlavorEntry, Home, ImageEntry, Snapshots
from js2spawner.cloud.errors import (
    BadCloudConfig,
    BadNetwork,
    CloudError,
    Forbidden,
    Gone,
    SignInFailed,
    Unreachable,
)
from js2spawner.cloud.records import Flavor, Image, Limits, Network, VolumeLimits
from js2spawner.doctor.clouds import (
    Examined,
    check_flavors,
    check_images,
    check_limits,
    check_same_images,
    examine_clouds,
    examine_place,
)
from js2spawner.doctor.findings import Finding, any_fails
from js2spawner.doctor.places import Place, places
from js2spawner.doctor.storage import check_volumes, examine_storage
from tests.unit.library.in_glance import KEY, T0, signed
from tests.unit.library.in_glance import image as published

SMALL = FlavorEntry(name="m3.small", title="Small", vcpus=2, memory_gb=6, disk_gb=20, su_per_hour=2)
LARGE = FlavorEntry(name="m3.large", title="Large", vcpus=16, memory_gb=60, disk_gb=60, su_per_hour=16)
PYTHON = ImageEntry(name="python", title="Python", description="Python.", image="python-image", profile="usual")
PLACE = Place("region here", "devcloud", None, "private", (PYTHON,), (SMALL, LARGE))


def image(name: str = "python-image", status: str = "active") -> Image:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    return Image(f"id-of-{name}", name, status, "public", 1, 0, 0, created, "", {})


def flavor(entry: FlavorEntry, **changes: Any) -> Flavor:
    values: dict[str, Any] = {"vcpus": entry.vcpus, "ram_mb": int(entry.memory_gb * 1024), "extra_specs": {}} | changes
    return Flavor(f"id-of-{entry.name}", entry.name, disk_gb=20, **values)


def limits(**changes: int | None) -> Limits:
    values: dict[str, int | None] = {
        "instances_used": 0,
        "instances_max": 10,
        "cores_used": 0,
        "cores_max": 100,
        "ram_mb_used": 0,
        "ram_mb_max": None,
    }
    return Limits(**(values | changes))  # type: ignore[arg-type]


def volumes(**changes: int | None) -> VolumeLimits:
    values: dict[str, int | None] = {
        "volumes_used": 0,
        "volumes_max": 10,
        "gigabytes_used": 0,
        "gigabytes_max": 1000,
        "snapshots_used": 0,
        "snapshots_max": 10,
    }
    return VolumeLimits(**(values | changes))  # type: ignore[arg-type]


async def examine(place: Place, cloud: Any) -> list[Finding]:
    return list((await examine_place(place, cloud)).findings)


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


@dataclass
class Service:
    """Stands for one service: answers a value, or raises it."""

    answer: object = None

    async def __call__(self, *_: object, **__: object) -> Any:
        if isinstance(self.answer, CloudError):
            raise self.answer
        return self.answer


@dataclass
class FakeCloud:
    sign_in: Service = field(default_factory=Service)
    list_images: Service = field(default_factory=lambda: Service([image()]))
    list_flavors: Service = field(default_factory=lambda: Service([flavor(SMALL), flavor(LARGE)]))
    ask_limits: Service = field(default_factory=lambda: Service(limits()))
    find: Service = field(default_factory=lambda: Service(Network("n", "private", external=False)))
    volume_limits: Service = field(default_factory=lambda: Service(volumes()))
    snapshot: Service = field(default_factory=Service)
    list_shares: Service = field(default_factory=lambda: Service([]))
    share: Service = field(default_factory=Service)

    def __post_init__(self) -> None:
        self.images = _Room(list=self.list_images)
        self.compute = _Room(flavors=self.list_flavors, limits=self.ask_limits)
        self.network = _Room(find_network=self.find)
        self.volumes = _Room(limits=self.volume_limits, get_snapshot=self.snapshot)
        self.shares = _Room(list=self.list_shares, get=self.share)


class _Room:
    def __init__(self, **calls: Callable[..., object]) -> None:
        self.__dict__.update(calls)


async def test_a_cloud_with_everything_is_all_ok():
    findings = await examine(PLACE, FakeCloud())
    assert levels(findings) == ["ok"] * 6


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [(SignInFailed(), "application credential"), (Unreachable(), "auth_url"), (BadCloudConfig(), "clouds.yaml")],
)
async def test_a_failed_sign_in_is_the_only_finding_and_says_what_to_do(problem: CloudError, remedy: str):
    findings = await examine(PLACE, FakeCloud(sign_in=Service(problem)))
    assert levels(findings) == ["fail"]
    assert remedy in findings[0].remedy


async def test_one_service_that_refuses_does_not_hide_the_others():
    findings = await examine(PLACE, FakeCloud(list_images=Service(Forbidden("policy"))))
    assert sorted(levels(findings)) == ["fail"] + ["ok"] * 5


async def test_a_missing_network_fails():
    findings = await examine(PLACE, FakeCloud(find=Service(BadNetwork("No networks"))))
    assert any_fails(findings)


async def test_volumes_are_not_needed_for_a_start():
    findings = await examine(PLACE, FakeCloud(volume_limits=Service(Forbidden())))
    assert not any_fails(findings)
    assert "warn" in levels(findings)


async def test_a_clouds_yaml_that_does_not_exist_is_a_finding_and_no_error(tmp_path):
    findings = await examine_clouds([PLACE], str(tmp_path / "clouds.yaml"))
    assert levels(findings) == ["fail"]


def test_an_image_may_be_named_by_name_or_id():
    by_id = PYTHON.model_copy(update={"image": "id-of-python-image"})
    place = Place("region here", "devcloud", None, None, (PYTHON, by_id), ())
    assert levels(check_images(place, [image()])) == ["ok"]


@pytest.mark.parametrize("found", [[], [image(status="queued")], [image(name="other")]])
def test_an_image_that_is_missing_or_not_active_fails(found: list[Image]):
    assert levels(check_images(PLACE, found)) == ["fail"]


def test_an_image_of_the_library_that_nobody_vouches_for_fails_with_what_to_do():
    entry = PYTHON.model_copy(update={"image": None, "library": "minimal"})
    place = Place("region here", "devcloud", None, None, (entry,), (), KEY.keys)
    good = signed(published("b1"), promoted=T0)
    assert levels(check_images(place, [good])) == ["ok"]
    [changed] = check_images(place, [replace(good, os_hash_value="others")])
    assert (changed.level, "not what was signed" in changed.sentence) == ("fail", True)
    [missing] = check_images(place, [])
    assert (missing.level, "js2 image publish minimal" in missing.sentence) == ("fail", True)


def test_one_missing_flavor_is_a_warning_since_others_serve():
    assert levels(check_flavors(PLACE, [flavor(SMALL)])) == ["warn"]


def test_a_disabled_flavor_is_a_missing_one():
    assert levels(check_flavors(PLACE, [flavor(SMALL), flavor(LARGE, disabled=True)])) == ["warn"]


def test_no_flavor_at_all_is_a_failure():
    assert levels(check_flavors(PLACE, [])) == ["fail", "fail"]


def test_a_flavor_smaller_than_the_catalog_says_is_a_warning():
    findings = check_flavors(PLACE, [flavor(SMALL), flavor(LARGE, ram_mb=30000)])
    assert levels(findings) == ["warn"]
    assert "m3.large is smaller" in findings[0].sentence


def test_the_limit_that_binds_first_is_named_with_how_many_still_fit():
    finding = check_limits(PLACE, limits(instances_max=10, cores_used=90, cores_max=100))[0]
    assert finding.sentence == "5 more instances of m3.small can start; the limit on cores binds first."


def test_a_limit_that_is_reached_is_a_warning():
    assert levels(check_limits(PLACE, limits(instances_used=10))) == ["warn"]


def test_limits_of_none_bind_nothing():
    unlimited = limits(instances_max=None, cores_max=None)
    assert check_limits(PLACE, unlimited)[0].sentence == "Nothing limits how many instances may run."


def test_a_card_that_the_catalog_does_not_know_of_is_told():
    plain, card = check_flavors(PLACE, [flavor(SMALL), flavor(LARGE, extra_specs={"resources:VGPU": "1"})])[1:]
    assert (plain.level, "m3.large carries a GPU" in plain.sentence) == ("warn", True)
    assert card.sentence == "m3.large can be had, as far as anybody knows before trying."


def test_an_image_that_needs_a_card_where_none_is_open_is_told():
    torch = PYTHON.model_copy(update={"name": "torch", "gpu": "required"})
    findings = check_flavors(replace(PLACE, images=(torch,)), [flavor(SMALL), flavor(LARGE)])
    assert [finding.sentence for finding in findings if finding.level == "warn"] == [
        "No flavor with a GPU is open here, so torch cannot start."
    ]


# ---- several regions ------------------------------------------------------------------------------------------------


FAR = Place("region far", "devcloud", "FAR", "private", further=(PYTHON,), flavors=(SMALL,))


def hashed(value: str) -> Image:
    return replace(image(), os_hash_algo="sha512", os_hash_value=value)


def test_an_image_that_is_the_same_in_each_region_is_told_as_that():
    same = [Examined(PLACE, (), (hashed("x"),)), Examined(FAR, (), (hashed("x"),))]
    assert [finding.sentence for finding in check_same_images(same)] == ["1 are the same in each of their regions."]


def test_a_region_with_other_data_under_the_name_is_told():
    [finding] = check_same_images([Examined(FAR, (), (hashed("y"),)), Examined(PLACE, (), (hashed("x"),))])
    assert (finding.level, finding.about) == ("warn", "region far: images")
    assert "holds other data than in region here" in finding.sentence


def test_regions_that_could_not_be_asked_or_lack_the_image_are_not_compared():
    assert check_same_images([Examined(PLACE, (), None), Examined(FAR, (), (hashed("x"),))]) == []
    assert check_same_images([Examined(PLACE, (), (hashed("x"),))]) == []


def test_versions_of_the_library_that_differ_are_told_with_the_command_that_helps():
    entry = PYTHON.model_copy(update={"image": None, "library": "minimal"})
    here, there = (signed(published(build), promoted=T0) for build in ("b1", "b2"))
    places = [replace(PLACE, images=(entry,), image_keys=KEY.keys), replace(FAR, further=(entry,), image_keys=KEY.keys)]
    [finding] = check_same_images(
        [Examined(place, (), (one,)) for place, one in zip(places, (here, there), strict=True)]
    )
    assert "another version" in finding.sentence
    assert "js2 image publish minimal" in finding.remedy


async def test_what_is_wrong_in_a_region_that_is_only_a_way_out_keeps_nobody_from_an_instance():
    assert levels(check_images(FAR, [])) == ["warn"]
    assert levels(await examine(FAR, FakeCloud(sign_in=Service(Unreachable())))) == ["warn"]
    assert levels(check_flavors(FAR, [])) == ["warn"]


def test_each_region_is_examined_for_what_may_be_started_there(tmp_path: Path):
    file = tmp_path / "catalog.yaml"
    file.write_text(TWO_REGIONS)
    here, far = places(Catalog.load(file), only_cloud=None)
    assert ([i.name for i in here.images], [i.name for i in here.further]) == (["python"], [])
    assert ([i.name for i in far.images], [i.name for i in far.further]) == ([], ["python"])
    assert (here.needed, far.needed) == (True, False)
    assert [home.size_gb for home in far.homes] == [20]
    assert ([d.name for d in here.data], [d.name for d in far.data]) == ([], ["climate"])


TWO_REGIONS = """
regions: {here: {cloud: js2}, far: {cloud: js2, region: FAR}}
profiles: {usual: {regions: [here, far], home: {kind: volume, size_gb: 20}, data: [climate]}}
images: {python: {title: Python, description: Python., image: python-image, profile: usual}}
flavors: {m3.small: {title: Small, vcpus: 2, memory_gb: 6, disk_gb: 20, su_per_hour: 2}}
data: {climate: {region: far, snapshot: s1}}
defaults: {image: python, flavor: m3.small}
"""


# ---- homes and class data -------------------------------------------------------------------------------------------


VOLUME = Home(kind="volume", size_gb=20)
KEEPING = replace(PLACE, homes=(VOLUME,))


def test_ten_volumes_are_named_as_what_ends_homes_before_instances_end():
    [finding] = check_volumes(KEEPING, [VOLUME], volumes(volumes_used=3), limits(instances_max=25))
    assert finding.level == "warn"
    assert finding.sentence == (
        "7 more homes of 20 GB can be made; the quota of 10 volumes is what binds, before that of 25 instances does."
    )
    assert "Jetstream2" in finding.remedy


def test_as_many_homes_as_instances_are_enough():
    [finding] = check_volumes(KEEPING, [VOLUME], volumes(volumes_max=30), limits(instances_max=25))
    assert finding.level == "ok"


def test_gigabytes_bind_where_they_are_fewer():
    [finding] = check_volumes(KEEPING, [VOLUME], volumes(gigabytes_max=100), None)
    assert finding.sentence == "5 more homes of 20 GB can be made; the quota of 100 gigabytes is what binds."


def test_no_room_for_a_home_is_a_warning():
    assert levels(check_volumes(KEEPING, [VOLUME], volumes(volumes_used=10), None)) == ["warn"]


def test_copies_that_the_quota_of_snapshots_does_not_hold_are_told():
    copied = VOLUME.model_copy(update={"snapshots": Snapshots(keep=7)})
    findings = check_volumes(KEEPING, [copied], volumes(volumes_max=None), None)
    assert "The quota of 10 snapshots holds the copies of 1 home, 7 of each." in [f.sentence for f in findings]


async def test_volumes_that_homes_need_and_that_do_not_answer_are_a_failure():
    findings = await examine_storage(KEEPING, FakeCloud(volume_limits=Service(Forbidden())))  # type: ignore[arg-type]
    assert levels(findings) == ["fail"]


async def test_a_profile_that_wants_shares_where_there_is_no_service_is_a_failure():
    sharing = replace(PLACE, homes=(Home(kind="share"),))
    without = FakeCloud(list_shares=Service(BadCloudConfig()))
    wrong = [f for f in await examine_storage(sharing, without) if f.level == "fail"]  # type: ignore[arg-type]
    assert [finding.about for finding in wrong] == ["region here: shares"]
    assert levels(await examine_storage(sharing, FakeCloud())) == ["ok", "ok"]  # type: ignore[arg-type]
    assert levels(await examine_storage(PLACE, without)) == ["ok"]  # type: ignore[arg-type]


async def test_class_data_that_are_not_there_are_told_before_a_class_is():
    with_data = replace(PLACE, data=(ClassData(name="climate", snapshot="s1"),))
    lost = FakeCloud(snapshot=Service(Gone()))
    findings = [f for f in await examine_storage(with_data, lost) if "climate" in f.about]  # type: ignore[arg-type]
    assert [(f.level, f.sentence) for f in findings] == [("warn", "There is no snapshot s1: servers start without it.")]
