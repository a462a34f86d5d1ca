from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from js2spawner.cloud.errors import BadImage, ImageChanged, ImageNotPublished
from js2spawner.cloud.records import Image
from js2spawner.library import properties as named
from js2spawner.library.published import current, promoted, versions, why_none

from .in_glance import KEY, OTHER_KEY, T0, changed, image, signed

LATER = T0 + timedelta(days=1)
OLD, NEW = signed(image("b1"), promoted=T0), signed(image("b2"), promoted=LATER)


def current_of(*images: Image) -> str | None:
    found = current(images, "minimal", KEY.keys)
    return found.properties[named.BUILD] if found else None


def refusal(*images: Image) -> BadImage:
    assert current_of(*images) is None
    return why_none(images, "minimal", KEY.keys)


def test_the_version_promoted_last_is_current_whichever_was_built_last():
    assert current_of(OLD, NEW) == "b2"
    assert current_of(signed(image("b1"), promoted=LATER), signed(image("b2"), promoted=T0)) == "b1"


def test_a_version_that_was_not_promoted_is_nobodys():
    assert current_of(OLD, signed(image("b2"))) == "b1"


def test_another_image_of_the_library_is_another_image():
    assert current_of(signed(image("b1", name="r"), promoted=T0)) is None


def test_an_unsigned_image_of_the_same_name_is_no_candidate():
    assert current_of(OLD, changed(image("b2"), **{named.PROMOTED_AT: LATER.isoformat()})) == "b1"
    assert current_of(OLD, signed(image("b2"), promoted=LATER, key=OTHER_KEY)) == "b1"


def test_a_snapshot_that_nova_gave_the_properties_of_its_image_is_no_candidate():
    snapshot = replace(NEW, id="snapshot", os_hash_value="hash-of-the-snapshot", created=LATER)
    assert current_of(OLD, snapshot) == "b1"
    assert [each.verdict for each in versions([OLD, snapshot], "minimal", KEY.keys)] == ["changed", "good"]


def test_an_image_whose_data_are_not_there_is_no_candidate():
    assert current_of(OLD, replace(NEW, status="deactivated")) == "b1"


@pytest.mark.parametrize("told", ["", "soon", "9" * 40, "0001-01-01T00:00:00+23:59", "2026-13-01"])
def test_nonsense_for_a_date_of_promotion_is_none(told: str):
    assert current_of(OLD, changed(NEW, **{named.PROMOTED_AT: told})) == "b1"


def test_versions_come_newest_build_first_and_promoted_ones_in_the_order_of_promotion():
    back = signed(image("b1"), promoted=LATER + timedelta(days=1))
    assert [each.build for each in versions([back, NEW], "minimal", KEY.keys)] == ["b2", "b1"]
    assert [each.build for each in promoted(versions([back, NEW], "minimal", KEY.keys))] == ["b1", "b2"]


def test_a_users_snapshot_that_is_all_that_is_left_is_no_version_that_was_changed():
    snapshot = replace(changed(NEW, image_type="snapshot"), id="snapshot", os_hash_value="hash-of-the-snapshot")
    error = refusal(snapshot)
    assert isinstance(error, ImageNotPublished)
    assert "snapshot" in error.detail
    assert "js2 image publish minimal --promote" in error.detail
    assert isinstance(refusal(snapshot, replace(OLD, os_hash_value="others")), ImageChanged)


def test_why_there_is_none_is_said_by_name():
    assert isinstance(refusal(), ImageNotPublished)
    waiting = refusal(signed(image("b1")))
    assert isinstance(waiting, ImageNotPublished)
    assert "js2 image promote minimal" in waiting.detail
    for other in (
        changed(OLD, **{named.BUILD: "b9"}),
        replace(OLD, os_hash_value="others"),
        signed(image("b1"), promoted=T0, key=OTHER_KEY),
        changed(image("b1"), **{named.PROMOTED_AT: T0.isoformat()}),
    ):
        error = refusal(other)
        assert isinstance(error, ImageChanged)
        assert "id-b1" in error.detail
        assert "id-b1" not in error.sentence
