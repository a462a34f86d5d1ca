"""Where homes and class data lie: is there room for them, and which limit ends it?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from js2spawner.catalog_entries import ClassData, Home
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import BadCloudConfig, CloudError, Gone
from js2spawner.cloud.records import Limits, VolumeLimits
from js2spawner.doctor.findings import Finding, fail, ok, warn
from js2spawner.doctor.places import Place
from js2spawner.doctor.words import said

_MORE = "Ask the cloud's operator for more (Jetstream2 gives an allocation 10 volumes until a ticket raises that)."


async def examine_storage(place: Place, cloud: Cloud) -> list[Finding]:
    """Volumes, shares and class data of one region. Raises nothing."""
    found = await asyncio.gather(
        _volumes(place, cloud), _shares(place, cloud), *(_data(place, each, cloud) for each in place.data)
    )
    return [finding for some in found for finding in some]


async def _volumes(place: Place, cloud: Cloud) -> list[Finding]:
    about = f"{place.title}: volumes"
    homes = [home for home in place.homes if home.kind == "volume"]
    try:
        limits = await cloud.volumes.limits()
    except CloudError as problem:
        remedy = "Ask the cloud's operator whether this project may use volumes."
        # Without homes no user's start depends on volumes.
        return [(fail if homes and place.needed else warn)(about, said(problem), remedy)]
    if not homes:
        return [ok(about, "The volume service answers.")]
    try:
        instances: Limits | None = await cloud.compute.limits()
    except CloudError:
        instances = None
    return check_volumes(place, homes, limits, instances)


def check_volumes(place: Place, homes: Iterable[Home], limits: VolumeLimits, instances: Limits | None) -> list[Finding]:
    """How many more homes there can be, and whether they or the instances end first."""
    about = f"{place.title}: homes"
    home = max(homes, key=lambda each: each.size_gb)
    room = {
        name: (max(0, most - used) // each, most)
        for name, used, most, each in (
            ("volumes", limits.volumes_used, limits.volumes_max, 1),
            ("gigabytes", limits.gigabytes_used, limits.gigabytes_max, home.size_gb),
        )
        if most is not None
    }
    findings = _snapshots(place, home, limits)
    if not room:
        return [ok(about, "Nothing limits how many homes there may be."), *findings]
    binding = min(room, key=lambda name: room[name][0])
    more, most = room[binding]
    left = None if instances is None or instances.instances_max is None else instances.instances_max
    told = f"{more} more {_homes(more)} of {home.size_gb} GB can be made; the quota of {most} {binding} is what binds"
    if more == 0:
        finding = warn(about, f"No further home can be made: the quota of {most} {binding} is used up.", _MORE)
    elif left is not None and more + limits.volumes_used < left:
        finding = warn(about, f"{told}, before that of {left} instances does.", _MORE)
    else:
        finding = ok(about, f"{told}.")
    return [finding, *findings]


def _snapshots(place: Place, home: Home, limits: VolumeLimits) -> list[Finding]:
    most = limits.snapshots_max
    if home.snapshots is None or most is None:
        return []
    served = most // home.snapshots.keep
    if limits.volumes_max is not None and served >= limits.volumes_max:
        return []
    sentence = (
        f"The quota of {most} snapshots holds the copies of {served} {_homes(served)}, {home.snapshots.keep} of each."
    )
    return [warn(f"{place.title}: snapshots", sentence, "Ask the cloud's operator for more, or keep fewer.")]


def _homes(count: int) -> str:
    return "home" if count == 1 else "homes"


async def _shares(place: Place, cloud: Cloud) -> list[Finding]:
    """Whether there is a share service, if anything of this region is a share."""
    about = f"{place.title}: shares"
    for_homes = any(home.kind == "share" for home in place.homes)
    if not for_homes and not any(each.share for each in place.data):
        return []
    level = fail if for_homes and place.needed else warn
    try:
        await cloud.shares.list({"js2_hub": "doctor"})
    except BadCloudConfig:
        remedy = "Give the profile homes of another kind, or regions that have one."
        return [level(about, "A profile wants a share, and this region has no share service.", remedy)]
    except CloudError as problem:
        return [level(about, said(problem), "Ask the cloud's operator whether this project may use shares.")]
    return [ok(about, "The share service answers.")]


async def _data(place: Place, data: ClassData, cloud: Cloud) -> list[Finding]:
    """Whether class data are there: servers start without them, and somebody should know before a class does."""
    about = f"{place.title}: class data {data.name}"
    try:
        if data.snapshot:
            await cloud.volumes.get_snapshot(data.snapshot)
        elif data.share:
            await cloud.shares.get(data.share)
    except (Gone, BadCloudConfig):
        kind = "snapshot" if data.snapshot else "share"
        sentence = f"There is no {kind} {data.snapshot or data.share}: servers start without it."
        return [warn(about, sentence, "Put the id right in the catalog's “data”.")]
    except CloudError as problem:
        return [warn(about, said(problem), "Ask the cloud's operator.")]
    return [ok(about, "They are there.")]
