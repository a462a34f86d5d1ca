"""What a user may ask for, checked in one place: from the form, from a link, over REST.

Pure. The catalog says what is offered, an offer says what one region's cloud has at the moment, and they meet here.
`options_shown` says what of it the form shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import FlavorEntry, ImageEntry, Profile, Region
from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.instance import Idle
from js2spawner.located_yaml import shown
from js2spawner.numbers_shown import plain
from js2spawner.saved import PREFIX, Saved, may_start

FIELDS = ("image", "flavor", "region", "home", "idle", "fallback", "confirm")
"""`fallback`: yes lets a start go to another region or flavor of the profile when the wanted one has no room. (It is
not called "next": JupyterHub takes a field of that name for the page to show afterwards.)"""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "home": ("yes", "none"),
    "idle": ("delete", "shelve", "keep"),
    "fallback": ("yes", "no"),
    "confirm": ("yes",),
}
_LABELS = {"idle": "choice for an unused server", "fallback": "choice of a fallback", "confirm": "confirmation"}

# What a link must not decide for whoever follows it: JupyterHub starts at once what a link names.
_NOT_BY_LINK = {
    "confirm": "A link cannot confirm a price for you; choose it here if you want it.",
    "home": "A link cannot start a server without your home; choose that here if you want it.",
    "idle": "A link cannot decide what becomes of your server when it is unused; choose that here.",
    "fallback": "A link cannot allow another flavor or region for you; choose that here.",
}
_HARMLESS = {("home", "yes"), ("fallback", "no")}


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
    """What one region's cloud has at the moment.

    `flavors` by Nova's name, `images` by the catalog's name. `full_since`: when the cloud last had no room for a
    flavor, `had_at`: when somebody last got one. `typical_s`: (image, flavor) → (p50, p90) seconds of a start. `known`:
    False until the cloud has answered. `state`: the breaker's word on the region. `lacks`: why an image of the catalog
    cannot be started here.
    """

    flavors: Mapping[str, Flavor]
    images: Mapping[str, Image]
    limits: Limits | None
    full_since: Mapping[str, datetime]
    typical_s: Mapping[tuple[str, str], tuple[float, float]]
    known: bool
    state: Literal["up", "trying", "down"] = "up"
    lacks: Mapping[str, str] = field(default_factory=dict)
    had_at: Mapping[str, datetime] = field(default_factory=dict)

    def has(self, flavor: FlavorEntry) -> bool:
        """GPU and large-memory flavors are visible only to allocations that hold them."""
        seen = self.flavors.get(flavor.name)
        return not self.known or (seen is not None and not seen.disabled)

    def too_small(self, image: ImageEntry, flavor: FlavorEntry) -> bool:
        """Glance may demand more disk or memory than the catalog says; Nova would refuse the create."""
        stored, size = self.images.get(image.name), self.flavors.get(flavor.name)
        if stored is None or size is None:
            return False
        # A flavor with no root disk of its own (0) boots from a volume or takes the image's size.
        return size.ram_mb < stored.min_ram_mb or 0 < size.disk_gb < stored.min_disk_gb


NOTHING_KNOWN = Offer(flavors={}, images={}, limits=None, full_since={}, typical_s={}, known=False)
NO_OFFERS: Mapping[str, Offer] = {}


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


@dataclass(frozen=True, slots=True)
class Scope:
    """What one user may have at the moment. `offers` by region; of one that is missing nothing is known.

    Each `…_refused` gives the reason as a sentence, or nothing when it can be had.
    """

    catalog: Catalog
    who: Who
    offers: Mapping[str, Offer]

    def offer(self, region: Region) -> Offer:
        return self.offers.get(region.name, NOTHING_KNOWN)

    def image_refused(self, image: ImageEntry) -> str:
        if not self.who.belongs(image.groups):
            return _for_members(image.groups)
        lacking = [self._missing(image, region) for region in self.catalog.regions_of(image)]
        if all(lacking):
            return lacking[0]
        if all(self.pair_refused(image, flavor) for flavor in self.catalog.flavors_for(image)):
            return f"None of the flavors of {image.title} is open to you."
        return ""

    def pair_refused(self, image: ImageEntry, flavor: FlavorEntry) -> str:
        """Why the image cannot be started on the flavor in any of its regions."""
        if sentence := self.catalog.unfit(image, flavor):
            return sentence
        if not self.who.belongs(flavor.groups):
            return _for_members(flavor.groups)
        refused = [self.region_refused(image, flavor, region) for region in self.catalog.regions_of(image)]
        return refused[0] if all(refused) else ""

    def region_refused(self, image: ImageEntry, flavor: FlavorEntry, region: Region) -> str:
        """Why not in this one of the image's regions."""
        offer = self.offer(region)
        if sentence := self._missing(image, region):
            return sentence
        if offer.too_small(image, flavor):
            return f"{image.title} does not fit on {flavor.title}: choose a larger flavor."
        return "" if offer.has(flavor) else f"The cloud does not offer {flavor.title} to this hub."

    def flavor_refused(self, flavor: FlavorEntry) -> str:
        """Why the flavor cannot be had at all, whatever the image."""
        if not self.who.belongs(flavor.groups):
            return _for_members(flavor.groups)
        return "" if self.offered(flavor) else f"The cloud does not offer {flavor.title} to this hub."

    def offered(self, flavor: FlavorEntry) -> bool:
        """Whether any region has it, as far as anybody knows."""
        return any(self.offer(region).has(flavor) for region in self.catalog.regions)

    def further(self, image: ImageEntry, first: FlavorEntry | None, *, confirmed: bool) -> tuple[FlavorEntry, ...]:
        """What is tried after a flavor that has no room: a price that has to be confirmed is never fallen into."""
        profile = self.catalog.profile_of(image)
        named = (self.catalog.flavor(name) for name in profile.next_flavors)
        return tuple(
            flavor
            for flavor in named
            if flavor and flavor != first and not self.pair_refused(image, flavor)
            if confirmed or not needs_confirmation(profile, flavor)
        )

    def _missing(self, image: ImageEntry, region: Region) -> str:
        offer = self.offer(region)
        if not offer.known or image.name in offer.images:
            return ""
        return f"{image.title} is missing in the cloud, or not as it was published; tell the people who run this hub."


