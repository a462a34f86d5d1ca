"""The catalog: what this hub offers, to whom, and on what terms. Read once at start from a YAML file an operator edits.

The file has four sections of named entries (`regions`, `profiles`, `images`, `flavors`), two that may be missing
(`data`, `limits`) and the `defaults`. Order counts: it is the order on the page, and the first region is the default
one. `catalog_checks` says what of it cannot be meant. docs/operators.md explains every setting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from js2spawner import catalog_checks, located_yaml
from js2spawner.catalog_entries import ClassData, Defaults, Entry, FlavorEntry, ImageEntry, Limit, Profile, Region
from js2spawner.lease import Policy
from js2spawner.located_yaml import FileError, Located, Mistake, YamlPath, shown
from js2spawner.saved import Allowance


class CatalogError(FileError):
    """The catalog has mistakes; `mistakes` lists all of them, one line each with file and line."""


E = TypeVar("E", bound=Entry)

_SECTIONS: dict[str, tuple[str, type[Entry]]] = {
    "regions": ("region", Region),
    "profiles": ("profile", Profile),
    "images": ("image", ImageEntry),
    "flavors": ("flavor", FlavorEntry),
    "data": ("class data", ClassData),
    "limits": ("limit", Limit),
}
_MAY_BE_MISSING = ("data", "limits")


@dataclass(frozen=True, slots=True)
class Catalog:
    """A checked catalog: every name one entry uses for another exists. Entries stand in the file's order."""

    regions: tuple[Region, ...]
    profiles: tuple[Profile, ...]
    images: tuple[ImageEntry, ...]
    flavors: tuple[FlavorEntry, ...]
    defaults: Defaults
    limits: tuple[Limit, ...] = ()
    data: tuple[ClassData, ...] = ()

    @classmethod
    def load(cls, path: Path | str, *, idle_minutes: float | None = None) -> Catalog:
        """Read and check the file. `idle_minutes` replaces that of every profile (demonstrations and tests).

        Raises CatalogError with all mistakes of the file.
        """
        try:
            located = located_yaml.read(Path(path))
        except FileError as error:
            raise CatalogError(error.mistakes) from error
        mistakes: list[Mistake] = []
        entries = {section: tuple(_entries(located, section, mistakes)) for section in _SECTIONS}
        defaults = _defaults(located, mistakes)
        mistakes += catalog_checks.references(located, entries)
        mistakes += catalog_checks.by_themselves(entries)
        if mistakes or defaults is None:
            raise CatalogError(located.told(mistakes))
        catalog = cls(**entries, defaults=defaults)
        if contradictions := list(catalog_checks.contradictions(catalog)):
            raise CatalogError(located.told(contradictions))
        return catalog if idle_minutes is None else catalog._with_idle_minutes(idle_minutes)

    def _with_idle_minutes(self, minutes: float) -> Catalog:
        profiles = tuple(
            profile.model_copy(update={"idle_minutes": minutes, "warn_minutes": min(profile.warn_minutes, minutes / 2)})
            for profile in self.profiles
        )
        return replace(self, profiles=profiles)

    @property
    def home_region(self) -> Region:
        """Where an image is started that names no region: the first of the file."""
        return self.regions[0]

    def image(self, name: str) -> ImageEntry | None:
        return _named(self.images, name)

    def flavor(self, name: str) -> FlavorEntry | None:
        return _named(self.flavors, name)

    @property
    def default_image(self) -> ImageEntry:
        return self._present(self.images, self.defaults.image)

    @property
    def default_flavor(self) -> FlavorEntry:
        return self._present(self.flavors, self.defaults.flavor)

    def profile_of(self, image: ImageEntry) -> Profile:
        return self._present(self.profiles, image.profile)

    def regions_of(self, image: ImageEntry) -> tuple[Region, ...]:
        """Where the image may be started, the preferred one first."""
        if image.region:
            return (self._present(self.regions, image.region),)
        named = self.profile_of(image).regions
        return tuple(self._present(self.regions, name) for name in named) if named else (self.home_region,)

    def region_of(self, image: ImageEntry) -> Region:
        """Where the image is started first."""
        return self.regions_of(image)[0]

    def regions_of_profile(self, profile: Profile) -> tuple[Region, ...]:
        """Where servers under these terms, and with them homes, may be."""
        found = [region for image in self.images if image.profile == profile.name for region in self.regions_of(image)]
        return tuple(dict.fromkeys(found))

    def region_of_data(self, data: ClassData) -> str:
        """The name of the region that class data are in: the first of the file where they name none."""
        return data.region or self.home_region.name

    def policy_for(self, image_name: str) -> Policy:
        """The lease policy of a running server's image; the default image's once that one has left the catalog."""
        return self.profile_of(self.image(image_name) or self.default_image).policy

    def allowance_for(self, image_name: str) -> Allowance:
        """What may be kept of a running server of this image."""
        return self.profile_of(self.image(image_name) or self.default_image).allowance

    @staticmethod
    def _present(entries: tuple[E, ...], name: str) -> E:
        """An entry that `load` has made sure of."""
        entry = _named(entries, name)
        assert entry is not None
        return entry

    def flavors_for(self, image: ImageEntry) -> tuple[FlavorEntry, ...]:
        """The flavors an image may run on, whoever asks, in the catalog's order."""
        return tuple(flavor for flavor in self.flavors if not self.unfit(image, flavor))

    def unfit(self, image: ImageEntry, flavor: FlavorEntry) -> str:
        """Why the image may not run on the flavor, as a sentence; empty when it may."""
        if image.flavors is not None and flavor.name not in image.flavors:
            return f"{image.title} is not offered on {flavor.title}."
        if image.gpu == "required" and flavor.gpu is None:
            return f"{image.title} needs a GPU, and {flavor.title} has none."
        if image.gpu == "no" and flavor.gpu is not None:
            return f"{image.title} cannot use the GPU of {flavor.title}."
        if image.smallest:
            smallest = self._present(self.flavors, image.smallest)
            if not flavor.at_least(smallest):
                return f"{image.title} needs at least {smallest.title}."
        return ""


