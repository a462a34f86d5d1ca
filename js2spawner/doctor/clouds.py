"""What a hub needs of its clouds: sign-in, each service, and everything the catalog names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import FlavorEntry, ImageEntry, Region
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import (
    BadCloudConfig,
    BadImage,
    BadNetwork,
    CloudError,
    Gone,
    ImageChanged,
    ImageNotPublished,
    SignInFailed,
    Unreachable,
)
from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.cloud.settings import CloudSettings
from js2spawner.doctor.findings import Finding, fail, ok, warn
from js2spawner.library.signing import NO_KEYS, PublicKeys
from js2spawner.resolving import resolve

T = TypeVar("T")

_CALLS = CloudSettings(connect_timeout_s=5, call_timeout_s=20, line_timeout_s=20)
_REMEDIES: tuple[tuple[type[CloudError], str], ...] = (
    (BadCloudConfig, "Put the entry in clouds.yaml right."),
    (SignInFailed, "Make a new application credential and put it into clouds.yaml."),
    (Unreachable, "Check auth_url in clouds.yaml, and this machine's way to it."),
    (BadNetwork, "Check the name; `openstack network auto allocated topology create` makes the default one."),
    (Gone, "Check the name, and whether this project may use it."),
)


@dataclass(frozen=True, slots=True)
class Place:
    """One region to examine, and what the catalog wants there; without a catalog only that it answers."""

    title: str
    cloud: str
    region: str | None
    network: str | None
    images: tuple[ImageEntry, ...] = ()
    flavors: tuple[FlavorEntry, ...] = ()
    image_keys: PublicKeys = NO_KEYS


def places(catalog: Catalog, *, only_cloud: str | None, image_keys: PublicKeys = NO_KEYS) -> list[Place]:
    """The regions of the catalog with what each must have; `only_cloud` leaves out those of other clouds."""
    regions = [each for each in catalog.regions if only_cloud in (None, each.cloud)]
    return [_place(catalog, region, image_keys) for region in regions]


def _place(catalog: Catalog, region: Region, image_keys: PublicKeys) -> Place:
    images = tuple(image for image in catalog.images if catalog.region_of(image) == region)
    flavors = {flavor.name: flavor for image in images for flavor in catalog.flavors_for(image)}
    return Place(
        f"region {region.name}",
        region.cloud,
        region.region,
        region.network,
        images,
        tuple(flavors.values()),
        image_keys,
    )


async def examine_clouds(these: Iterable[Place], clouds_yaml: str | None) -> list[Finding]:
    """Sign in to each place and look. Raises nothing: what a cloud refuses is a finding."""
    findings: list[Finding] = []
    for place in these:
        cloud = Cloud(place.cloud, region=place.region, config_file=clouds_yaml, settings=_CALLS)
        try:
            findings += await examine_place(place, cloud)
        finally:
            await cloud.close()
    return findings


async def examine_place(place: Place, cloud: Cloud) -> list[Finding]:
    """One region: the sign-in first, since nothing else can be told without it."""
    try:
        await cloud.sign_in()
    except CloudError as problem:
        return [_refused(f"{place.title}: sign-in", problem)]
    examined = await asyncio.gather(
        _ask(f"{place.title}: images", cloud.images.list, lambda images: check_images(place, images)),
        _ask(f"{place.title}: flavors", cloud.compute.flavors, lambda flavors: check_flavors(place, flavors)),
        _ask(f"{place.title}: quota", cloud.compute.limits, lambda limits: check_limits(place, limits)),
        _network(place, cloud),
        _volumes(place, cloud),
    )
    return [
        ok(f"{place.title}: sign-in", f"Signed in to {place.cloud}."),
        *(each for some in examined for each in some),
    ]


async def _ask(about: str, call: Callable[[], Awaitable[T]], judge: Callable[[T], list[Finding]]) -> list[Finding]:
    try:
        return judge(await call())
    except CloudError as problem:
        return [_refused(about, problem)]


async def _network(place: Place, cloud: Cloud) -> list[Finding]:
    about, name = f"{place.title}: network", place.network
    if name is None:
        return []
    return await _ask(
        about, lambda: cloud.network.find_network(name), lambda found: [ok(about, f"{found.name} is there.")]
    )


async def _volumes(place: Place, cloud: Cloud) -> list[Finding]:
    about = f"{place.title}: volumes"
    try:
        await cloud.volumes.list()
    except CloudError as problem:
        # No user's start depends on volumes.
        return [warn(about, _said(problem), "Ask the cloud's operator whether this project may use volumes.")]
    return [ok(about, "The volume service answers.")]


def check_images(place: Place, images: list[Image]) -> list[Finding]:
    """Every image of the catalog must be there, active, and the one that was vouched for."""
    about = f"{place.title}: images"
    wrong = [finding for entry in place.images for finding in _wrong(about, place, entry, images)]
    return wrong or [ok(about, f"{len(place.images) or len(images)} are there.")]


def _wrong(about: str, place: Place, entry: ImageEntry, images: list[Image]) -> list[Finding]:
    try:
        resolve(entry, images, place.image_keys)
    except ImageChanged as problem:
        remedy = "Find out who changed it; publish it again, or trust the key it is signed with."
        return [fail(about, f"{_capital(problem.detail)} (image {entry.name}).", remedy)]
    except ImageNotPublished as problem:
        return [fail(about, f"{_capital(problem.detail)} (image {entry.name}).", "Publish it, or change the catalog.")]
    except BadImage:
        sentence = f"{entry.image!r} (image {entry.name}) is missing or not active."
        return [fail(about, sentence, "Upload it, or change the catalog.")]
    return []


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def check_flavors(place: Place, flavors: list[Flavor]) -> list[Finding]:
    """Every flavor of the catalog should be there, as large as the catalog says; it is a failure if none is."""
    about = f"{place.title}: flavors"
    there = {flavor.name: flavor for flavor in flavors if not flavor.disabled}
    wanted = [entry for entry in place.flavors if entry.name not in there]
    level = fail if wanted and len(wanted) == len(place.flavors) else warn
    remedy = "Ask the cloud's operator to open it to this project, or take it out of the catalog."
    findings = [level(about, f"{entry.name} is missing or not open to this project.", remedy) for entry in wanted]
    findings += [
        warn(about, f"{entry.name} is smaller than the catalog says.", "Put the cloud's sizes into the catalog.")
        for entry in place.flavors
        if entry.name in there and _is_smaller(there[entry.name], entry)
    ]
    return findings or [ok(about, f"{len(place.flavors) or len(there)} are there.")]


def _is_smaller(flavor: Flavor, entry: FlavorEntry) -> bool:
    # People who write GB mean now 1000 MiB, now 1024.
    return flavor.vcpus < entry.vcpus or flavor.ram_mb < entry.memory_gb * 1000


def check_limits(place: Place, limits: Limits) -> list[Finding]:
    """How many more instances of the smallest flavor fit, and which limit ends it."""
    about = f"{place.title}: quota"
    smallest = min(place.flavors, key=lambda flavor: (flavor.vcpus, flavor.memory_gb), default=None)
    vcpus, ram_mb = (smallest.vcpus, smallest.memory_gb * 1024) if smallest else (1, 1024)
    room = {
        name: int((most - used) // each)
        for name, used, most, each in (
            ("instances", limits.instances_used, limits.instances_max, 1),
            ("cores", limits.cores_used, limits.cores_max, vcpus),
            ("memory", limits.ram_mb_used, limits.ram_mb_max, ram_mb),
        )
        if most is not None
    }
    if not room:
        return [ok(about, "Nothing limits how many instances may run.")]
    binding = min(room, key=lambda name: room[name])
    what = f"instances of {smallest.name}" if smallest else "instances"
    if room[binding] <= 0:
        return [
            warn(
                about,
                f"The limit on {binding} is reached: nothing more can start.",
                "Delete instances, or ask for more.",
            )
        ]
    return [ok(about, f"{room[binding]} more {what} can start; the limit on {binding} binds first.")]


def _refused(about: str, problem: CloudError) -> Finding:
    remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(problem, kind)), "Ask the cloud's operator.")
    return fail(about, _said(problem), remedy)


def _said(problem: CloudError) -> str:
    detail = " ".join(problem.detail.split())[:300]
    return f"{problem.sentence} ({detail})" if detail else problem.sentence
