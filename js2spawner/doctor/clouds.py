"""What a hub needs of its clouds: sign-in, each service, and everything the catalog names, in every region."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from js2spawner.catalog_entries import FlavorEntry, ImageEntry
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import BadImage, CloudError, ImageChanged, ImageNotPublished
from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.cloud.settings import CloudSettings
from js2spawner.doctor.findings import Finding, fail, ok, warn
from js2spawner.doctor.places import Place
from js2spawner.doctor.storage import examine_storage
from js2spawner.doctor.words import refused
from js2spawner.gpu_flavors import has_gpu
from js2spawner.resolving import data_of, resolve, resolved

T = TypeVar("T")

_CALLS = CloudSettings(connect_timeout_s=5, call_timeout_s=20, line_timeout_s=20)


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found in one place; `images` is None when it could not be asked for them."""

    place: Place
    findings: tuple[Finding, ...]
    images: tuple[Image, ...] | None = None


async def examine_clouds(these: Sequence[Place], clouds_yaml: str | None) -> list[Finding]:
    """Sign in to each place and look, side by side. Raises nothing: what a cloud refuses is a finding."""
    seen = await asyncio.gather(*(_examine(place, clouds_yaml) for place in these))
    return [finding for one in seen for finding in one.findings] + check_same_images(seen)


async def _examine(place: Place, clouds_yaml: str | None) -> Examined:
    cloud = Cloud(place.cloud, region=place.region, config_file=clouds_yaml, settings=_CALLS)
    try:
        return await examine_place(place, cloud)
    finally:
        await cloud.close()


async def examine_place(place: Place, cloud: Cloud) -> Examined:
    """One region: the sign-in first, since nothing else can be told without it."""
    try:
        await cloud.sign_in()
    except CloudError as problem:
        return Examined(place, (refused(f"{place.title}: sign-in", problem, needed=place.needed),))
    images: list[Image] = []

    async def list_images() -> list[Image]:
        images.extend(await cloud.images.list())
        return images

    looked = await asyncio.gather(
        _ask(place, "images", list_images, lambda found: check_images(place, found)),
        _ask(place, "flavors", cloud.compute.flavors, lambda found: check_flavors(place, found)),
        _ask(place, "quota", cloud.compute.limits, lambda limits: check_limits(place, limits)),
        _network(place, cloud),
        examine_storage(place, cloud),
    )
    signed_in = ok(f"{place.title}: sign-in", f"Signed in to {place.cloud}.")
    findings = (signed_in, *(finding for some in looked for finding in some))
    return Examined(place, findings, tuple(images) or None)


async def _ask(
    place: Place, service: str, call: Callable[[], Awaitable[T]], judge: Callable[[T], list[Finding]]
) -> list[Finding]:
    try:
        return judge(await call())
    except CloudError as problem:
        return [refused(f"{place.title}: {service}", problem, needed=place.needed)]


async def _network(place: Place, cloud: Cloud) -> list[Finding]:
    about, name = f"{place.title}: network", place.network
    if name is None:
        return []
    return await _ask(
        place, "network", lambda: cloud.network.find_network(name), lambda found: [ok(about, f"{found.name} is there.")]
    )


def check_images(place: Place, images: list[Image]) -> list[Finding]:
    """Every image of the catalog must be there, active, and the one that was vouched for."""
    about = f"{place.title}: images"
    wrong = [
        *(finding for entry in place.images for finding in _wrong(fail, about, place, entry, images)),
        *(finding for entry in place.further for finding in _wrong(warn, about, place, entry, images)),
    ]
    return wrong or [ok(about, f"{len(place.images) + len(place.further) or len(images)} are there.")]


