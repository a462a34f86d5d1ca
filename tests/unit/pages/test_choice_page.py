"""The choice page: everything on it is labelled, explained and escaped, and it works without scripts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .rendering import HOSTILE, Page, render


def an_image(name: str, **changes: Any) -> dict[str, Any]:
    image = {
        "name": name,
        "title": name.title(),
        "description": f"About {name}.",
        "inside": ["Python 3.12", "JupyterLab"],
        "gpu": "no",
        "flavors": ["m3.small"],
        "usable": True,
        "why_not": "",
        "profile": {"sudo": False, "idle_minutes": 30, "longest_hours": 12},
    }
    return image | changes


def a_flavor(name: str, **changes: Any) -> dict[str, Any]:
    flavor = {
        "name": name,
        "title": name,
        "vcpus": 2,
        "memory_gb": 6.0,
        "disk_gb": 20.0,
        "gpu": None,
        "su_per_hour": 2,
        "usable": True,
        "why_not": "",
        "room": "yes",
        "room_text": "Has room now.",
    }
    return flavor | changes


def form(**changes: Any) -> Page:
    context: dict[str, Any] = {
        "images": [an_image("minimal"), an_image("scipy", gpu="possible")],
        "flavors": [a_flavor("m3.small"), a_flavor("g3.large", gpu={"kind": "A100", "memory_gb": 20})],
        "typical": {"minimal|m3.small": {"p50_s": 30, "p90_s": 45}},
        "chosen": {"image": "minimal", "flavor": "m3.small"},
        "cloud_known": True,
    }
    return render("options_form.html", **(context | changes))


def test_every_radio_button_has_one_label_and_an_existing_description():
    page = form()
    radios = page.all("input", type="radio")
    assert [radio["value"] for radio in radios] == ["minimal", "scipy", "m3.small", "g3.large"]
    for radio in radios:
        assert page.one("label", **{"for": radio["id"]}).text.strip()
        for described in radio["aria-describedby"].split():
            assert page.by_id(described).text.strip()


def test_images_and_flavors_are_each_a_group_with_a_legend():
    page = form()
    assert len(page.all("fieldset")) == 2
    assert [legend.text.split()[0] for legend in page.all("legend")] == ["Image", "Flavor"]


def test_the_last_choice_is_checked():
    checked = [
        radio["value"]
        for radio in form(chosen={"image": "scipy", "flavor": "g3.large"}).all("input")
        if radio.has("checked")
    ]
    assert checked == ["scipy", "g3.large"]


def test_what_is_not_yours_is_disabled_and_says_why():
    page = form(
        images=[an_image("minimal"), an_image("genomics", usable=False, why_not="For the group genomics.")],
        flavors=[a_flavor("m3.small"), a_flavor("g3.xl", usable=False, why_not="For the group gpu-research.")],
    )
    for value, why in (("genomics", "For the group genomics."), ("g3.xl", "For the group gpu-research.")):
        radio = page.one("input", value=value)
        assert radio.has("disabled")
        assert why in " ".join(page.by_id(id).text for id in radio["aria-describedby"].split())


def test_an_unusable_last_choice_is_not_checked():
    page = form(images=[an_image("minimal", usable=False, why_not="Gone."), an_image("scipy")])
    assert not page.one("input", value="minimal").has("checked")


def test_without_scripts_every_usable_flavor_can_be_chosen():
    # Only scripts can follow the chosen image; without them the hub's own check is the judge.
    page = form(images=[an_image("minimal", flavors=["m3.small"])])
    assert not page.one("input", value="g3.large").has("disabled")
    assert page.one("button", type="submit").text == "Start"


@pytest.mark.parametrize(
    "fact", ["2 vCPU", "6 GB memory", "20 GB disk", "A100 20 GB", "no GPU", "2 SU per hour", "Has room now."]
)
def test_a_flavor_tells(fact):
    assert fact in " ".join(" ".join(element.text.split()) for element in form().all("li") + form().all("p"))


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (
            {"sudo": True, "idle_minutes": 30, "longest_hours": 12},
            "Ends after 30 minutes idle, at the latest after 12 hours · with",
        ),
        ({"sudo": False, "idle_minutes": None, "longest_hours": 1}, "Ends after 1 hour · without"),
        ({"sudo": False, "idle_minutes": 15, "longest_hours": None}, "Ends after 15 minutes idle · without"),
        ({"sudo": False, "idle_minutes": None, "longest_hours": None}, "Runs until you stop it · without"),
    ],
)
def test_an_image_tells_how_long_its_server_lives(profile, said):
    assert said in form(images=[an_image("minimal", profile=profile)]).by_id("js2-image-1-about").text


def test_when_nothing_can_be_started_the_button_is_off_and_the_page_says_so():
    page = form(flavors=[a_flavor("m3.small", usable=False, why_not="Not yours.")])
    assert page.one("button", type="submit").has("disabled")
    assert "each entry says why" in page.by_id("js2-summary").text


def test_an_empty_catalog_is_told_in_words():
    page = form(images=[], flavors=[], typical={}, chosen={})
    assert "offers no image" in page.html
    assert "offers no flavor" in page.html


def test_an_unreached_cloud_is_told():
    assert "has not answered yet" in form(cloud_known=False).html
    assert "has not answered yet" not in form().html


def test_hostile_words_stay_words():
    page = form(
        images=[an_image(HOSTILE, title=HOSTILE, description=HOSTILE, inside=[HOSTILE])],
        flavors=[a_flavor(HOSTILE, title=HOSTILE, room_text=HOSTILE, gpu={"kind": HOSTILE, "memory_gb": 1})],
        typical={f"{HOSTILE}|{HOSTILE}": {"p50_s": 1, "p90_s": 2}},
    )
    assert page.all("img") == []
    assert len(page.all("script")) == 1
    assert page.all("input", name="image")[0]["value"] == HOSTILE


def test_the_script_gets_the_choices_as_data():
    data = json.loads(form().by_id("js2-choices").text)
    assert [image["name"] for image in data["images"]] == ["minimal", "scipy"]
    assert data["typical"]["minimal|m3.small"] == {"p50_s": 30, "p90_s": 45}


HOME = {"kind": "volume", "keeps": True, "size_gb": 10, "most_gb": 50, "seeded": False, "words": "Your home stays."}
NO_HOME = {"kind": "none", "keeps": False, "words": "No home: all your files are deleted when the server ends."}
IDLE = [
    {"value": "delete", "title": "Delete it", "words": "What is not in your home is lost.", "su_share": 0},
    {"value": "shelve", "title": "Put it on the shelf", "words": "All of its disk is kept.", "su_share": 0},
]
REGIONS = [
    {"name": "iu", "title": "Indiana", "state": "up", "words": "", "home": True},
    {"name": "tacc", "title": "Texas", "state": "down", "words": "Does not answer at the moment.", "home": False},
]


def terms(**changes: Any) -> Page:
    """A form with all that may stand below images and flavors."""
    image = an_image(
        "gpu",
        home=HOME,
        data=[{"name": "climate", "path": "/data/climate"}],
        idle=IDLE,
        regions=[{"name": "iu", "usable": True, "why_not": "", "published": True}],
        confirm={"g3.xl": "Whole A100 costs 64 SU for each hour it runs, used or not."},
        further=["g3.large"],
        further_words="When there is no room: A100 slice (32 SU per hour).",
    )
    plain = {"images": [image], "regions": REGIONS, "home": {"region": "iu", "title": "Indiana", "size_gb": 10}}
    chosen = {"image": "gpu", "flavor": "m3.small", "region": "", "home": "yes", "idle": "delete", "fallback": "no"}
    return form(**(plain | {"chosen": chosen} | changes))


def test_all_terms_can_be_chosen_without_scripts_and_carry_the_names_the_hub_knows():
    page = terms()
    assert page.unclosed == []
    fields = {(each["name"], each["value"]) for each in page.all("input")}
    assert fields >= {
        ("home", "none"), ("idle", "delete"), ("idle", "shelve"), ("region", "iu"), ("region", "tacc"), ("region", ""),
        ("fallback", "yes"), ("confirm", "yes"),
    }  # fmt: skip
    for each in page.all("input"):
        assert page.one("label", **{"for": each["id"]}).text.strip()
        for described in each["aria-describedby"].split():
            assert page.by_id(described).text.strip()


def test_a_price_is_never_confirmed_in_advance_and_nothing_is_required_that_a_script_would_have_to_hide():
    page = terms(chosen={"image": "gpu", "flavor": "m3.small", "home": "none", "fallback": "yes"})
    assert not page.one("input", name="confirm").has("checked")
    assert page.one("input", name="home").has("checked")
    assert page.one("input", name="fallback").has("checked")
    assert [each for each in page.all("input", type="checkbox") if each.has("required")] == []
    assert "64 SU for each hour" in page.by_id("js2-confirm-about").text


def test_no_home_is_said_loudly_and_a_home_says_that_it_stays():
    page = form(images=[an_image("taste", home=NO_HOME), an_image("gpu", home=HOME)])
    (loud,) = [each for each in page.all("p") if "is-none" in each.classes]
    assert "all your files are deleted" in loud.text
    assert "Your home stays." in page.by_id("js2-image-2-about").text
    assert page.all("input", name="js2-known")


def test_a_region_tells_its_state_and_where_the_home_is():
    page = terms()
    assert page.by_id("js2-region-2-about")["data-state"] == "down"
    assert "Does not answer" in page.by_id("js2-region-2-about").text
    assert "10 GB in Indiana" in page.by_id("js2-home-terms").text
    assert "your home" in [each.text for each in page.all("span") if "js2-badge" in each.classes]


def test_who_has_no_home_yet_is_told_that_the_first_one_binds_to_its_region():
    told = terms(home=None).by_id("js2-home-terms").text
    assert "made in the region where your first server with one runs, and stays there" in told
    assert "no home yet" not in terms().by_id("js2-home-terms").text
    assert "no home yet" not in terms(home=None, regions=REGIONS[:1]).by_id("js2-home-terms").text


def test_what_leaves_no_choice_is_not_asked():
    plain = form(images=[an_image("minimal", home=HOME, idle=IDLE[:1])], regions=REGIONS[:1])
    for name in ("idle", "region", "confirm", "fallback"):
        assert plain.all("input", name=name) == []


def test_class_data_is_named_with_its_place():
    assert "/data/climate, to read" in terms().by_id("js2-image-1-about").text
    data = [{"name": "climate", "path": "/data/climate", "where": "Indiana"}]
    told = form(images=[an_image("gpu", data=data)]).by_id("js2-image-1-about").text
    assert "/data/climate (only in Indiana), to read" in told


def test_a_share_of_a_card_is_told_in_words_and_as_a_bar():
    gpu = {"kind": "A100 slice", "memory_gb": 10, "share": 0.25, "cards": 1, "words": "1/4 of a card"}
    page = form(flavors=[a_flavor("g3.medium", gpu=gpu)])
    assert page.one("meter")["value"] == "0.25"
    assert "A100 slice 10 GB 1/4 of a card" in " ".join(page.by_id("js2-flavor-1-facts").text.split())


def spawn(**context: Any) -> Page:
    return render(
        "spawn.html", **({"url": "/hub/spawn/alice?_xsrf=token", "spawner_options_form": form().html} | context)
    )


def test_the_spawn_page_has_one_start_button_whoever_brings_it():
    assert len(spawn().all("button", type="submit")) == 1
    assert len(spawn(spawner_options_form="<input name='size' aria-label='size'>").all("button", type="submit")) == 1


def test_the_form_posts_back_to_where_it_came_from():
    page_form = spawn().by_id("spawn_form")
    assert (page_form["action"], page_form["method"]) == ("/hub/spawn/alice?_xsrf=token", "post")


def test_a_refused_choice_is_explained_where_the_reader_begins():
    alert = spawn(error_message=HOSTILE).one(role="alert")
    assert alert.has("autofocus")
    assert alert["tabindex"] == "-1"
    assert alert.text.strip() == HOSTILE


@pytest.mark.parametrize("name", ["error_html_message", "html_error_message"])
def test_an_error_in_html_is_shown_under_either_name(name):
    assert spawn(error_message="plain", **{name: "<p>rich</p>"}).one(role="alert").text.strip() == "rich"


def test_no_error_no_alert():
    assert spawn().all(role="alert") == []
