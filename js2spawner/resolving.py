"""From an entry of the catalog to the one image in a cloud that it means now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from js2spawner.catalog_entries import ImageEntry
from js2spawner.cloud.errors import BadImage, ImageChanged, ImageNotPublished
from js2spawner.cloud.records import Image
from js2spawner.library.published import current, why_none
from js2spawner.library.signing import PublicKeys


def resolve(entry: ImageEntry, images: Sequence[Image], keys: PublicKeys) -> Image:
    """The image a start of this entry gets. Raises BadImage, ImageChanged or ImageNotPublished."""
    if entry.library is not None:
        found = current(images, entry.library, keys)
        if found is None:
            raise why_none(images, entry.library, keys)
        return found
    found = _newest(images, entry.image or "")
    if found is None:
        raise BadImage(f"no usable image named {entry.image!r}")
    if entry.sha512 is not None and (found.os_hash_algo, found.os_hash_value) != ("sha512", entry.sha512.lower()):
        raise ImageChanged(f"image {found.name!r} ({found.id}) has not the sha512 that the catalog says")
    return found


def resolved(entry: ImageEntry, images: Sequence[Image], keys: PublicKeys) -> Image | None:
    """The same, or None."""
    try:
        return resolve(entry, images, keys)
    except BadImage:
        return None


class Editions:
    """Which data each region has under the name of an entry, so that a start gets the same whichever region it is in.

    The first region of an entry's list that has the image is the one to go by. Images of the library need none of
    this: whatever version a region has, its signature covers the data. Nor does an entry that `sha512` pins.
    """

    def __init__(self) -> None:
        self._data: dict[tuple[str, str], str] = {}

    def note(self, entry: ImageEntry, region: str, image: Image | None) -> None:
        """What a region has of an entry now; what one said last counts on while it does not answer."""
        if image is None:
            self._data.pop((entry.name, region), None)
        else:
            self._data[entry.name, region] = data_of(image)

    def check(self, entry: ImageEntry, regions: Iterable[str], region: str, image: Image) -> None:
        """Raises ImageNotPublished when the region has other data under the name than the one to go by."""
        if entry.library is not None or entry.sha512 is not None:
            return
        first = next((name for name in regions if (entry.name, name) in self._data), region)
        if first != region and (not data_of(image) or self._data[entry.name, first] != data_of(image)):
            raise ImageNotPublished(
                f"region {region} lacks the image {entry.image!r} that region {first} has: its {image.name!r} "
                f"({image.id}) holds other data"
            )


def data_of(image: Image) -> str:
    """What tells one image's data from another's: Glance's own hash of them; empty when it has none."""
    return f"{image.os_hash_algo}:{image.os_hash_value}" if image.os_hash_value else ""


def _newest(images: Sequence[Image], wanted: str) -> Image | None:
    """By id, else the newest active image of that name: the same name is republished, and a class wants today's.

    A public one first, which takes an operator of the cloud: everybody on the allocation can make an image of that
    name, or of a name that is another's id.
    """
    usable = [image for image in images if image.status == "active" and wanted in (image.id, image.name)]
    return max(
        usable, key=lambda image: (image.id == wanted, image.visibility == "public", image.created), default=None
    )
