"""What a user may ask for, checked in one place: from the form, from a link, over REST.

Pure. The catalog says what is offered, the offer says what the cloud has at the moment, and the two meet here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import FlavorEntry, ImageEntry, Profile, Region
from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.instance import Idle
from js2spawner.lease import duration
from js2spawner.located_yaml import shown
from js2spawner.saved import PREFIX, Saved, is_owner, may_start, plain_gb

FIELDS = ("image", "flavor")

# A flavor the cloud had no room for is shown as full for this long: capacity can only be learned by trying.
_FULL_FOR = timedelta(minutes=15)


class OptionsError(ValueError):
    """A request this hub does not fulfil. `field` names the option; the text is a sentence for the user."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks. An admin may use everything in the catalog.

    `id` stays when the name changes and is never another's; empty for who is no user of this hub.
    """

    name: str
    groups: frozenset[str]
    admin: bool
    id: str = ""

    def belongs(self, groups: tuple[str, ...] | None) -> bool:
        return groups is None or self.admin or not self.groups.isdisjoint(groups)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the cloud has at the moment.

    `flavors` by Nova's name, `images` by the catalog's name. `full_since`: when the cloud last had no room for a
    flavor. `typical_s`: (image, flavor) → (p50, p90) seconds of a start. `known`: False until the cloud has answered.
    """

    flavors: Mapping[str, Flavor]
    images: Mapping[str, Image]
    limits: Limits | None
    full_since: Mapping[str, datetime]
    typical_s: Mapping[tuple[str, str], tuple[float, float]]
    known: bool