def _wrong(
    level: Callable[[str, str, str], Finding], about: str, place: Place, entry: ImageEntry, images: list[Image]
) -> list[Finding]:
    try:
        resolve(entry, images, place.image_keys)
    except ImageChanged as problem:
        remedy = "Find out who changed it; publish it again, or trust the key it is signed with."
        return [level(about, f"{_capital(problem.detail)} (image {entry.name}).", remedy)]
    except ImageNotPublished as problem:
        return [level(about, f"{_capital(problem.detail)} (image {entry.name}).", "Publish it, or change the catalog.")]
    except BadImage:
        sentence = f"{entry.image!r} (image {entry.name}) is missing or not active."
        return [level(about, sentence, "Upload it, or change the catalog.")]
    return []


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def check_same_images(seen: Sequence[Examined]) -> list[Finding]:
    """Whether an image of several regions is the same in each; those that lack it are told of by themselves."""
    findings: list[Finding] = []
    entries = dict.fromkeys(entry for one in seen for entry in (*one.place.images, *one.place.further))
    compared = 0
    for entry in entries:
        having = [*_that_have(entry, seen, first=True), *_that_have(entry, seen, first=False)]
        if len(having) < 2:
            continue
        (first, wanted), *others = having
        compared += 1
        findings += [_differs(entry, first, other) for other, data in others if entry.sha512 is None and data != wanted]
    if not findings and compared:
        return [ok("regions: images", f"{compared} are the same in each of their regions.")]
    return findings


def _that_have(entry: ImageEntry, seen: Sequence[Examined], *, first: bool) -> list[tuple[Place, str]]:
    """The places that have the image, with its data's hash: where it starts first, or the others."""
    return [
        (one.place, data_of(image))
        for one in seen
        if entry in (one.place.images if first else one.place.further) and one.images is not None
        if (image := resolved(entry, one.images, one.place.image_keys)) is not None
    ]


def _differs(entry: ImageEntry, first: Place, other: Place) -> Finding:
    about = f"{other.title}: images"
    if entry.library is not None:
        sentence = f"Image {entry.name} is another version than in {first.title}."
        return warn(about, sentence, f"js2 image publish {entry.library} --promote in the older of the two.")
    sentence = f"{entry.image!r} (image {entry.name}) holds other data than in {first.title}, so it is not used here."
    return warn(about, sentence, "Upload the same image to both, or pin it with “sha512”.")


def check_flavors(place: Place, flavors: list[Flavor]) -> list[Finding]:
    """Every flavor of the catalog should be there, as large as the catalog says; it is a failure if none is."""
    about = f"{place.title}: flavors"
    there = {flavor.name: flavor for flavor in flavors if not flavor.disabled}
    wanted = [entry for entry in place.flavors if entry.name not in there]
    level = fail if wanted and len(wanted) == len(place.flavors) and place.needed else warn
    remedy = "Ask the cloud's operator to open it to this project, or take it out of the catalog."
    findings = [level(about, f"{entry.name} is missing or not open to this project.", remedy) for entry in wanted]
    findings += [
        warn(about, f"{entry.name} is smaller than the catalog says.", "Put the cloud's sizes into the catalog.")
        for entry in place.flavors
        if entry.name in there and _is_smaller(there[entry.name], entry)
    ]
    return [*(findings or [ok(about, f"{len(place.flavors) or len(there)} are there.")]), *_check_gpus(place, there)]


def _is_smaller(flavor: Flavor, entry: FlavorEntry) -> bool:
    # People who write GB mean now 1000 MiB, now 1024.
    return flavor.vcpus < entry.vcpus or flavor.ram_mb < entry.memory_gb * 1000


def _check_gpus(place: Place, there: dict[str, Flavor]) -> list[Finding]:
    """Cards that the catalog does not know of, and images that need one where there is none."""
    about = f"{place.title}: GPUs"
    sentence = "carries a GPU, as its extra specs say: it is proven and counted as use, but people are not told of it."
    findings = [
        warn(about, f"{entry.name} {sentence}", "Add “gpu: {kind: …, memory_gb: …}” to the flavor.")
        for entry in place.flavors
        if entry.gpu is None and entry.name in there and has_gpu(entry, there[entry.name])
    ]
    needing = [entry.name for entry in (*place.images, *place.further) if entry.gpu == "required"]
    cards = [entry.name for entry in place.flavors if entry.name in there and has_gpu(entry, there[entry.name])]
    if needing and not cards:
        remedy = "Ask for an allocation with GPUs in this region, or take it out of the profile's regions."
        findings.append(
            warn(about, f"No flavor with a GPU is open here, so {', '.join(needing)} cannot start.", remedy)
        )
    elif cards:
        findings.append(ok(about, f"{', '.join(cards)} can be had, as far as anybody knows before trying."))
    return findings


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
