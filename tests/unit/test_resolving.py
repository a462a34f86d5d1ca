from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from js2spawner.catalog_entries import ImageEntry
from js2spawner.cloud.errors import BadImage, ImageChanged, ImageNotPublished
from js2spawner.failures import failure_of
from js2spawner.library.signing import NO_KEYS
from js2spawner.resolving import resolve, resolved

from .library.in_glance import KEY, T0, image, signed

SHA512 = "ab" * 64
CURRENT = signed(image("b1"), promoted=T0)


def entry(**source: Any) -> ImageEntry:
    return ImageEntry(name="first", title="First", description="The first.", profile="plain", **source)


def test_an_entry_of_the_library_means_the_current_version_and_no_image_of_that_name():
    impostor = replace(image("b2"), name="js2-minimal", created=T0 + timedelta(days=9))
    assert resolve(entry(library="minimal"), [impostor, CURRENT], KEY.keys) == CURRENT


@pytest.mark.parametrize(
    ("images", "error"),
    [
        ([], ImageNotPublished),
        ([signed(image("b1"))], ImageNotPublished),
        ([replace(CURRENT, os_hash_value="x")], ImageChanged),
    ],
)
def test_an_image_that_nobody_vouches_for_is_refused_by_name(images: list[Any], error: type[BadImage]):
    with pytest.raises(error) as raised:
        resolve(entry(library="minimal"), images, KEY.keys)
    assert resolved(entry(library="minimal"), images, KEY.keys) is None
    failure = failure_of(raised.value)
    assert failure.name == error.name
    assert failure.sentence == error.sentence
    assert failure.policy == "give-up"
    assert "minimal" in failure.detail


def test_without_keys_nothing_of_the_library_starts():
    with pytest.raises(ImageChanged, match="does not trust"):
        resolve(entry(library="minimal"), [CURRENT], NO_KEYS)


def test_an_entry_by_name_gets_the_newest_active_image_of_that_name():
    old = replace(image("b1"), name="Featured", id="old")
    new = replace(old, id="new", created=T0 + timedelta(days=1))
    queued = replace(old, id="queued", status="queued", created=T0 + timedelta(days=2))
    assert resolve(entry(image="Featured"), [old, new, queued], NO_KEYS).id == "new"
    assert resolve(entry(image="old"), [old, new, queued], NO_KEYS).id == "old"


def test_nobody_on_the_allocation_takes_the_place_of_a_public_image_or_of_an_id():
    public = replace(image("b1"), name="Featured", id="public", visibility="public")
    newer = replace(public, id="newer", visibility="private", created=T0 + timedelta(days=1))
    named_like_it = replace(newer, name="public", visibility="public")
    assert resolve(entry(image="Featured"), [public, newer], NO_KEYS) == public
    assert resolve(entry(image="Featured"), [newer], NO_KEYS) == newer
    assert resolve(entry(image="public"), [named_like_it, public], NO_KEYS) == public


def test_an_entry_that_is_pinned_takes_no_other_data_under_the_name():
    pinned = replace(image("b1"), name="Featured", os_hash_value=SHA512)
    assert resolve(entry(image="Featured", sha512=SHA512.upper()), [pinned], NO_KEYS) == pinned
    for other in (replace(pinned, os_hash_value="cd" * 64), replace(pinned, os_hash_algo="sha256")):
        with pytest.raises(ImageChanged):
            resolve(entry(image="Featured", sha512=SHA512), [other], NO_KEYS)