NOTHING_KNOWN = Offer(flavors={}, images={}, limits=None, full_since={}, typical_s={}, known=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """A request that was found right. `saved`: it is for this saved image, and `image` is made of it and its parent.

    `regions` and `flavors`: where and as what it may be started, the wanted one first. `home`: False to go without.
    """

    image: ImageEntry
    profile: Profile
    regions: tuple[Region, ...]
    flavors: tuple[FlavorEntry, ...]
    saved: Saved | None = None
    home: bool = True
    idle: Idle = "delete"

    @property
    def region(self) -> Region:
        return self.regions[0]

    @property
    def flavor(self) -> FlavorEntry:
        return self.flavors[0]


def from_form(form: Mapping[str, Any]) -> dict[str, str]:
    """The options in the spawn form's fields. Other fields (JupyterHub's own) are left alone.

    Raises OptionsError when a field stands more than once or is no text.
    """
    chosen: dict[str, str] = {}
    for field in FIELDS:
        values = form.get(field) or []
        if len(values) > 1 or not all(isinstance(value, str) for value in values):
            raise OptionsError(field, f"Choose one {field}.")
        if values and values[0]:
            chosen[field] = values[0]
    return chosen


def from_query(query: Mapping[str, Any]) -> dict[str, str]:
    """The options in a link. An unknown one is refused: a typing mistake must not start something else.

    So is a saved image: JupyterHub starts at once what a link names, and a link may come from whoever left something in
    that image for its next user. One behind "#" is only picked on the page (choose.js).
    """
    for name in query:
        if name not in FIELDS:
            raise OptionsError("options", _unknown(name))
    chosen = from_form(query)
    if chosen.get("image", "").startswith(PREFIX):
        raise OptionsError(
            "image", "A link cannot start a saved image by itself; choose it here if you trust its owner."
        )
    return chosen


def _unknown(name: object) -> str:
    return f"This hub knows no option {shown(name)}; it knows {' and '.join(FIELDS)}."


def check(
    raw: object, *, catalog: Catalog, who: Who, offer: Offer | None = None, saved: Sequence[Saved] = ()
) -> Choice:
    """The choice that `raw` stands for: {"image": name, "flavor": name}, both optional.

    Without an image the default one is taken, or the first that this user may use; likewise for the flavor. Raises
    OptionsError. `offer` None, or one that is not known, leaves out what only the cloud can say. `saved` are the saved
    images that the cloud has at the moment, whoever's they are: here it is decided who may start one.
    """
    asked = _asked(raw)
    name = asked.get("image")
    kept = _saved(name, who, saved) if name is not None and name.startswith(PREFIX) else None
    if kept is None:
        image = _image(name, catalog, who, offer)
    else:
        image, offer = saved_entry(kept, catalog), _with_saved(offer, (kept,))
        if sentence := _image_refused(image, catalog, who, offer):
            raise OptionsError("image", sentence)
    flavor = _flavor(asked.get("flavor"), image, catalog, who, offer)
    profile = catalog.profile_of(image)
    return Choice(image, profile, catalog.regions_of(image), (flavor,), kept, idle=profile.idle[0])


def _saved(name: str, who: Who, saved: Sequence[Saved]) -> Saved:
    """The saved image of that name, if this user may start it. Of others' they learn nothing."""
    found = next((each for each in saved if each.name == name and may_start(each, who)), None)
    if found is None:
        raise OptionsError("image", "This saved image does not exist any more, or is not shared with you.")
    return found


def saved_entry(kept: Saved, catalog: Catalog) -> ImageEntry:
    """A saved image as an entry of the catalog: under the terms, and with the needs, of the image it comes from.

    Its groups are its parent's too: what only some may use is not opened to others by a copy. One whose parent has left
    the catalog is under the default image's terms.
    """
    parent = catalog.image(kept.words.parent) or catalog.default_image
    # A region of which the catalog knows nothing would have no desk: nothing is ever found there.
    return parent.model_copy(
        update={
            "name": kept.name,
            "title": kept.title,
            "description": kept.words.note,
            "image": kept.id,
            "library": None,
            "sha512": None,
            "inside": (),
            "region": kept.region,
        }
    )


def _with_saved(offer: Offer | None, saved: Sequence[Saved]) -> Offer | None:
    """The offer with these images in it: what Glance demands of a flavor holds for them too."""
    return offer and replace(offer, images={**offer.images, **{kept.name: kept.image for kept in saved}})


def _asked(raw: object) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise OptionsError("options", 'The options must be an object like {"image": name, "flavor": name}.')
    for name in raw:
        if name not in FIELDS:
            raise OptionsError("options", _unknown(name))
    asked: dict[str, str] = {}
    for field in FIELDS:
        value = raw.get(field)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise OptionsError(field, f"The {field} must be a name, not {shown(value)}.")
        asked[field] = value
    return asked


def _image(name: str | None, catalog: Catalog, who: Who, offer: Offer | None) -> ImageEntry:
    if name is not None:
        image = catalog.image(name)
        if image is None:
            raise OptionsError("image", f"This hub has no image {shown(name)}; it has {_names(catalog.images)}.")
        if sentence := _image_refused(image, catalog, who, offer):
            raise OptionsError("image", sentence)
        return image
    default = catalog.default_image
    for image in (default, *catalog.images):
        if not _image_refused(image, catalog, who, offer):
            return image
    raise OptionsError("image", f"No image can be started by you: {_image_refused(default, catalog, who, offer)}")


def _flavor(name: str | None, image: ImageEntry, catalog: Catalog, who: Who, offer: Offer | None) -> FlavorEntry:
    if name is not None:
        flavor = catalog.flavor(name)
        if flavor is None:
            raise OptionsError("flavor", f"This hub has no flavor {shown(name)}; it has {_names(catalog.flavors)}.")
        if sentence := _pair_refused(image, flavor, catalog, who, offer):
            raise OptionsError("flavor", sentence)
        return flavor
    for flavor in (catalog.default_flavor, *catalog.flavors):
        if not _pair_refused(image, flavor, catalog, who, offer):
            return flavor
    raise OptionsError("flavor", f"None of the flavors of {image.title} is open to you.")


def _image_refused(image: ImageEntry, catalog: Catalog, who: Who, offer: Offer | None) -> str:
    """Why this user cannot have the image now, as a sentence; empty when they can."""
    offer = _offer_for(image, catalog, offer)
    if not who.belongs(image.groups):
        return _for_members(image.groups)
    if offer and offer.known and image.name not in offer.images:
        return f"{image.title} is missing in the cloud, or not as it was published; tell the people who run this hub."
    if all(_pair_refused(image, flavor, catalog, who, offer) for flavor in catalog.flavors_for(image)):
        return f"None of the flavors of {image.title} is open to you."
    return ""


def _offer_for(image: ImageEntry, catalog: Catalog, offer: Offer | None) -> Offer | None:
    """The offer is the home region's: of an image started elsewhere it says nothing."""
    return offer if catalog.region_of(image) == catalog.home_region else None


def _pair_refused(image: ImageEntry, flavor: FlavorEntry, catalog: Catalog, who: Who, offer: Offer | None) -> str:
    offer = _offer_for(image, catalog, offer)
    return catalog.unfit(image, flavor) or _too_small(image, flavor, offer) or _flavor_refused(flavor, who, offer)


def _flavor_refused(flavor: FlavorEntry, who: Who, offer: Offer | None) -> str:
    if not who.belongs(flavor.groups):
        return _for_members(flavor.groups)
    if not _offered(flavor, offer):
        return f"The cloud does not offer {flavor.title} to this hub."
    return ""


def _offered(flavor: FlavorEntry, offer: Offer | None) -> bool:
    """GPU and large-memory flavors are visible only to allocations that hold them."""
    if offer is None or not offer.known:
        return True
    seen = offer.flavors.get(flavor.name)
    return seen is not None and not seen.disabled


def _too_small(image: ImageEntry, flavor: FlavorEntry, offer: Offer | None) -> str:
    """Glance may demand more disk or memory than the catalog says; Nova would refuse the create."""
    stored = offer.images.get(image.name) if offer else None
    size = offer.flavors.get(flavor.name) if offer else None
    # A flavor with no root disk of its own (0) boots from a volume or takes the image's size.
    if stored and size and (size.ram_mb < stored.min_ram_mb or 0 < size.disk_gb < stored.min_disk_gb):
        return f"{image.title} does not fit on {flavor.title}: choose a larger flavor."
    return ""


def _names(entries: Iterable[ImageEntry | FlavorEntry]) -> str:
    return ", ".join(entry.name for entry in entries)


def _for_members(groups: tuple[str, ...] | None) -> str:
    return f"Only for members of {' or '.join(groups or ())}." if groups else "Not open to anybody at the moment."


def choices(
    catalog: Catalog,
    who: Who,
    offer: Offer | None,
    chosen: Mapping[str, object],
    now: datetime,
    saved: Sequence[Saved] = (),
) -> dict[str, Any]:
    """What the form's template shows. `chosen` is what this user asked for last time, kept where it still can be."""
    mine = [kept for kept in saved if may_start(kept, who) and (is_owner(kept, who) or kept.group in who.groups)]
    offer = _with_saved(offer or NOTHING_KNOWN, mine) or NOTHING_KNOWN
    flavors = [flavor for flavor in catalog.flavors if _offered(flavor, offer)]
    return {
        "images": [
            *(_image_shown(image, catalog, who, offer) for image in catalog.images),
            *(_saved_shown(kept, catalog, who, offer) for kept in mine),
        ],
        "flavors": [_flavor_shown(flavor, who, offer, now) for flavor in flavors],
        "typical": {
            f"{image}|{flavor}": {"p50_s": p50_s, "p90_s": p90_s}
            for (image, flavor), (p50_s, p90_s) in _typical(offer, mine).items()
        },
        "chosen": _chosen(catalog, who, offer, chosen, mine),
        "cloud_known": offer.known,
    }


def _image_shown(image: ImageEntry, catalog: Catalog, who: Who, offer: Offer) -> dict[str, Any]:
    why_not = _image_refused(image, catalog, who, offer)
    profile = catalog.profile_of(image)
    fitting = [
        flavor.name
        for flavor in catalog.flavors_for(image)
        if _offered(flavor, offer) and not _too_small(image, flavor, offer)
    ]
    return {
        "name": image.name,
        "title": image.title,
        "description": image.description,
        "inside": list(image.inside),
        "gpu": image.gpu,
        "flavors": fitting,
        "usable": not why_not,
        "why_not": why_not,
        "profile": {
            "sudo": profile.sudo,
            "idle_minutes": _plain(profile.idle_minutes),
            "longest_hours": _plain(profile.longest_hours),
        },
    }


def _saved_shown(kept: Saved, catalog: Catalog, who: Who, offer: Offer) -> dict[str, Any]:
    parent = catalog.image(kept.words.parent)
    told = {
        "mine": is_owner(kept, who),
        "owner": kept.owner,
        "group": kept.group,
        "frozen": kept.frozen,
        "at": kept.words.saved_at.isoformat(timespec="minutes"),
        "size": plain_gb(kept.size_gb),
        "parent": parent.title if parent else kept.words.parent,
    }
    return {**_image_shown(saved_entry(kept, catalog), catalog, who, offer), "saved": told}


def _typical(offer: Offer, saved: Sequence[Saved]) -> dict[tuple[str, str], tuple[float, float]]:
    """Typical times; a saved image starts about as its parent does, and is not told apart from it in the history."""
    told = dict(offer.typical_s)
    for kept in saved:
        told |= {(kept.name, flavor): s for (image, flavor), s in offer.typical_s.items() if image == kept.words.parent}
    return told


def _flavor_shown(flavor: FlavorEntry, who: Who, offer: Offer, now: datetime) -> dict[str, Any]:
    why_not = _flavor_refused(flavor, who, offer)
    seen = offer.flavors.get(flavor.name)
    room, room_text = _room(flavor, offer, now)
    return {
        "name": flavor.name,
        "title": flavor.title,
        "vcpus": seen.vcpus if seen else flavor.vcpus,
        "memory_gb": _plain(seen.ram_mb / 1024 if seen else flavor.memory_gb),
        "disk_gb": _plain(seen.disk_gb if seen else flavor.disk_gb),
        "gpu": {"kind": flavor.gpu.kind, "memory_gb": _plain(flavor.gpu.memory_gb)} if flavor.gpu else None,
        "su_per_hour": _plain(flavor.su_per_hour),
        "usable": not why_not,
        "why_not": why_not,
        "room": room,
        "room_text": room_text,
    }


def _room(flavor: FlavorEntry, offer: Offer, now: datetime) -> tuple[str, str]:
    """Whether a start has room now, as ("yes" | "no" | "unknown", sentence)."""
    refused = offer.full_since.get(flavor.name)
    if refused is not None and now - refused < _FULL_FOR:
        return "no", f"The cloud had no room for it {duration(max(0.0, (now - refused).total_seconds()))} ago."
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
    return "yes", "Has room now."


def _chosen(
    catalog: Catalog, who: Who, offer: Offer, chosen: Mapping[str, object], saved: Sequence[Saved]
) -> dict[str, str]:
    """The form's first selection: the last choice, as much of it as still holds, else the defaults."""
    last = {field: value for field in FIELDS if isinstance(value := chosen.get(field), str)}
    for asked in (last, {"image": last.get("image")}, {}):
        try:
            choice = check(asked, catalog=catalog, who=who, offer=offer, saved=saved)
        except OptionsError:
            continue
        return {"image": choice.image.name, "flavor": choice.flavor.name}
    return {"image": catalog.defaults.image, "flavor": catalog.defaults.flavor}


def _plain(number: float) -> float | int:
    """10 rather than 10.0, for people."""
    return int(number) if number == int(number) else round(number, 2)