def needs_confirmation(profile: Profile, flavor: FlavorEntry) -> bool:
    """Whether a flavor is dear enough that its price has to be confirmed first."""
    return profile.confirm_from_su is not None and flavor.su_per_hour >= profile.confirm_from_su


def price_sentence(flavor: FlavorEntry) -> str:
    return f"{flavor.title} costs {plain(flavor.su_per_hour)} SU for each hour it runs, used or not."


def from_form(form: Mapping[str, Any]) -> dict[str, str]:
    """The options in the spawn form's fields. Other fields (JupyterHub's own) are left alone.

    Raises OptionsError when a field stands more than once or is no text.
    """
    chosen: dict[str, str] = {}
    for option in FIELDS:
        values = form.get(option) or []
        if len(values) > 1 or not all(isinstance(value, str) for value in values):
            raise OptionsError(option, f"Choose one {_LABELS.get(option, option)}.")
        if values and values[0]:
            chosen[option] = values[0]
    return chosen


def from_query(query: Mapping[str, Any]) -> dict[str, str]:
    """The options in a link. An unknown one is refused: a typing mistake must not start something else.

    So is a saved image: JupyterHub starts at once what a link names, and a link may come from whoever left something in
    that image for its next user. One behind "#" is only picked on the page (choose.js). For the same reason a link says
    what to start and where, and nothing that costs or loses something: no price is confirmed, no home left out by it.
    """
    for name in query:
        if name not in FIELDS:
            raise OptionsError("options", _unknown(name))
    chosen = from_form(query)
    if chosen.get("image", "").startswith(PREFIX):
        raise OptionsError(
            "image", "A link cannot start a saved image by itself; choose it here if you trust its owner."
        )
    for option, value in chosen.items():
        if option in _NOT_BY_LINK and (option, value) not in _HARMLESS:
            raise OptionsError(option, _NOT_BY_LINK[option])
    return chosen


def _unknown(name: object) -> str:
    return f"This hub knows no option {shown(name)}; it knows {', '.join(FIELDS[:-1])} and {FIELDS[-1]}."


def check(
    raw: object, *, catalog: Catalog, who: Who, offers: Mapping[str, Offer] = NO_OFFERS, saved: Sequence[Saved] = ()
) -> Choice:
    """The choice that `raw` stands for: an object with some of FIELDS, all of them optional.

    Without an image the default one is taken, or the first that this user may use; likewise for the flavor, but none
    whose price has to be confirmed. Without a region all of the image's are, in the operator's order; one that is named
    is the only one unless a fallback is allowed. Raises OptionsError. Regions without an offer, or with one that is not
    known, leave out what only the cloud can say. `saved` are the saved images that the cloud has at the moment,
    whoever's they are: here it is decided who may start one.
    """
    asked = _asked(raw)
    name = asked.get("image")
    kept = _saved(name, who, saved) if name is not None and name.startswith(PREFIX) else None
    if kept is None:
        scope = Scope(catalog, who, offers)
        image = _image(name, scope)
    else:
        image, scope = saved_entry(kept, catalog), Scope(catalog, who, with_saved(offers, (kept,)))
        if sentence := scope.image_refused(image):
            raise OptionsError("image", sentence)
    profile = catalog.profile_of(image)
    confirmed, fallback = asked.get("confirm") == "yes", asked.get("fallback") == "yes"
    flavor = _flavor(asked.get("flavor"), image, scope, confirmed=confirmed)
    if needs_confirmation(profile, flavor) and not confirmed:
        raise OptionsError("confirm", f"{price_sentence(flavor)} Confirm the price to start it.")
    return Choice(
        image,
        profile,
        _regions(asked.get("region"), image, flavor, scope, fallback=fallback),
        (flavor, *(scope.further(image, flavor, confirmed=confirmed) if fallback else ())),
        kept,
        home=asked.get("home") != "none",
        idle=_idle(asked.get("idle"), profile),
    )


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


