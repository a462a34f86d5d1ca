"""What the choice page shows of what a user may have. Pure; all of it is JSON.

`choices()` gives the template and its script:

    images   [{name, title, description, inside, gpu, usable, why_not,
               flavors        names of the flavors it runs on,
               profile        {sudo, idle_minutes, longest_hours},
               home           {kind: "volume" | "share" | "none", keeps: bool, size_gb, most_gb, seeded: bool, words},
               data           [{name, path, where: title of its region if the image may be started elsewhere, too}],
               idle           [{value: "delete" | "shelve" | "keep", title, words, su_share: 0 | 1}], the default first:
                              su_share times the flavor's su_per_hour is what an hour of it costs,
               regions        [{name, usable, why_not, published: true | false | null}], in the order they are tried,
               confirm        {flavor: sentence with the price}: only with confirm=yes,
               further        [flavor names that are tried next if a fallback is allowed],
               further_words  what comes next, as a sentence; "" when nothing would,
               saved          only of a saved image: {mine, owner, group, frozen, at, size, parent}}]
    flavors  [{name, title, vcpus, memory_gb, disk_gb, su_per_hour, usable, why_not, room, room_text,
               gpu            null | {kind, memory_gb (0: nobody told), share, cards, words: "1/4 of a card"},
               rooms          {region: {room: "yes" | "no" | "unknown", room_text}}}]
    regions  [{name, title, state: "up" | "trying" | "down" | "unknown", words, home: the user's home is here}]
    home     null | {kind, region, title, size_gb (0: nobody told)}: where the user's home is; it binds servers with a
             home of its kind to that region
    typical  {"image|flavor": {p50_s, p90_s}}
    chosen   {image, flavor, region, home, idle, fallback}: what the form begins with; region "" is "wherever there is
             room". Nobody's confirmation is chosen in advance.
    cloud_known  false until a region has answered

The fields of the form are `options.FIELDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import FlavorEntry, ImageEntry, Profile, Region
from js2spawner.gpu_flavors import has_gpu, share_words
from js2spawner.instance import HomeKind, Idle
from js2spawner.lease import duration
from js2spawner.numbers_shown import plain
from js2spawner.options import (
    FIELDS,
    Offer,
    OptionsError,
    Scope,
    Who,
    check,
    needs_confirmation,
    price_sentence,
    saved_entry,
    with_saved,
)
from js2spawner.saved import Saved, is_owner, may_start, plain_gb

# What somebody got, or did not get, is told for this long: capacity can only be learned by trying.
_LATELY = timedelta(minutes=15)

_IDLE: Mapping[Idle, tuple[str, str, int]] = {
    "delete": ("Delete it", "What is not in your home is lost. Costs nothing afterwards.", 0),
    "shelve": (
        "Put it on the shelf",
        "All of its disk is kept and comes back with the next start. Costs nothing meanwhile.",
        0,
    ),
    "keep": ("Keep it running", "It runs on, and costs as much as when it is used, until its longest time is over.", 1),
}


@dataclass(frozen=True, slots=True)
class HomeSeen:
    """The home that somebody has already: in which region, and how large (0: not known)."""

    region: str
    size_gb: int
    kind: HomeKind = "volume"


def choices(
    catalog: Catalog,
    who: Who,
    offers: Mapping[str, Offer],
    chosen: Mapping[str, object],
    now: datetime,
    saved: Sequence[Saved] = (),
    home: HomeSeen | None = None,
) -> dict[str, Any]:
    """What the form's template shows. `chosen` is what this user asked for last time, kept where it still can be."""
    mine = [kept for kept in saved if may_start(kept, who) and (is_owner(kept, who) or kept.group in who.groups)]
    scope = Scope(catalog, who, with_saved(offers, mine))
    return {
        "images": [
            *(_image_shown(image, scope) for image in catalog.images),
            *(_saved_shown(kept, scope) for kept in mine),
        ],
        "flavors": [_flavor_shown(flavor, scope, now) for flavor in catalog.flavors if scope.offered(flavor)],
        "regions": [_region_shown(region, scope, home) for region in catalog.regions],
        "home": _home_seen(home, catalog),
        "typical": _typical(scope, mine),
        "chosen": _chosen(scope, chosen, mine),
        "cloud_known": any(offer.known for offer in offers.values()),
    }


# ---- images ---------------------------------------------------------------------------------------------------------


def _image_shown(image: ImageEntry, scope: Scope) -> dict[str, Any]:
    why_not = scope.image_refused(image)
    profile = scope.catalog.profile_of(image)
    regions = scope.catalog.regions_of(image)
    fitting = [
        flavor
        for flavor in scope.catalog.flavors_for(image)
        if any(scope.offer(at).has(flavor) and not scope.offer(at).too_small(image, flavor) for at in regions)
    ]
    further = scope.further(image, None, confirmed=False)
    return {
        "name": image.name,
        "title": image.title,
        "description": image.description,
        "inside": list(image.inside),
        "gpu": image.gpu,
        "flavors": [flavor.name for flavor in fitting],
        "usable": not why_not,
        "why_not": why_not,
        "profile": {
            "sudo": profile.sudo,
            "idle_minutes": plain(profile.idle_minutes),
            "longest_hours": plain(profile.longest_hours),
        },
        "home": _home_shown(profile),
        "data": _data_shown(profile, regions, scope.catalog),
        "idle": [_idle_shown(idle, profile) for idle in profile.idle],
        "regions": [_place_shown(image, region, scope) for region in regions],
        "confirm": {each.name: price_sentence(each) for each in fitting if needs_confirmation(profile, each)},
        "further": [flavor.name for flavor in further],
        "further_words": _further_words(further, regions),
    }


