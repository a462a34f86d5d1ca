"""Regions, homes, unused servers, fallbacks and dear flavors: what may be asked for, and what the form says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from js2spawner.catalog import Catalog
from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.options import Choice, Offer, OptionsError, Who, check, from_form, from_query
from js2spawner.options_shown import HomeSeen, choices

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CATALOG_TEXT = """\
regions:
  IU: {cloud: js2, region: IU, title: Indiana}
  TACC: {cloud: js2, region: TACC, title: Texas}
  ASU: {cloud: js2, region: ASU}
profiles:
  usual:
    home: {kind: volume, size_gb: 10, most_gb: 50, seed: {git: 'https://example.org/course'}}
    idle: [shelve, delete]
    shelved_days: 7
    regions: [IU, TACC]
    confirm_from_su: 64
  loose: {}
  cards:
    regions: [IU, TACC, ASU]
    next_flavors: [half, quarter, whole, for-few]
    confirm_from_su: 64
    idle: [delete, keep]
images:
  minimal: {title: Minimal, description: Little., image: js2-minimal, profile: usual}
  loose: {title: Loose, description: Nothing stays., image: js2-minimal, profile: loose}
  gpu: {title: GPU, description: Much., image: js2-gpu, gpu: required, profile: cards}
flavors:
  small: {title: Small, vcpus: 2, memory_gb: 6, disk_gb: 20, su_per_hour: 2}
  huge: {title: Huge, vcpus: 64, memory_gb: 500, disk_gb: 60, su_per_hour: 128}
  whole: {title: Whole card, vcpus: 32, memory_gb: 125, disk_gb: 60, su_per_hour: 64, gpu: {kind: A100, memory_gb: 40}}
  half:
    {title: Half, vcpus: 16, memory_gb: 60, disk_gb: 60, su_per_hour: 32, gpu: {kind: A100, memory_gb: 20, share: 0.5}}
  quarter:
    {title: Quarter, vcpus: 8, memory_gb: 30, disk_gb: 60, su_per_hour: 16, gpu: {kind: A, memory_gb: 9, share: 0.25}}
  for-few:
    gpu: {kind: L40S, memory_gb: 48, cards: 2}
    groups: [few]
    title: Two
    vcpus: 8
    memory_gb: 30
    disk_gb: 60
    su_per_hour: 1
