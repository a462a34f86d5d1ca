"""The library page: what each image holds is told, found and escaped, and nobody is shown what is not theirs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from js2spawner.catalog import Catalog
from js2spawner.cloud.records import Image
from js2spawner.demo.node import find_node
from js2spawner.devcloud.software import properties as of_the_embedded_cloud
from js2spawner.library import properties
from js2spawner.library.software import Kind, Package, packed
from js2spawner.library_handlers import _rendered
from js2spawner.library_page import Held, Software, for_others, held, software_of
from js2spawner.library_search import FOUND_AT_MOST, search
from js2spawner.library_shown import KIND_TITLES, as_json, shown, span
from js2spawner.options import NOTHING_KNOWN, Offer, Who

from .rendering import HOSTILE, STATIC, Page, hub_environment, render

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
CATALOG = Catalog.load(Path(__file__).resolve().parents[3] / "hub_config" / "catalog.demo.yaml")
BOB = Who("bob", frozenset(), admin=False)
CAROL = Who("carol", frozenset({"climate-course"}), admin=False)

MINIMAL = (Package("deb", "git", "1:2.39.5", "GPL-2.0-only"), Package("pypi", "jupyterlab", "4.5.1", "BSD-3-Clause"))
SCIENCE = (*MINIMAL, Package("pypi", "pandas", "2.3.3", "BSD-3-Clause"), Package("cran", "pandoc", "0.2.0"))


def an_image(name: str, packages: tuple[Package, ...] | str = (), **told: str) -> Image:
    text = packages if isinstance(packages, str) else packed(packages)
    says = {**properties.in_parts(text), **told}
    return Image(f"id-{name}", name, "active", "public", 1_800_000_000, 10, 0, NOW - timedelta(days=12), "", says)


def an_offer(**images: Image) -> Offer:
    typical = {("minimal", "m3.tiny"): (20.0, 30.0), ("scientific", "m3.small"): (40.0, 60.0)}
    return Offer({}, images, None, {}, typical, known=True)


OFFER = an_offer(
    minimal=an_image("js2-minimal", MINIMAL),
    scientific=replace(an_image("js2-scientific", SCIENCE), size_bytes=3_600_000_000),
    gpu=an_image("js2-gpu", MINIMAL),
)


def the_library(offer: Offer = OFFER, who: Who = BOB) -> dict[str, Held]:
    return {each.entry.name: each for each in held(CATALOG, who, {"here": offer})}


def page(images: tuple[Held, ...] | None = None, **context: Any) -> Page:
    images = tuple(the_library().values()) if images is None else images
    asked = context.pop("asked", "")
    return render(
        "library.html",
        **{
            "images": shown(images, NOW),
            "lists": [_rendered(hub_environment(), image.software) for image in images],
            "for_others": (),
            "asked": asked,
            "found": search(images, asked),
            "kind_titles": KIND_TITLES,
            "cloud_known": True,
            **context,
        },
    )


# ---- what is known --------------------------------------------------------------------------------------------------


def test_nobody_sees_into_an_image_of_a_group_that_is_not_theirs():
    assert list(the_library(who=BOB)) == ["minimal", "scientific", "gpu"]
    assert list(the_library(who=CAROL)) == ["minimal", "scientific", "gpu", "climate-course"]
    assert for_others(CATALOG, BOB) == ("Climate course",)


def test_an_image_tells_its_packages_by_kind_and_name():
    software = the_library()["scientific"].software
    assert [(each.kind, each.name) for each in software.packages] == [
        ("cran", "pandoc"),
        ("deb", "git"),
        ("pypi", "jupyterlab"),
        ("pypi", "pandas"),
    ]


@pytest.mark.parametrize("text", ["no base64!", "AAAA", packed(SCIENCE)[:-8]])
def test_a_list_that_cannot_be_read_is_told_as_that(text: str):
    image = the_library(an_offer(minimal=an_image("js2-minimal", text)))["minimal"]
    assert image.software == Software("broken")
    assert "list of packages is not available" in page((image,)).html


def test_no_name_turns_the_writing_around_or_ends_the_line():
    (package,) = software_of(packed([Package("pypi", "pan\u202edas\n", "1\x07", "MIT\u2066")])).packages
    assert (package.name, package.version, package.licence) == ("pandas", "1", "MIT")


def test_an_image_is_as_old_as_it_says_or_else_as_glance_says():
    says = an_image("js2-minimal", MINIMAL, js2_built_at="2026-03-28T12:00:00Z", js2_build="20260328T120000Z-1a2b3c4d")
    image = the_library(an_offer(minimal=says))["minimal"]
    assert (image.build, image.built_at) == ("20260328T120000Z-1a2b3c4d", NOW - timedelta(days=3))
    assert the_library()["minimal"].built_at == NOW - timedelta(days=12)


@pytest.mark.parametrize("when", ["yesterday", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00", ""])
def test_a_time_that_is_none_is_nobody_s_age(when: str):
    image = the_library(an_offer(minimal=an_image("js2-minimal", js2_built_at=when)))["minimal"]
    assert image.built_at == NOW - timedelta(days=12)


@pytest.mark.parametrize(
    ("days", "due", "percent", "overdue"),
    [
        ("30", "rebuilt in 18 days", 40, False),
        ("12.5", "rebuilt within a day", 96, False),
        ("10", "its rebuild is due since 2026-03-29", 100, True),
        ("nan", "", None, False),
        ("-3", "", None, False),
        ("1e300", "", None, False),
        ("often", "", None, False),
    ],
)
def test_a_page_says_when_an_image_is_due(days: str, due: str, percent: int | None, overdue: bool):
    image = the_library(an_offer(minimal=an_image("js2-minimal", js2_rebuild_after_days=days)))["minimal"]
    (told,) = shown([image], NOW)
    assert (told["age"], told["due"], told["age_percent"], told["overdue"]) == ("12 days", due, percent, overdue)


def test_before_the_cloud_has_answered_an_image_is_neither_there_nor_missing():
    assert {image.stored for image in the_library(NOTHING_KNOWN).values()} == {None}
    assert {image.stored for image in the_library(an_offer()).values()} == {False}


def test_the_embedded_cloud_s_images_list_what_its_instances_really_hold():
    software = software_of(properties.from_parts(of_the_embedded_cloud()))
    assert software.state == "listed"
    assert {"jupyterhub", "pytest"} <= {package.name for package in software.packages}


def test_scripts_get_all_of_it_and_nothing_that_ages_by_itself():
    answer = as_json(the_library().values())
    first = json.loads(json.dumps(answer))["images"][0]
    assert (first["name"], first["built_at"], first["in_cloud"]) == ("minimal", "2026-03-19T12:00:00Z", True)
    assert first["usual_start"] == {"m3.tiny": {"p50_s": 20.0, "p90_s": 30.0}}
    assert {"kind": "deb", "name": "git", "version": "1:2.39.5", "licence": "GPL-2.0-only"} in first["packages"]


def test_every_kind_of_package_has_a_title():
    assert set(KIND_TITLES) == set(get_args(Kind))
    script = (STATIC / "library.js").read_text()
    assert all(f'{kind}: "{title}"' in script for kind, title in KIND_TITLES.items())


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "under 1 s"), (42, "42 s"), (95, "1 min 35 s"), (7260, "2 h 1 min")]
)
def test_times_are_written_as_on_the_other_pages(seconds: float, words: str):
    assert span(seconds) == words


# ---- searching ------------------------------------------------------------------------------------------------------


def test_a_package_is_found_with_the_images_that_hold_it():
    found = search(the_library(who=CAROL).values(), "pandas")
    assert [(place.title, place.version) for place in found.hits[0].places] == [("Scientific Python", "2.3.3")]
    assert found.sentence == "pandas is in 1 of 4 images."


def test_the_name_itself_comes_before_names_that_hold_it():
    names = ("ipywidgets-pandas", "geopandas", "pandas-stubs", "r-cran-pandas", "Pandas")
    image = the_library(an_offer(minimal=an_image("m", tuple(Package("pypi", name, "1") for name in names))))["minimal"]
    found = [hit.name for hit in search([image], "pandas").hits]
    assert found == ["Pandas", "pandas-stubs", "ipywidgets-pandas", "r-cran-pandas", "geopandas"]


def test_what_is_in_no_list_is_said():
    assert search(the_library().values(), "no-such").sentence == "No list of packages here has a name like this."
    assert search(the_library().values(), "  ").sentence == ""


RUNNER = """
import { createInterface } from "node:readline";
import { search } from "./library_search.mjs";
for await (const line of createInterface({ input: process.stdin })) {
  const [images, asked] = JSON.parse(line);
  console.log(JSON.stringify(search(images, asked)));
}
"""


@pytest.fixture(scope="module")
def in_the_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Any, str], Any]]:
    """The page's own script, run by Node."""
    node = find_node()
    if node is None:
        pytest.skip("no Node; `make install` brings one")
    folder = tmp_path_factory.mktemp("search")
    shutil.copy(STATIC / "library_search.js", folder / "library_search.mjs")
    (folder / "run.mjs").write_text(RUNNER)
    argv = [node.program, str(folder / "run.mjs")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def run(images: Any, asked: str) -> Any:
            print(json.dumps([images, asked]), file=stdin, flush=True)
            return json.loads(stdout.readline())

        try:
            yield run
        finally:
            process.kill()


@pytest.mark.parametrize(
    "asked", ["pandas", "PAN", "jupyter lab", "py_lab", "lab.", "git", "zzz", " ", "p", "many", "many 1", "x" * 200]
)
def test_the_browser_finds_what_the_hub_finds(in_the_browser: Callable[[Any, str], Any], asked: str):
    many = tuple(Package("pypi", f"many-{number}", "1") for number in range(FOUND_AT_MOST + 20))
    images = the_library(an_offer(minimal=an_image("m", (*SCIENCE, *many)), scientific=an_image("s", SCIENCE))).values()
    there = in_the_browser(as_json(images)["images"], asked)
    assert there == json.loads(json.dumps(asdict(search(images, asked))))


# ---- the page -------------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_tells_age_size_start_and_packages():
    shelf = page()
    assert shelf.unclosed == []
    text = " ".join(shelf.by_id("js2-image-scientific").text.split())
    for fact in ("Scientific Python", "12 days", "3.6 GB", "40 s", "on Small, nearly always under 1 min", "4 packages"):
        assert fact in text
    assert [bar["width"] for bar in shelf.all("rect", **{"class": "js2-bar-most"})] == ["50", "100"]


def test_without_scripts_the_packages_are_listed_and_the_hub_itself_answers_a_search():
    found = page(asked="pandas")
    assert len(found.all("details")) == 3
    assert "pandas is in 1 of 3 images." in found.by_id("js2-sentence").text
    assert "2.3.3" in found.by_id("js2-hits").text
    assert found.by_id("js2-asked")["value"] == "pandas"
    assert found.by_id("js2-find")["method"] == "get"


def test_every_link_of_a_search_leads_to_an_image_of_the_page():
    found = page(asked="jupyterlab")
    links = [link["href"] for link in found.all("a") if link["href"].startswith("#")]
    assert len(links) == 3
    assert all(found.by_id(link[1:]) for link in links)


def test_a_search_box_is_named_and_its_answer_is_announced():
    shelf = page()
    assert shelf.one("label", **{"for": "js2-asked"}).text.strip()
    assert shelf.by_id("js2-sentence")["role"] == "status"


def test_an_unreached_cloud_and_an_empty_library_are_told():
    assert "has not answered yet" in page(tuple(the_library(NOTHING_KNOWN).values()), cloud_known=False).html
    assert "No image of this hub is open to you" in page(()).html


def test_an_image_that_cannot_be_started_says_so():
    assert "The cloud has no image for it" in page((the_library(an_offer())["minimal"],)).html
    assert "The cloud has no image for it" not in page().html


def test_an_image_that_nobody_booted_before_it_was_published_says_so():
    image = the_library(an_offer(minimal=an_image("m", MINIMAL, js2_untested="yes")))["minimal"]
    assert "not boot-tested" in page((image,)).html
    assert "not boot-tested" not in page().html


def test_hostile_words_of_an_image_stay_words():
    says = an_image(
        "m",
        (Package("pypi", HOSTILE, HOSTILE, HOSTILE),),
        js2_build=HOSTILE,
        js2_licences=HOSTILE,
        js2_built_at=HOSTILE,
    )
    hostile = page((the_library(an_offer(minimal=says))["minimal"],), asked=HOSTILE)
    assert len(hostile.all("img")) == len(page().all("img"))
    assert [script for script in hostile.all("script") if "alert(" in script.text] == []
    assert HOSTILE in hostile.one("ul", **{"class": "js2-packages"}).text
    assert hostile.by_id("js2-asked")["value"] == HOSTILE


def test_every_page_of_a_user_leads_to_the_library():
    assert page().one("a", href="/hub/js2/library").text == "Library"