def _saved_shown(kept: Saved, scope: Scope) -> dict[str, Any]:
    parent = scope.catalog.image(kept.words.parent)
    told = {
        "mine": is_owner(kept, scope.who),
        "owner": kept.owner,
        "group": kept.group,
        "frozen": kept.frozen,
        "at": kept.words.saved_at.isoformat(timespec="minutes"),
        "size": plain_gb(kept.size_gb),
        "parent": parent.title if parent else kept.words.parent,
    }
    return {**_image_shown(saved_entry(kept, scope.catalog), scope), "saved": told}


def _home_shown(profile: Profile) -> dict[str, Any]:
    home = profile.home
    words = {
        "volume": f"Your home, {home.size_gb} GB at first, stays when the server ends.",
        "share": f"Your home, {home.size_gb} GB at first, stays when the server ends.",
        "none": "No home: all your files are deleted when the server ends.",
    }
    return {
        "kind": home.kind,
        "keeps": home.kind != "none",
        "size_gb": home.size_gb,
        "most_gb": home.most_gb,
        "seeded": home.seed is not None,
        "words": words[home.kind],
    }


def _data_shown(profile: Profile, regions: Sequence[Region], catalog: Catalog) -> list[dict[str, str]]:
    """Class data are in one region; a server elsewhere goes without."""
    titles = {region.name: region.shown for region in regions}
    found = {data.name: catalog.region_of_data(data) for data in catalog.data}
    return [
        {"name": name, "path": f"/data/{name}", "where": titles[found[name]] if len(titles) > 1 else ""}
        for name in profile.data
        if found[name] in titles
    ]


def _idle_shown(idle: Idle, profile: Profile) -> dict[str, Any]:
    title, words, su_share = _IDLE[idle]
    if idle == "delete" and profile.home.kind == "none":
        words = "All your files are lost. Costs nothing afterwards."
    if idle == "shelve":
        words += f" It is deleted after {plain(profile.shelved_days)} days on the shelf."
    return {"value": idle, "title": title, "words": words, "su_share": su_share}


def _place_shown(image: ImageEntry, region: Region, scope: Scope) -> dict[str, Any]:
    offer = scope.offer(region)
    published = image.name in offer.images if offer.known else None
    why_not = ""
    if published is False:
        why_not = offer.lacks.get(image.name) or "The image is missing there."
    elif offer.state == "down":
        why_not = f"{region.shown} does not answer at the moment."
    return {"name": region.name, "usable": not why_not, "why_not": why_not, "published": published}


def _further_words(flavors: Sequence[FlavorEntry], regions: Sequence[Region]) -> str:
    told = [", then ".join(f"{each.title} ({plain(each.su_per_hour)} SU per hour)" for each in flavors)]
    if len(regions) > 1:
        told.append("each in " + ", then in ".join(region.shown for region in regions))
    listed = "; ".join(part for part in told if part)
    return f"When there is no room: {listed}." if listed else ""


def _typical(scope: Scope, saved: Sequence[Saved]) -> dict[str, dict[str, float]]:
    """Typical times; a saved image starts about as its parent does, and is not told apart from it in the history."""
    told: dict[tuple[str, str], tuple[float, float]] = {}
    for offer in scope.offers.values():
        told |= offer.typical_s
    for kept in saved:
        of_parent = {flavor: s for (image, flavor), s in told.items() if image == kept.words.parent}
        told |= {(kept.name, flavor): s for flavor, s in of_parent.items()}
    return {f"{image}|{flavor}": {"p50_s": p50_s, "p90_s": p90_s} for (image, flavor), (p50_s, p90_s) in told.items()}


# ---- flavors and regions --------------------------------------------------------------------------------------------


def _flavor_shown(flavor: FlavorEntry, scope: Scope, now: datetime) -> dict[str, Any]:
    why_not = scope.flavor_refused(flavor)
    seen = next((o.flavors[flavor.name] for o in scope.offers.values() if flavor.name in o.flavors), None)
    rooms = {region.name: _room(flavor, scope.offer(region), now) for region in scope.catalog.regions}
    room, room_text = _best(rooms)
    return {
        "name": flavor.name,
        "title": flavor.title,
        "vcpus": seen.vcpus if seen else flavor.vcpus,
        "memory_gb": plain(seen.ram_mb / 1024 if seen else flavor.memory_gb),
        "disk_gb": plain(seen.disk_gb if seen else flavor.disk_gb),
        "gpu": _gpu_shown(flavor, cloud_says=has_gpu(flavor, seen)),
        "su_per_hour": plain(flavor.su_per_hour),
        "usable": not why_not,
        "why_not": why_not,
        "room": room,
        "room_text": room_text,
        "rooms": {name: {"room": can, "room_text": text} for name, (can, text) in rooms.items()},
    }


