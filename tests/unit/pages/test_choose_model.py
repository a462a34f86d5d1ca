"""What the choice page makes of a choice: what it rules out, what has to be confirmed; the real script, run by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from js2spawner.demo.node import find_node

from .rendering import STATIC

# One line of JSON in ({choices, picked, moved}), one line of JSON out.
RUNNER = """
import { createInterface } from "node:readline";
import { facts, named, offered } from "./choose_model.js";
for await (const line of createInterface({ input: process.stdin })) {
  const { choices, picked, behind } = JSON.parse(line);
  if (behind !== undefined) {
    console.log(JSON.stringify(named(behind)));
    continue;
  }
  const now = offered(choices, picked);
  console.log(JSON.stringify(now && { ...now, facts: now.flavor ? facts(choices, now, picked, "") : [] }));
}
"""
SHELF = {"value": "shelve", "title": "Put it on the shelf", "words": "All of its disk is kept.", "su_share": 0}
DELETE = {"value": "delete", "title": "Delete it", "words": "What is not in your home is lost.", "su_share": 0}
KEEP = {"value": "keep", "title": "Keep it running", "words": "It runs on.", "su_share": 1}


def an_image(name: str, **changes: Any) -> dict[str, Any]:
    image = {
        "name": name,
        "title": name.title(),
        "flavors": ["small", "whole"],
        "profile": {"idle_minutes": 30, "longest_hours": 12},
        "home": {"keeps": True, "words": "Stays."},
        "idle": [DELETE, SHELF, KEEP],
        "regions": [{"name": "iu", "usable": True, "why_not": ""}, {"name": "tacc", "usable": True, "why_not": ""}],
        "confirm": {"whole": "Whole costs 64 SU for each hour it runs."},
        "further_words": "When there is no room: Small.",
    }
    return image | changes


def a_flavor(name: str, su: float, **changes: Any) -> dict[str, Any]:
    rooms = {"iu": {"room": "no", "room_text": "Full here."}, "tacc": {"room": "yes", "room_text": "Room there."}}
    flavor = {"name": name, "title": name.title(), "usable": True, "why_not": "", "su_per_hour": su, "rooms": rooms}
    return flavor | {"room": "yes", "room_text": "Room somewhere."} | changes


CHOICES: dict[str, Any] = {
    "images": [
        an_image("plain"),
        an_image("small", flavors=["small"]),
        an_image("bare", home={"keeps": False}, idle=[DELETE], regions=[{"name": "iu", "usable": True, "why_not": ""}]),
    ],
    "flavors": [a_flavor("small", 2), a_flavor("whole", 64)],
    "regions": [
        {"name": "iu", "title": "Indiana", "state": "up", "words": ""},
        {"name": "tacc", "title": "Texas", "state": "down", "words": "Does not answer."},
    ],
    "home": None,
    "typical": {},
}
AT_HOME = {**CHOICES, "home": {"region": "iu", "title": "Indiana", "size_gb": 10}}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """The script in Node: one question in, its answer out."""
    node = find_node()
    if node is None:
        pytest.skip("no Node; `make install` brings one")
    folder: Path = tmp_path_factory.mktemp("model")
    for name in ("choose_model.js", "durations.js"):
        shutil.copy(STATIC / name, folder / name)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.js").write_text(RUNNER)
    argv = [node.program, str(folder / "run.js")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def run(question: dict[str, Any]) -> Any:
            print(json.dumps(question), file=stdin, flush=True)
            return json.loads(stdout.readline())

        try:
            yield run
        finally:
            process.kill()


@pytest.fixture(scope="module")
def offered(script: Callable[[dict[str, Any]], Any]) -> Callable[..., dict[str, Any]]:
    """A function that answers what the page offers for a choice."""

    def run(image: str, flavor: str, choices: dict[str, Any] = CHOICES, **picked: str) -> dict[str, Any]:
        told: dict[str, Any] = script({"choices": choices, "picked": {"image": image, "flavor": flavor, **picked}})
        return told

    return run


@pytest.mark.parametrize(
    ("behind", "picked"),
    [
        ("saved:1", [["image", "saved:1"]]),
        ("home=none&flavor=small", [["home", "none"], ["flavor", "small"]]),
        ("home=none&js2-known=yes&confirm=whole", [["home", "none"]]),
    ],
)
def test_a_link_picks_options_and_acknowledges_nothing(script, behind, picked):
    assert script({"behind": behind}) == picked


def test_an_image_rules_out_the_flavors_it_does_not_run_on_and_says_so(offered):
    flavors = {each["name"]: each for each in offered("small", "small")["flavors"]}
    assert (flavors["small"]["usable"], flavors["whole"]["usable"]) == (True, False)
    assert flavors["whole"]["told"] == "Small does not run on it."


def test_room_is_told_of_the_region_that_counts(offered):
    def told(**choice: Any) -> str:
        return str(offered("plain", "small", **choice)["flavors"][0]["told"])

    assert told() == "Room somewhere."
    assert told(region="tacc") == "Room there."
    assert told(choices=AT_HOME) == "Full here."
    assert told(choices=AT_HOME, home="none") == "Room somewhere."


def test_a_home_binds_to_its_region_unless_one_goes_without(offered):
    bound = offered("plain", "small", choices=AT_HOME)["regions"][1]
    assert (bound["usable"], bound["told"]) == (False, "Your home is in Indiana; start without it to start here.")
    assert offered("plain", "small", choices=AT_HOME, home="none")["regions"][1]["usable"] is True


def test_a_volume_does_not_bind_who_wants_a_home_on_a_share(offered):
    share = {"keeps": True, "words": "Stays.", "kind": "share"}
    volume = {"kind": "volume", "region": "iu", "title": "Indiana", "size_gb": 10}
    choices = {**CHOICES, "images": [an_image("shared", home=share)], "home": volume}
    assert offered("shared", "small", choices=choices)["regions"][1]["usable"] is True


def test_files_that_will_be_lost_have_to_be_acknowledged(offered):
    assert offered("plain", "small")["home"] == {"can": True, "loses": False}
    assert offered("plain", "small", home="none")["home"] == {"can": True, "loses": True}
    assert offered("bare", "small")["home"] == {"can": False, "loses": True}


def test_a_dear_flavor_has_a_price_to_confirm_and_a_cheap_one_has_none(offered):
    assert "64 SU" in offered("plain", "whole")["confirm"]
    assert offered("plain", "small")["confirm"] == ""


def test_each_way_to_be_idle_says_what_an_hour_of_it_costs(offered):
    prices = {way["value"]: way["price"] for way in offered("plain", "whole")["idle"]}
    assert prices == {"delete": "0 SU per hour", "shelve": "0 SU per hour", "keep": "64 SU per hour"}
    assert "All your files are lost" in offered("plain", "whole", home="none")["idle"][0]["told"]


@pytest.mark.parametrize(
    ("idle", "said"),
    [
        ("delete", "ends after 30 min idle, or 12 h"),
        ("shelve", "goes on the shelf after 30 min idle, or 12 h"),
        ("keep", "ends after 12 h, used or not"),
    ],
)
def test_the_summary_says_price_place_and_end(offered, idle, said):
    facts = offered("plain", "small", region="tacc", idle=idle)["facts"]
    assert facts == ["2 SU per hour", "in Texas", "typical start not known yet", said]


def test_an_image_that_is_not_there_offers_nothing(offered):
    assert offered("gone", "small") is None