def _named(entries: tuple[E, ...], name: str) -> E | None:
    return next((entry for entry in entries if entry.name == name), None)


def _entries(located: Located, section: str, mistakes: list[Mistake]) -> list[Any]:
    """The entries of one section that are right by themselves; what is wrong is added to `mistakes`."""
    word, model = _SECTIONS[section]
    raw = located.data.get(section) if isinstance(located.data, dict) else None
    if raw is None and section in _MAY_BE_MISSING:
        return []
    if not isinstance(raw, dict) or not raw:
        mistakes.append(((section,), f"“{section}” must list at least one {word}, each under its name."))
        return []
    good: list[Any] = []
    for name, settings in raw.items():
        path: YamlPath = (section, str(name))
        thing = f"{word} {shown(name)}"
        if isinstance(settings, dict) and "name" in settings:
            mistakes.append(((*path, "name"), f"{thing} has its name before the colon already; remove “name”."))
            continue
        try:
            good.append(model.model_validate({**settings, "name": name} if isinstance(settings, dict) else settings))
        except ValidationError as error:
            mistakes += located_yaml.explain(error, model, thing, path)
    return good


def _defaults(located: Located, mistakes: list[Mistake]) -> Defaults | None:
    """The defaults; also what is no section at all."""
    data = located.data if isinstance(located.data, dict) else {}
    for key in data:
        if key not in (*_SECTIONS, "defaults"):
            known = ", ".join((*_SECTIONS, "defaults"))
            mistakes.append(((str(key),), f"{shown(key)} is no section of a catalog; known are {known}."))
    if "defaults" not in data:
        mistakes.append(((), "the section “defaults” is missing; add it with an image and a flavor."))
        return None
    try:
        return Defaults.model_validate(data["defaults"])
    except ValidationError as error:
        mistakes += located_yaml.explain(error, Defaults, "the section defaults", ("defaults",))
        return None