def _gpu_shown(flavor: FlavorEntry, *, cloud_says: bool) -> dict[str, Any] | None:
    gpu = flavor.gpu
    if gpu is None:
        # The cloud gives one that the catalog does not know: js2 doctor tells its operator.
        return {"kind": "GPU", "memory_gb": 0, "share": 1, "cards": 1, "words": ""} if cloud_says else None
    return {
        "kind": gpu.kind,
        "memory_gb": plain(gpu.memory_gb),
        "share": gpu.share,
        "cards": gpu.cards,
        "words": share_words(gpu),
    }


def _best(rooms: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """The best news of all regions, the first of those that bring it."""
    order = ("yes", "unknown", "no")
    return min(rooms.values(), key=lambda room: order.index(room[0]))


def _room(flavor: FlavorEntry, offer: Offer, now: datetime) -> tuple[str, str]:
    """Whether a start has room in a region now, as ("yes" | "no" | "unknown", sentence)."""
    if offer.state == "down":
        return "no", "The region does not answer at the moment."
    if not offer.has(flavor):
        return "no", "The cloud does not offer it there."
    refused = offer.full_since.get(flavor.name)
    if refused is not None and now - refused < _LATELY:
        return "no", f"The cloud had no room for it {_since(refused, now)} ago."
    limits = offer.limits
    if not offer.known or limits is None:
        return "unknown", "Not known yet."
    seen = offer.flavors.get(flavor.name)
    needs = (
        (1, limits.instances_used, limits.instances_max, "instances"),
        (seen.vcpus if seen else flavor.vcpus, limits.cores_used, limits.cores_max, "vCPU"),
        (seen.ram_mb if seen else flavor.memory_gb * 1024, limits.ram_mb_used, limits.ram_mb_max, "MB of memory"),
    )
    for needed, used, most, what in needs:
        if most is not None and used + needed > most:
            return "no", f"This hub's allocation is full: {max(0, most - used)} of {most} {what} are free."
    return _had(offer.had_at.get(flavor.name), now) if has_gpu(flavor, seen) else ("yes", "Has room now.")


def _had(had: datetime | None, now: datetime) -> tuple[str, str]:
    """What is known of scarce hardware beyond the quota."""
    if had is not None and now - had < _LATELY:
        return "yes", f"Somebody got one {_since(had, now)} ago."
    return "unknown", "The allocation has room; whether a card is free is seen by trying."


def _since(then: datetime, now: datetime) -> str:
    return duration(max(0.0, (now - then).total_seconds()))


def _region_shown(region: Region, scope: Scope, home: HomeSeen | None) -> dict[str, Any]:
    offer = scope.offer(region)
    state = "down" if offer.state == "down" else offer.state if offer.known else "unknown"
    words = {
        "up": "",
        "trying": "Answers again after a while without.",
        "down": "Does not answer at the moment: nothing is started there until it does.",
        "unknown": "Has not answered yet.",
    }
    at_home = home is not None and home.region == region.name
    return {"name": region.name, "title": region.shown, "state": state, "words": words[state], "home": at_home}


def _home_seen(home: HomeSeen | None, catalog: Catalog) -> dict[str, Any] | None:
    if home is None:
        return None
    title = next((region.shown for region in catalog.regions if region.name == home.region), home.region)
    return {"kind": home.kind, "region": home.region, "title": title, "size_gb": home.size_gb}


# ---- the first selection --------------------------------------------------------------------------------------------


def _without(asked: Mapping[str, str], *names: str) -> Mapping[str, str]:
    return {name: value for name, value in asked.items() if name not in names}


def _chosen(scope: Scope, chosen: Mapping[str, object], saved: Sequence[Saved]) -> dict[str, str]:
    """The last choice, as much of it as still holds, else the defaults."""
    last = {name: value for name in FIELDS if isinstance(value := chosen.get(name), str)}
    anywhere = _without(last, "region")
    of_image = _without(anywhere, "flavor", "confirm")
    for asked in (last, anywhere, of_image, _without(of_image, "home", "idle", "fallback"), {}):
        # What was dear last time is chosen again; the form has it confirmed again.
        confirmed = {"confirm": "yes"} if asked.get("flavor") else {}
        try:
            choice = check(
                {**asked, **confirmed}, catalog=scope.catalog, who=scope.who, offers=scope.offers, saved=saved
            )
        except OptionsError:
            continue
        return {
            "image": choice.image.name,
            "flavor": choice.flavor.name,
            "region": asked.get("region", ""),
            "home": "yes" if choice.home else "none",
            "idle": choice.idle,
            "fallback": "yes" if asked.get("fallback") == "yes" else "no",
        }
    default = scope.catalog.defaults
    return {
        "image": default.image,
        "flavor": default.flavor,
        "region": "",
        "home": "yes",
        "idle": scope.catalog.profile_of(scope.catalog.default_image).idle[0],
        "fallback": "no",
    }