defaults: {image: minimal, flavor: small}
"""
BOB = Who("bob", frozenset(), admin=False, id="1-bob")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    file: Path = tmp_path_factory.mktemp("catalog") / "catalog.yaml"
    file.write_text(CATALOG_TEXT)
    return Catalog.load(file)


def offer(catalog: Catalog, **changes: Any) -> Offer:
    """A region that has everything and room for it."""
    flavors = {
        f.name: Flavor(f"id-{f.name}", f.name, f.vcpus, int(f.memory_gb * 1024), int(f.disk_gb), {})
        for f in catalog.flavors
    }
    images = {i.name: Image(i.name, i.name, "active", "public", 1, 0, 0, NOW, "", {}) for i in catalog.images}
    full = Offer(flavors, images, Limits(0, 25, 0, 1000, 0, None), {}, {}, known=True)
    return replace(full, **changes)


def asked(catalog: Catalog, offers: dict[str, Offer] | None = None, who: Who = BOB, **raw: str) -> Choice:
    return check(raw, catalog=catalog, who=who, offers=offers or {})


def refused(catalog: Catalog, offers: dict[str, Offer] | None = None, **raw: str) -> tuple[str, str]:
    with pytest.raises(OptionsError) as caught:
        asked(catalog, offers, **raw)
    return caught.value.field, str(caught.value)


def regions(choice: Choice) -> list[str]:
    return [region.name for region in choice.regions]


def flavors(choice: Choice) -> list[str]:
    return [flavor.name for flavor in choice.flavors]


def test_without_a_word_about_regions_all_of_the_profile_s_are_tried_in_the_operator_s_order(catalog: Catalog):
    assert regions(asked(catalog)) == ["IU", "TACC"]
    assert regions(asked(catalog, image="loose")) == ["IU"]


def test_a_chosen_region_is_the_only_one_unless_a_fallback_is_allowed(catalog: Catalog):
    assert regions(asked(catalog, region="TACC")) == ["TACC"]
    assert regions(asked(catalog, region="TACC", fallback="no")) == ["TACC"]
    assert regions(asked(catalog, region="TACC", fallback="yes")) == ["TACC", "IU"]


@pytest.mark.parametrize(
    ("raw", "field", "sentence"),
    [
        ({"region": "UH"}, "region", "This hub has no region “UH”; it has IU, TACC, ASU."),
        ({"region": "ASU"}, "region", "Minimal is not started in ASU, only in IU, TACC."),
        ({"home": "no"}, "home", "The home must be “yes” or “none”, not “no”."),
        (
            {"idle": "suspend"},
            "idle",
            "The choice for an unused server must be “delete” or “shelve” or “keep”, not ",
        ),
        ({"idle": "keep"}, "idle", "An unused server of this kind can be told to “shelve” or “delete”, not to keep."),
        ({"fallback": "maybe"}, "fallback", "The choice of a fallback must be “yes” or “no”, not “maybe”."),
        ({"confirm": "no"}, "confirm", "The confirmation must be “yes”, not “no”."),
        (
            {"next": "yes"},
            "options",
            "This hub knows no option “next”; it knows image, flavor, region, home, id",
        ),
    ],
)
def test_a_refusal_names_the_field_and_says_why(catalog: Catalog, raw: dict[str, str], field: str, sentence: str):
    told = refused(catalog, **raw)
    assert told[0] == field
    assert told[1].startswith(sentence)


def test_a_region_that_is_known_to_lack_the_image_or_the_flavor_is_not_tried(catalog: Catalog):
    full = offer(catalog)
    lacking = replace(full, images={}, lacks={"minimal": "The image is another one there."})
    assert regions(asked(catalog, {"IU": lacking, "TACC": full})) == ["TACC"]
    assert refused(catalog, {"IU": lacking, "TACC": full}, region="IU")[0] == "region"
    assert regions(asked(catalog, {"IU": lacking, "TACC": full}, region="TACC")) == ["TACC"]
    assert refused(catalog, {"IU": lacking, "TACC": lacking}, image="minimal")[0] == "image"
    # One that has not answered may have it.
    assert regions(asked(catalog, {"IU": lacking})) == ["TACC"]


def test_what_is_tried_next_fits_the_image_and_is_open_to_the_user(catalog: Catalog):
    assert flavors(asked(catalog, image="gpu", flavor="quarter")) == ["quarter"]
    assert flavors(asked(catalog, image="gpu", flavor="quarter", fallback="yes")) == ["quarter", "half"]
    few = Who("ann", frozenset({"few"}), admin=False, id="1-ann")
    assert flavors(asked(catalog, image="gpu", flavor="half", fallback="yes", who=few)) == [
        "half",
        "quarter",
        "for-few",
    ]


def test_nobody_falls_into_a_price_that_has_to_be_confirmed(catalog: Catalog):
    agreed = asked(catalog, image="gpu", flavor="half", fallback="yes", confirm="yes")
    assert flavors(agreed) == ["half", "quarter", "whole"]
    assert "whole" not in flavors(asked(catalog, image="gpu", flavor="half", fallback="yes"))


def test_a_dear_flavor_is_started_only_with_its_price_confirmed(catalog: Catalog):
    assert refused(catalog, flavor="huge") == (
        "confirm",
        "Huge costs 128 SU for each hour it runs, used or not. Confirm the price to start it.",
    )
    assert asked(catalog, flavor="huge", confirm="yes").flavor.name == "huge"
    assert asked(catalog, image="loose", flavor="huge").flavor.name == "huge"


def test_who_names_no_flavor_is_not_given_a_dear_one(catalog: Catalog):
    # The first GPU flavor of the file is a whole card.
    assert asked(catalog, image="gpu").flavor.name == "half"


def test_a_home_is_left_out_only_by_who_says_so(catalog: Catalog):
    assert asked(catalog).home
    assert asked(catalog, home="yes").home
    assert not asked(catalog, home="none").home


def test_an_unused_server_does_what_its_user_chose_or_the_profile_s_first(catalog: Catalog):
    assert asked(catalog).idle == "shelve"
    assert asked(catalog, idle="delete").idle == "delete"
    assert asked(catalog, image="loose").idle == "delete"


def link(**query: str) -> dict[str, str]:
    return from_query({name: [value] for name, value in query.items()})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("confirm", "yes", "A link cannot confirm a price for you"),
        ("home", "none", "A link cannot start a server without your home"),
        ("idle", "keep", "A link cannot decide what becomes of your server"),
        ("fallback", "yes", "A link cannot allow another flavor or region"),
    ],
)
def test_a_link_decides_nothing_that_costs_or_loses_something(name: str, value: str, sentence: str):
    with pytest.raises(OptionsError, match=sentence) as caught:
        link(image="minimal", **{name: value})
    assert caught.value.field == name
    # On the page it is the user's own choice.
    assert from_form({"image": ["minimal"], name: [value]}) == {"image": "minimal", name: value}


def test_a_link_may_say_where_and_what_and_what_changes_nothing(catalog: Catalog):
    said = link(image="minimal", flavor="small", region="TACC", home="yes", fallback="no")
    assert regions(check(said, catalog=catalog, who=BOB)) == ["TACC"]


def test_a_link_to_a_dear_flavor_starts_nothing_by_itself(catalog: Catalog):
    with pytest.raises(OptionsError, match="Confirm the price"):
        check(link(flavor="huge"), catalog=catalog, who=BOB)


# ---- what the form shows --------------------------------------------------------------------------------------------


def shown(catalog: Catalog, offers: dict[str, Offer] | None = None, **more: Any) -> dict[str, Any]:
    chosen = more.pop("chosen", {})
    context = choices(catalog, BOB, offers or {}, chosen, NOW, **more)
    assert json.loads(json.dumps(context)) == context
    return context


def of(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def test_the_form_says_loudly_where_nothing_stays(catalog: Catalog):
    images = shown(catalog)["images"]
    assert (
        of(images, "loose")["home"]
        | {
            "kind": "none",
            "keeps": False,
            "words": "No home: all your files are deleted when the server ends.",
        }
        == of(images, "loose")["home"]
    )
    kept = of(images, "minimal")["home"]
    assert (kept["keeps"], kept["size_gb"], kept["most_gb"], kept["seeded"]) == (True, 10, 50, True)


def test_each_way_to_end_is_told_with_what_it_costs_and_what_it_loses(catalog: Catalog):
    ways = {image["name"]: image["idle"] for image in shown(catalog)["images"]}
    assert [(way["value"], way["su_share"]) for way in ways["minimal"]] == [("shelve", 0), ("delete", 0)]
    assert [(way["value"], way["su_share"]) for way in ways["gpu"]] == [("delete", 0), ("keep", 1)]
    assert "deleted after 7 days" in ways["minimal"][0]["words"]
    assert ways["loose"][0]["words"] == "All your files are lost. Costs nothing afterwards."


def test_each_region_is_told_with_its_state_and_the_user_s_home(catalog: Catalog):
    offers = {"IU": offer(catalog, state="down"), "TACC": offer(catalog, state="trying")}
    context = shown(catalog, offers, home=HomeSeen("TACC", 20))
    assert [(r["name"], r["title"], r["state"], r["home"]) for r in context["regions"]] == [
        ("IU", "Indiana", "down", False),
        ("TACC", "Texas", "trying", True),
        ("ASU", "ASU", "unknown", False),
    ]
    assert context["home"] == {"kind": "volume", "region": "TACC", "title": "Texas", "size_gb": 20}
    assert shown(catalog)["home"] is None


def test_an_image_says_in_which_regions_it_is(catalog: Catalog):
    full = offer(catalog)
    offers = {"IU": full, "TACC": replace(full, images={}, lacks={"minimal": "Not published there."})}
    assert of(shown(catalog, offers)["images"], "minimal")["regions"] == [
        {"name": "IU", "usable": True, "why_not": "", "published": True},
        {"name": "TACC", "usable": False, "why_not": "Not published there.", "published": False},
    ]
    assert of(shown(catalog)["images"], "minimal")["regions"][0]["published"] is None


def test_class_data_are_told_with_their_region_where_a_server_may_be_elsewhere(tmp_path: Path):
    data = "data:\n  climate: {share: a1}\n  genomes: {region: TACC, snapshot: s1}\n"
    text = CATALOG_TEXT.replace("  usual:\n", "  usual:\n    data: [climate, genomes]\n")
    only_there = "  there: {title: There, description: One region., image: js2-minimal, profile: usual, region: TACC}\n"
    file = tmp_path / "catalog.yaml"
    file.write_text(data + text.replace("  gpu: {title", f"{only_there}  gpu: {{title"))
    images = shown(Catalog.load(file))["images"]
    assert [(each["path"], each["where"]) for each in of(images, "minimal")["data"]] == [
        ("/data/climate", "Indiana"),
        ("/data/genomes", "Texas"),
    ]
    assert [(each["path"], each["where"]) for each in of(images, "there")["data"]] == [("/data/genomes", "")]


def test_a_flavor_tells_its_card_and_the_room_in_each_region(catalog: Catalog):
    offers = {
        "IU": offer(catalog, full_since={"half": NOW - timedelta(minutes=3)}),
        "TACC": offer(catalog, had_at={"half": NOW - timedelta(minutes=3)}),
        "ASU": offer(catalog, state="down"),
    }
    half = of(shown(catalog, offers)["flavors"], "half")
    assert half["gpu"] == {"kind": "A100", "memory_gb": 20, "share": 0.5, "cards": 1, "words": "1/2 of a card"}
    assert {name: room["room"] for name, room in half["rooms"].items()} == {"IU": "no", "TACC": "yes", "ASU": "no"}
    assert half["room"] == "yes"
    assert of(shown(catalog, offers)["flavors"], "quarter")["gpu"]["words"] == "1/4 of a card"
    assert of(shown(catalog, offers)["flavors"], "whole")["gpu"]["words"] == "a whole card"
    assert of(shown(catalog, offers)["flavors"], "for-few")["gpu"]["words"] == "2 cards"


def test_what_only_trying_tells_is_not_said_to_have_room(catalog: Catalog):
    def half(**changes: Any) -> tuple[str, str]:
        told = of(shown(catalog, {"IU": offer(catalog, **changes)})["flavors"], "half")
        return told["room"], told["room_text"]

    # A quota that holds it says nothing of the cards.
    by_trying = ("unknown", "The allocation has room; whether a card is free is seen by trying.")
    assert half() == by_trying
    assert half(had_at={"half": NOW - timedelta(minutes=3)}) == ("yes", "Somebody got one 3 minutes ago.")
    assert half(had_at={"half": NOW - timedelta(minutes=15)}) == by_trying


def test_a_card_that_only_the_cloud_tells_of_is_shown(catalog: Catalog):
    full = offer(catalog)
    small = replace(full.flavors["small"], extra_specs={"resources:VGPU": "1"})
    told = of(shown(catalog, {"IU": replace(full, flavors={**full.flavors, "small": small})})["flavors"], "small")
    assert told["gpu"] == {"kind": "GPU", "memory_gb": 0, "share": 1, "cards": 1, "words": ""}


def test_dear_flavors_and_what_comes_next_are_told_with_prices(catalog: Catalog):
    images = shown(catalog)["images"]
    assert of(images, "minimal")["confirm"] == {"huge": "Huge costs 128 SU for each hour it runs, used or not."}
    assert of(images, "loose")["confirm"] == {}
    gpu = of(images, "gpu")
    assert gpu["further"] == ["half", "quarter"]
    assert gpu["further_words"] == (
        "When there is no room: Half (32 SU per hour), then Quarter (16 SU per hour); "
        "each in Indiana, then in Texas, then in ASU."
    )


def test_the_last_choice_comes_back_and_its_price_is_asked_for_again(catalog: Catalog):
    last = {"image": "minimal", "flavor": "huge", "region": "TACC", "home": "none", "idle": "delete", "confirm": "yes"}
    assert shown(catalog, chosen=last)["chosen"] == {
        "image": "minimal",
        "flavor": "huge",
        "region": "TACC",
        "home": "none",
        "idle": "delete",
        "fallback": "no",
    }


def test_a_region_that_has_lost_the_image_is_not_chosen_again_and_the_rest_is(catalog: Catalog):
    full = offer(catalog)
    last = {"image": "minimal", "flavor": "huge", "region": "TACC", "fallback": "yes"}
    chosen = shown(catalog, {"IU": full, "TACC": replace(full, images={})}, chosen=last)["chosen"]
    assert (chosen["flavor"], chosen["region"], chosen["fallback"]) == ("huge", "", "yes")
