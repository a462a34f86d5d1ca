"""What is to be examined: each region of the catalog with all that the catalog wants of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import ClassData, FlavorEntry, Home, ImageEntry, Region
from js2spawner.library.signing import NO_KEYS, PublicKeys


@dataclass(frozen=True, slots=True)
class Place:
    """One region to examine, and what the catalog wants there; without a catalog only that it answers.

    `further` are images that start there only when their first region has no room: without them nobody is worse off
    than with one region. `homes` are the terms of each profile whose servers may be there and keep a home.
    """

    title: str
    cloud: str
    region: str | None
    network: str | None
    images: tuple[ImageEntry, ...] = ()
    flavors: tuple[FlavorEntry, ...] = ()
    image_keys: PublicKeys = NO_KEYS
    further: tuple[ImageEntry, ...] = ()
    homes: tuple[Home, ...] = ()
    data: tuple[ClassData, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether some image starts here first: what is wrong with the others only takes a way out."""
        return bool(self.images) or not self.further


def places(catalog: Catalog, *, only_cloud: str | None, image_keys: PublicKeys = NO_KEYS) -> list[Place]:
    """The regions of the catalog with what each must have; `only_cloud` leaves out those of other clouds."""
    regions = [each for each in catalog.regions if only_cloud in (None, each.cloud)]
    return [_place(catalog, region, image_keys) for region in regions]


def _place(catalog: Catalog, region: Region, image_keys: PublicKeys) -> Place:
    here = [image for image in catalog.images if region in catalog.regions_of(image)]
    flavors = {flavor.name: flavor for image in here for flavor in catalog.flavors_for(image)}
    profiles = {image.profile: catalog.profile_of(image) for image in here}.values()
    wanted = {name for profile in profiles for name in profile.data}
    return Place(
        f"region {region.name}",
        region.cloud,
        region.region,
        region.network,
        tuple(image for image in here if catalog.region_of(image) == region),
        tuple(flavors.values()),
        image_keys,
        further=tuple(image for image in here if catalog.region_of(image) != region),
        homes=tuple(dict.fromkeys(profile.home for profile in profiles if profile.home.kind != "none")),
        data=tuple(
            each for each in catalog.data if each.name in wanted and catalog.region_of_data(each) == region.name
        ),
    )
