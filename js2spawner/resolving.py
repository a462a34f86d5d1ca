"""From an entry of the catalog to the one image in a cloud that it means now. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from js2spawner.catalog_entries import ImageEntry
from js2spawner.cloud.errors import BadImage, ImageChanged
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


def _newest(images: Sequence[Image], wanted: str) -> Image | None:
    """By id, else the newest active image of that name: the same name is republished, and a class wants today's.

    A public one first, which takes an operator of the cloud: everybody on the allocation can make an image of that
    name, or of a name that is another's id.
    """
    usable = [image for image in images if image.status == "active" and wanted in (image.id, image.name)]
    return max(
        usable, key=lambda image: (image.id == wanted, image.visibility == "public", image.created), default=None
    )
