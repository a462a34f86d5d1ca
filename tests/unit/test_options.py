"""What may be asked for, by whom, and what the form shows of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from js2spawner.catalog import Catalog
from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.options import NOTHING_KNOWN, Offer, OptionsError, Who, check, from_form, from_query
from js2spawner.options_shown import choices
from tests.unit.saves.made import IMAGE_ID, WORDS, saved

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CATALOG = Catalog.load(Path(__file__).parent / "catalog.plain.yaml")
ALICE = Who("alice", frozenset(), admin=True, id="1-alice")
BOB = Who("bob", frozenset(), admin=False, id="1-bob")
CAROL = Who("carol", frozenset({"climate-course"}), admin=False)


def nova(name: str, vcpus: int, ram_gb: int, disk_gb: int = 20) -> Flavor:
    return Flavor(f"id-{name}", name, vcpus, ram_gb * 1024, disk_gb, {})


def glance(name: str, **changes: Any) -> Image:
    plain = Image(f"id-{name}", name, "active", "private", 10**9, 10, 0, NOW, "", {})
    return replace(plain, **changes)


OFFER = Offer(
    flavors={flavor.name: nova(flavor.name, flavor.vcpus, int(flavor.memory_gb)) for flavor in CATALOG.flavors},
    images={image.name: glance(image.image) for image in CATALOG.images},
    limits=Limits(2, 25, 10, 40, 30 * 1024, 1000 * 1024),
    full_since={},
    typical_s={("minimal", "m3.tiny"): (21.0, 34.5)},
    known=True,
)


def at_home(offer: Offer | None) -> dict[str, Offer]:
    """What the one region of this catalog offers."""
    return {"here": offer} if offer else {}


def without(offer: Offer, *, flavor: str = "", image: str = "") -> Offer:
    return replace(
        offer,
        flavors={name: value for name, value in offer.flavors.items() if name != flavor},
        images={name: value for name, value in offer.images.items() if name != image},
    )


def names(raw: object, who: Who = BOB, offer: Offer | None = OFFER) -> tuple[str, str]:
    choice = check(raw, catalog=CATALOG, who=who, offers=at_home(offer))
    return choice.image.name, choice.flavor.name


def refused(raw: object, who: Who = BOB, offer: Offer | None = OFFER) -> OptionsError:
    with pytest.raises(OptionsError) as caught:
        check(raw, catalog=CATALOG, who=who, offers=at_home(offer))
    return caught.value


@pytest.mark.parametrize("raw", [None, {}, {"image": None}, {"image": "", "flavor": ""}])
def test_who_asks_for_nothing_gets_the_defaults(raw: object):
    assert names(raw) == ("minimal", "m3.tiny")


def test_a_choice_carries_its_profile_and_region():
    choice = check({"image": "gpu"}, catalog=CATALOG, who=BOB)
    assert (choice.profile.name, choice.region.name) == ("gpu", "here")


def test_an_image_alone_gets_a_flavor_that_fits_it():
    assert names({"image": "scientific"}) == ("scientific", "m3.small")
    assert names({"image": "gpu"}) == ("gpu", "g3.medium")


@pytest.mark.parametrize(
    ("raw", "field", "sentence"),
    [
        ({"image": "nope"}, "image", "This hub has no image “nope”; it has minimal, scientific, gpu, climate-course."),
        ({"flavor": "nope"}, "flavor", "This hub has no flavor “nope”; it has m3.tiny"),
        ({"image": "climate-course"}, "image", "Only for members of climate-course."),
        ({"flavor": "m3.large"}, "flavor", "Only for members of large."),
        ({"image": "scientific", "flavor": "m3.tiny"}, "flavor", "Scientific Python needs at least Small."),
        ({"image": "gpu", "flavor": "m3.quad"}, "flavor", "GPU Python needs a GPU, and Quad has none."),
        ({"image": 5}, "image", "The image must be a name, not 5."),
        ({"flavor": ["m3.tiny"]}, "flavor", "The flavor must be a name, not a list."),
        ({"imgae": "minimal"}, "options", "This hub knows no option “imgae”; it knows image, flavor,"),
        ([], "options", "The options must be an object"),
        ("minimal", "options", "The options must be an object"),
    ],
)
def test_a_refusal_names_the_field_and_says_why(raw: object, field: str, sentence: str):
    error = refused(raw)
    assert error.field == field
    assert str(error).startswith(sentence)


def test_groups_open_images_and_flavors():
    assert names({"image": "climate-course"}, CAROL) == ("climate-course", "m3.quad")


def test_an_admin_may_use_everything():
    assert names({"image": "climate-course", "flavor": "m3.large"}, ALICE) == ("climate-course", "m3.large")


def test_what_the_cloud_does_not_have_is_refused_and_defaults_avoid_it():
    assert str(refused({"flavor": "m3.quad"}, offer=without(OFFER, flavor="m3.quad"))) == (
        "The cloud does not offer Quad to this hub."
    )
    assert names({}, offer=without(OFFER, flavor="m3.tiny")) == ("minimal", "m3.small")
    assert "missing in the cloud" in str(refused({"image": "minimal"}, offer=without(OFFER, image="minimal")))
    assert names({}, offer=without(OFFER, image="minimal")) == ("scientific", "m3.small")


def test_before_the_cloud_has_answered_nothing_is_refused_for_its_sake():
    assert names({"image": "gpu", "flavor": "g3.medium"}, offer=NOTHING_KNOWN) == ("gpu", "g3.medium")


def test_a_flavor_too_small_for_what_glance_demands_is_refused():
    offer = replace(OFFER, images={**OFFER.images, "minimal": glance("js2-minimal", min_disk_gb=100)})
    assert str(refused({"image": "minimal", "flavor": "m3.tiny"}, offer=offer)) == (
        "None of the flavors of JupyterLab is open to you."
    )


def test_no_room_is_no_refusal():
    full = replace(OFFER, full_since={"m3.tiny": NOW}, limits=Limits(25, 25, 40, 40, 1, 1))
    assert names({"flavor": "m3.tiny"}, offer=full) == ("minimal", "m3.tiny")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(raw=JSON | st.fixed_dictionaries({"image": JSON, "flavor": JSON}))
def test_whatever_arrives_over_rest_ends_in_a_choice_or_a_short_sentence(raw: object):
    try:
        sentence = check(raw, catalog=CATALOG, who=BOB, offers=at_home(OFFER)).image.title
    except OptionsError as error:
        sentence = str(error)
    assert 0 < len(sentence) < 400
    assert "\n" not in sentence


def test_the_form_s_fields_become_options_and_others_are_left_alone():
    assert from_form({"image": ["gpu"], "flavor": [""], "_xsrf": ["t"], "image_file": [{"body": b""}]}) == {
        "image": "gpu"
    }


@pytest.mark.parametrize("values", [["a", "b"], [b"bytes"], [{"filename": "x"}]])
def test_a_form_with_a_strange_image_is_refused(values: list[Any]):
    with pytest.raises(OptionsError, match="Choose one image"):
        from_form({"image": values})


def test_a_link_with_an_unknown_option_is_refused():
    assert from_query({"flavor": ["m3.quad"]}) == {"flavor": "m3.quad"}
    with pytest.raises(OptionsError, match="no option “flavour”"):
        from_query({"flavour": ["m3.quad"]})


def test_a_link_starts_nothing_that_somebody_saved_for_whoever_clicks_on_it():
    with pytest.raises(OptionsError, match="choose it here") as refused:
        from_query({"image": [SAVED]})
    assert refused.value.field == "image"
    assert from_form({"image": [SAVED]}) == {"image": SAVED}


def shown(who: Who = BOB, offer: Offer | None = OFFER, chosen: dict[str, object] | None = None) -> dict[str, Any]:
    return choices(CATALOG, who, at_home(offer), chosen or {}, NOW)


def flavor(name: str, **where: Any) -> dict[str, Any]:
    return next(flavor for flavor in shown(**where)["flavors"] if flavor["name"] == name)


def image(name: str, **where: Any) -> dict[str, Any]:
    return next(image for image in shown(**where)["images"] if image["name"] == name)


def test_the_form_s_context_is_json():
    assert json.loads(json.dumps(shown())) == shown()


def test_what_is_not_yours_is_shown_with_the_reason():
    assert image("climate-course") | {"usable": False, "why_not": "Only for members of climate-course."} == image(
        "climate-course"
    )
    assert flavor("m3.large")["why_not"] == "Only for members of large."
    assert image("climate-course", who=CAROL)["usable"]


def test_the_cloud_s_sizes_win_over_the_catalog_s():
    offer = replace(OFFER, flavors={**OFFER.flavors, "m3.tiny": nova("m3.tiny", 3, 7, 33)})
    assert [flavor("m3.tiny", offer=offer)[key] for key in ("vcpus", "memory_gb", "disk_gb")] == [3, 7, 33]
    assert flavor("m3.tiny", offer=None)["memory_gb"] == 3


def test_flavors_the_allocation_does_not_hold_are_not_shown():
    context = shown(offer=without(OFFER, flavor="g3.medium"))
    assert "g3.medium" not in [each["name"] for each in context["flavors"]]
    gpu = next(each for each in context["images"] if each["name"] == "gpu")
    assert (gpu["usable"], gpu["flavors"]) == (False, ["g3.large"])


def test_room_is_told_from_the_allocation():
    assert (flavor("m3.tiny")["room"], flavor("m3.tiny")["room_text"]) == ("yes", "Has room now.")
    tight = replace(OFFER, limits=Limits(2, 25, 36, 40, 0, None))
    assert flavor("m3.quad", offer=tight)["room"] == "yes"
    assert flavor("m3.medium", offer=tight)["room_text"] == "This hub's allocation is full: 4 of 40 vCPU are free."
    full = replace(OFFER, limits=Limits(25, 25, 0, None, 0, None))
    assert flavor("m3.tiny", offer=full)["room_text"] == "This hub's allocation is full: 0 of 25 instances are free."


def test_a_cloud_that_had_no_room_is_told_for_a_quarter_of_an_hour():
    def refused_ago(minutes: int) -> Offer:
        return replace(OFFER, full_since={"g3.medium": NOW - timedelta(minutes=minutes)})

    recent = flavor("g3.medium", offer=refused_ago(4))
    assert (recent["room"], recent["room_text"]) == ("no", "The cloud had no room for it 4 minutes ago.")
    assert recent["usable"]
    assert flavor("g3.medium", offer=refused_ago(15))["room"] == "unknown"


def test_before_the_cloud_has_answered_room_is_unknown():
    assert shown(offer=None)["cloud_known"] is False
    assert flavor("m3.tiny", offer=None)["room"] == "unknown"
    assert flavor("m3.tiny", offer=replace(OFFER, limits=None))["room"] == "unknown"


def test_typical_times_are_keyed_by_image_and_flavor():
    assert shown()["typical"] == {"minimal|m3.tiny": {"p50_s": 21.0, "p90_s": 34.5}}


def begins_with(**where: Any) -> tuple[str, str]:
    chosen = shown(**where)["chosen"]
    return chosen["image"], chosen["flavor"]


def test_the_last_choice_is_kept_where_it_still_can_be():
    assert begins_with() == ("minimal", "m3.tiny")
    last: dict[str, object] = {"image": "scientific", "flavor": "m3.quad"}
    assert begins_with(chosen=last) == ("scientific", "m3.quad")
    assert begins_with(chosen=last, offer=without(OFFER, flavor="m3.quad")) == ("scientific", "m3.small")
    assert begins_with(chosen={"image": "removed", "flavor": 7}) == ("minimal", "m3.tiny")


def test_where_nothing_can_be_chosen_the_defaults_stand():
    nothing = replace(OFFER, flavors={})
    assert begins_with(offer=nothing) == ("minimal", "m3.tiny")
    assert not any(each["usable"] for each in shown(offer=nothing)["images"])


SAVED = f"saved:{IMAGE_ID}"


def saved_choice(who: Who, kept: Any, **asked: str) -> Any:
    return check({"image": SAVED, **asked}, catalog=CATALOG, who=who, offers=at_home(OFFER), saved=[kept])


def test_a_saved_image_is_started_under_the_terms_of_the_image_it_comes_from():
    choice = saved_choice(Who("alice", frozenset(), admin=False, id="1-alice"), saved(region="here"))
    assert (choice.saved.id, choice.image.title, choice.image.image) == (IMAGE_ID, "My course", IMAGE_ID)
    assert (choice.profile.name, choice.region.name, choice.flavor.name) == ("demo", "here", "m3.tiny")


def test_somebody_else_s_saved_image_is_as_if_it_did_not_exist():
    kept = saved(region="here", group="bio101")
    with pytest.raises(OptionsError) as missing:
        check({"image": SAVED}, catalog=CATALOG, who=BOB, offers=at_home(OFFER))
    with pytest.raises(OptionsError) as foreign:
        saved_choice(BOB, kept)
    assert str(missing.value) == str(foreign.value)
    assert saved_choice(Who("bob", frozenset({"bio101"}), admin=False, id="1-bob"), kept).saved is kept
    assert saved_choice(ALICE, kept).saved is kept


def test_what_only_a_group_may_use_is_not_opened_to_others_by_a_copy():
    kept = saved(replace(WORDS, parent="climate-course"), region="here", group="bio101")
    with pytest.raises(OptionsError, match="Only for members of climate-course"):
        saved_choice(Who("bob", frozenset({"bio101"}), admin=False, id="1-bob"), kept)


def test_a_saved_image_needs_the_disk_it_was_made_on_and_its_parent_s_gpu():
    kept = saved(region="here", min_disk_gb=60)
    large = {name: nova(name, 8, 30, disk_gb=60) for name in ("m3.medium",)}
    offer = replace(OFFER, flavors={**OFFER.flavors, **large})
    alice = Who("alice", frozenset(), admin=False, id="1-alice")
    chosen = check({"image": SAVED}, catalog=CATALOG, who=alice, offers=at_home(offer), saved=[kept])
    assert chosen.flavor.name == "m3.medium"
    with pytest.raises(OptionsError, match="cannot use the GPU"):
        saved_choice(alice, saved(region="here"), flavor="g3.medium")


def test_the_form_shows_what_is_mine_or_my_group_s_and_an_admin_no_more_than_that():
    theirs = saved(region="here", group="bio101", frozen=True)
    bob = Who("bob", frozenset({"bio101"}), admin=False, id="1-bob")
    for who, shown_to in ((bob, True), (Who("alice", frozenset(), admin=False, id="1-alice"), True), (BOB, False)):
        images = choices(CATALOG, who, at_home(OFFER), {}, NOW, [theirs])["images"]
        assert [each["name"] for each in images if "saved" in each] == ([SAVED] if shown_to else [])
    root = Who("root", frozenset(), admin=True)
    assert not [each for each in choices(CATALOG, root, at_home(OFFER), {}, NOW, [theirs])["images"] if "saved" in each]
    card = choices(CATALOG, bob, at_home(OFFER), {}, NOW, [theirs])["images"][-1]["saved"]
    assert (card["mine"], card["owner"], card["group"], card["frozen"]) == (False, "alice", "bio101", True)


def test_a_saved_image_is_expected_to_start_as_its_parent_does_and_can_be_the_last_choice():
    alice = Who("alice", frozenset(), admin=False, id="1-alice")
    last = {"image": SAVED, "flavor": "m3.tiny"}
    context = choices(CATALOG, alice, at_home(OFFER), last, NOW, [saved(region="here")])
    assert context["typical"][f"{SAVED}|m3.tiny"] == context["typical"]["minimal|m3.tiny"]
    assert context["chosen"] | last == context["chosen"]
    assert json.loads(json.dumps(context)) == context
