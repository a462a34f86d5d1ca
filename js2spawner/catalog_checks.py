"""What cannot be meant in a catalog whose settings are right one by one: names of nothing, and contradictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from js2spawner.catalog_entries import ClassData, FlavorEntry, ImageEntry, Profile, Region
from js2spawner.located_yaml import Located, Mistake, YamlPath, shown

if TYPE_CHECKING:
    from js2spawner.catalog import Catalog

_SHA512 = re.compile(r"[0-9a-fA-F]{128}")

_WORDS = {
    "regions": "region",
    "profiles": "profile",
    "images": "image",
    "flavors": "flavor",
    "data": "class data",
    "limits": "limit",
}
# Which settings name an entry of which section; a list names several.
_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "images": (("smallest", "flavors"), ("profile", "profiles"), ("region", "regions"), ("flavors", "flavors")),
    "profiles": (("regions", "regions"), ("next_flavors", "flavors"), ("data", "data")),
    "data": (("region", "regions"),),
}

Lost = Callable[[str, object], str]


def references(located: Located, entries: Mapping[str, Sequence[Any]]) -> Iterator[Mistake]:
    """Names that are used and stand nowhere, or twice. A name whose own entry has a mistake counts as there."""
    data = located.data if isinstance(located.data, dict) else {}

    def lost(section: str, name: object) -> str:
        present = data.get(section)
        if not isinstance(name, str) or name in map(str, present if isinstance(present, dict) else ()):
            return ""
        if not isinstance(present, dict):
            # A section that must be there is told of by itself.
            missing = f"there is no section “{section}” with a {_WORDS[section]} {shown(name)}; add it."
            return missing if section == "data" and present is None else ""
        return (
            f"there is no {_WORDS[section]} {shown(name)} under “{section}”; known are {', '.join(map(str, present))}."
        )

    for section, settings in _NAMES.items():
        for entry in entries[section]:
            for setting, named in settings:
                yield from _of_setting((section, entry.name, setting), getattr(entry, setting), named, lost)
    defaults = data.get("defaults")
    for setting, section in (("image", "images"), ("flavor", "flavors")):
        if isinstance(defaults, dict) and (sentence := lost(section, defaults.get(setting))):
            yield ("defaults", setting), sentence


def _of_setting(here: YamlPath, value: object, section: str, lost: Lost) -> Iterator[Mistake]:
    if not isinstance(value, tuple):
        if sentence := lost(section, value):
            yield here, sentence
        return
    for position, name in enumerate(value):
        if sentence := lost(section, name):
            yield (*here, position), sentence
        elif name in value[:position]:
            yield (*here, position), f"{_WORDS[section]} {shown(name)} stands here twice; keep one."


def by_themselves(entries: Mapping[str, Sequence[Any]]) -> Iterator[Mistake]:
    """Entries whose own settings contradict each other."""
    for image in entries["images"]:
        yield from _source(image)
    for profile in entries["profiles"]:
        yield from _home(profile)
        yield from _idle(profile)
    for data in entries["data"]:
        yield from _class_data(data)
    for flavor in entries["flavors"]:
        yield from _gpu(flavor)
    yield from _regions(entries["regions"])


def _source(image: ImageEntry) -> Iterator[Mistake]:
    """An entry that does not say where its image comes from, or says it twice."""
    here: YamlPath = ("images", image.name)
    thing = f"image {shown(image.name)}"
    if image.image is None and image.library is None:
        yield here, f"{thing} lacks “library” (an image of the library) or “image” (a name in the cloud); add one."
    if image.image is not None and image.library is not None:
        yield (*here, "library"), f"{thing} has both “library” and “image”; keep one."
    if image.sha512 is None:
        return
    if image.library is not None:
        sentence = f"{thing} comes from the library, whose signature covers the data; remove “sha512”."
        yield (*here, "sha512"), sentence
    elif not _SHA512.fullmatch(image.sha512):
        sentence = f"“sha512” of {thing} must be 128 hexadecimal digits: what Glance shows as os_hash_value."
        yield (*here, "sha512"), sentence


def _home(profile: Profile) -> Iterator[Mistake]:
    home, here = profile.home, ("profiles", profile.name, "home")
    thing = f"profile {shown(profile.name)}"
    said = home.model_fields_set - {"kind"}
    if home.kind == "none" and said:
        settings = "is" if len(said) == 1 else "are"
        sentence = f"{thing} has no homes, so {_listed(said)} of its “home” {settings} for nothing; add “kind: volume”."
        yield here, sentence
        return
    if home.most_gb < home.size_gb:
        # Whoever gives a size alone means that it is enough.
        what = "raise it." if "most_gb" in home.model_fields_set else f"add “most_gb: {home.size_gb}”."
        yield (*here, "most_gb"), f"“home.most_gb” of {thing} is {home.most_gb}, less than its “size_gb”; {what}"
    seed = home.seed
    if seed is None:
        return
    if (seed.git is None) == (seed.archive is None):
        has = "has both “git” and “archive”; keep one"
        lacks = "lacks “git” (a repository) or “archive” (a tar file); add one"
        yield (*here, "seed"), f"“home.seed” of {thing} {has if seed.git else lacks}."
    elif seed.archive is not None and seed.branch is not None:
        yield (*here, "seed", "branch"), f"“home.seed” of {thing} is an archive, which has no branch; remove it."


def _idle(profile: Profile) -> Iterator[Mistake]:
    here, thing = ("profiles", profile.name), f"profile {shown(profile.name)}"
    for position, idle in enumerate(profile.idle):
        if idle in profile.idle[:position]:
            yield (*here, "idle", position), f"“{idle}” stands twice in “idle” of {thing}; keep one."
    if "shelved_days" in profile.model_fields_set and "shelve" not in profile.idle:
        yield (*here, "shelved_days"), f"{thing} shelves nothing: add “shelve” to its “idle”, or remove “shelved_days”."


def _class_data(data: ClassData) -> Iterator[Mistake]:
    if (data.share is None) == (data.snapshot is None):
        has, lacks = "have both “share” and “snapshot”; keep one", "lack “share” or “snapshot”; add the id of one"
        yield ("data", data.name), f"class data {shown(data.name)} {has if data.share else lacks}."


def _gpu(flavor: FlavorEntry) -> Iterator[Mistake]:
    if flavor.gpu is not None and flavor.gpu.cards > 1 and flavor.gpu.share < 1:
        sentence = f"“gpu” of flavor {shown(flavor.name)} is a share of one card and also several; keep one."
        yield ("flavors", flavor.name, "gpu"), sentence


def _regions(regions: Sequence[Region]) -> Iterator[Mistake]:
    for position, region in enumerate(regions):
        same = [other for other in regions[:position] if (other.cloud, other.region) == (region.cloud, region.region)]
        if same:
            thing, other = shown(region.name), shown(same[0].name)
            yield ("regions", region.name), f"region {thing} is the same as {other}; give “region” or another “cloud”."


def contradictions(catalog: Catalog) -> Iterator[Mistake]:
    """Settings of several entries that are wrong together."""
    for profile in catalog.profiles:
        yield from _of_profile(catalog, profile)
    for image in catalog.images:
        for position, name in enumerate(image.flavors or ()):
            flavor = catalog.flavor(name)
            if flavor and (sentence := catalog.unfit(image, flavor)):
                yield ("images", image.name, "flavors", position), f"{sentence} Remove it from this list."
        if not catalog.flavors_for(image):
            yield ("images", image.name), f"image {shown(image.name)} fits none of the flavors; change it or add one."
    if sentence := catalog.unfit(catalog.default_image, catalog.default_flavor):
        yield ("defaults", "flavor"), f"the default flavor does not fit the default image: {sentence}"


def _of_profile(catalog: Catalog, profile: Profile) -> Iterator[Mistake]:
    here, thing = ("profiles", profile.name), f"profile {shown(profile.name)}"
    if profile.warn_minutes >= profile.idle_minutes:
        yield (*here, "warn_minutes"), f"“warn_minutes” of {thing} must be less than its “idle_minutes”."
    images = [image for image in catalog.images if image.profile == profile.name]
    for position, name in enumerate(profile.next_flavors):
        flavor = catalog.flavor(name)
        if images and flavor and all(catalog.unfit(image, flavor) for image in images):
            sentence = f"no image of {thing} runs on {shown(name)}; remove it from its “next_flavors”."
            yield (*here, "next_flavors", position), sentence
    there = {region.name for region in catalog.regions_of_profile(profile)}
    for position, name in enumerate(profile.data):
        home = next((catalog.region_of_data(data) for data in catalog.data if data.name == name), None)
        if images and home is not None and home not in there:
            sentence = f"class data {shown(name)} are in region {shown(home)}, where {thing} starts nothing; remove it."
            yield (*here, "data", position), sentence


def _listed(settings: Iterable[str]) -> str:
    return ", ".join(f"“{setting}”" for setting in sorted(settings))