def with_saved(offers: Mapping[str, Offer], saved: Sequence[Saved]) -> Mapping[str, Offer]:
    """The offers with these images in them: what Glance demands of a flavor holds for them too."""
    there: dict[str, dict[str, Image]] = {}
    for kept in saved:
        there.setdefault(kept.region, {})[kept.name] = kept.image
    return {
        region: replace(offer, images={**offer.images, **there.get(region, {})}) for region, offer in offers.items()
    }


def _asked(raw: object) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise OptionsError("options", 'The options must be an object like {"image": name, "flavor": name}.')
    for name in raw:
        if name not in FIELDS:
            raise OptionsError("options", _unknown(name))
    asked: dict[str, str] = {}
    for option in FIELDS:
        value = raw.get(option)
        if value is None or value == "":
            continue
        words = _WORDS.get(option)
        if not isinstance(value, str) or (words is not None and value not in words):
            kind = "a name" if words is None else _or(words)
            raise OptionsError(option, f"The {_LABELS.get(option, option)} must be {kind}, not {shown(value)}.")
        asked[option] = value
    return asked


def _image(name: str | None, scope: Scope) -> ImageEntry:
    catalog = scope.catalog
    if name is not None:
        image = catalog.image(name)
        if image is None:
            raise OptionsError("image", f"This hub has no image {shown(name)}; it has {_names(catalog.images)}.")
        if sentence := scope.image_refused(image):
            raise OptionsError("image", sentence)
        return image
    default = catalog.default_image
    for image in (default, *catalog.images):
        if not scope.image_refused(image):
            return image
    raise OptionsError("image", f"No image can be started by you: {scope.image_refused(default)}")


def _flavor(name: str | None, image: ImageEntry, scope: Scope, *, confirmed: bool) -> FlavorEntry:
    catalog = scope.catalog
    if name is not None:
        flavor = catalog.flavor(name)
        if flavor is None:
            raise OptionsError("flavor", f"This hub has no flavor {shown(name)}; it has {_names(catalog.flavors)}.")
        if sentence := scope.pair_refused(image, flavor):
            raise OptionsError("flavor", sentence)
        return flavor
    profile = catalog.profile_of(image)
    fitting = [f for f in (catalog.default_flavor, *catalog.flavors) if not scope.pair_refused(image, f)]
    if not fitting:
        raise OptionsError("flavor", f"None of the flavors of {image.title} is open to you.")
    # Who names no flavor has seen no price.
    return next((f for f in fitting if confirmed or not needs_confirmation(profile, f)), fitting[0])


def _regions(
    name: str | None, image: ImageEntry, flavor: FlavorEntry, scope: Scope, *, fallback: bool
) -> tuple[Region, ...]:
    every = scope.catalog.regions_of(image)
    if name is None:
        # Where the cloud has said that it cannot be, it is not tried; where it has said nothing it may be.
        able = tuple(region for region in every if not scope.region_refused(image, flavor, region))
        return able or every
    wanted = next((region for region in every if region.name == name), None)
    if wanted is None:
        if name not in [region.name for region in scope.catalog.regions]:
            known = _names(scope.catalog.regions)
            raise OptionsError("region", f"This hub has no region {shown(name)}; it has {known}.")
        raise OptionsError("region", f"{image.title} is not started in {name}, only in {_names(every)}.")
    if sentence := scope.region_refused(image, flavor, wanted):
        raise OptionsError("region", f"Not in {wanted.shown}: {sentence}")
    return (wanted, *(region for region in every if region != wanted)) if fallback else (wanted,)


def _idle(asked: str | None, profile: Profile) -> Idle:
    for idle in profile.idle:
        if asked in (None, idle):
            return idle
    raise OptionsError("idle", f"An unused server of this kind can be told to {_or(profile.idle)}, not to {asked}.")


def _names(entries: Iterable[ImageEntry | FlavorEntry | Region]) -> str:
    return ", ".join(entry.name for entry in entries)


def _or(words: Sequence[str]) -> str:
    return " or ".join(f"“{word}”" for word in words)


def _for_members(groups: tuple[str, ...] | None) -> str:
    return f"Only for members of {' or '.join(groups or ())}." if groups else "Not open to anybody at the moment."
