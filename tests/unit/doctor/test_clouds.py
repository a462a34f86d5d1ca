from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from js2spawner.catalog_entries import FlavorEntry, ImageEntry
from js2spawner.cloud.errors import BadCloudConfig, BadNetwork, CloudError, Forbidden, SignInFailed, Unreachable
from js2spawner.cloud.records import Flavor, Image, Limits, Network
from js2spawner.doctor.clouds import Place, check_flavors, check_images, check_limits, examine_clouds, examine_place
from js2spawner.doctor.findings import Finding, any_fails
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
    values: dict[str, Any] = {"vcpus": entry.vcpus, "ram_mb": int(entry.memory_gb * 1024), "disabled": False} | changes
    return Flavor(f"id-of-{entry.name}", entry.name, disk_gb=20, extra_specs={}, **values)


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
    list_volumes: Service = field(default_factory=lambda: Service([]))

    def __post_init__(self) -> None:
        self.images = _Room(list=self.list_images)
        self.compute = _Room(flavors=self.list_flavors, limits=self.ask_limits)
        self.network = _Room(find_network=self.find)
        self.volumes = _Room(list=self.list_volumes)


class _Room:
    def __init__(self, **calls: Callable[..., object]) -> None:
        self.__dict__.update(calls)


async def test_a_cloud_with_everything_is_all_ok():
    findings = await examine_place(PLACE, FakeCloud())  # type: ignore[arg-type]
    assert levels(findings) == ["ok"] * 6


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [(SignInFailed(), "application credential"), (Unreachable(), "auth_url"), (BadCloudConfig(), "clouds.yaml")],
)
async def test_a_failed_sign_in_is_the_only_finding_and_says_what_to_do(problem: CloudError, remedy: str):
    findings = await examine_place(PLACE, FakeCloud(sign_in=Service(problem)))  # type: ignore[arg-type]
    assert levels(findings) == ["fail"]
    assert remedy in findings[0].remedy


async def test_one_service_that_refuses_does_not_hide_the_others():
    findings = await examine_place(PLACE, FakeCloud(list_images=Service(Forbidden("policy"))))  # type: ignore[arg-type]
    assert sorted(levels(findings)) == ["fail"] + ["ok"] * 5


async def test_a_missing_network_fails():
    findings = await examine_place(PLACE, FakeCloud(find=Service(BadNetwork("No networks"))))  # type: ignore[arg-type]
    assert any_fails(findings)


async def test_volumes_are_not_needed_for_a_start():
    findings = await examine_place(PLACE, FakeCloud(list_volumes=Service(Forbidden())))  # type: ignore[arg-type]
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
