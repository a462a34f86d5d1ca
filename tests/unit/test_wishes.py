"""From a choice to what is tried, and in which order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import Region
from js2spawner.fleet.regions import Ids
from js2spawner.instance import Deadlines, HomeUse, Owner
from js2spawner.line import Candidate
from js2spawner.options import Choice, Who, check
from js2spawner.wishes import candidates_of, plan_of, wish_of

CATALOG = Catalog.load(Path(__file__).parent / "catalog.plain.yaml")
BOB = Who("bob", frozenset({"course"}), admin=False)
FAR = Region(name="far", cloud="far")


def choice() -> Choice:
    """Two flavors and two regions would do."""
    plain = check({}, catalog=CATALOG, who=BOB)
    flavors = [flavor for flavor in CATALOG.flavors if flavor.groups is None and flavor.gpu is None]
    return replace(plain, regions=(*plain.regions, FAR), flavors=tuple(flavors[:2]))


def test_the_same_flavor_elsewhere_comes_before_another_flavor() -> None:
    wanted = choice()
    here, (first, second) = wanted.region.name, (flavor.name for flavor in wanted.flavors)
    assert candidates_of(wanted) == (
        Candidate(here, first),
        Candidate("far", first),
        Candidate(here, second),
        Candidate("far", second),
    )


def test_a_home_binds_to_its_region() -> None:
    assert {candidate.region for candidate in candidates_of(choice(), "far")} == {"far"}


def test_what_could_be_had_instead_is_what_the_user_may_choose() -> None:
    wish = wish_of(choice(), Owner("bob", ""), who=BOB, catalog=CATALOG, region=None, chosen={}, members={})
    offered = {candidate.flavor for candidate in wish.instead}
    closed = {flavor.name for flavor in CATALOG.flavors if not BOB.belongs(flavor.groups)}
    assert offered
    assert not offered & closed


def test_the_plan_is_of_what_was_granted_and_not_of_what_was_preferred() -> None:
    wanted = choice()
    granted = candidates_of(wanted)[-1]
    home = HomeUse("volume", "v1")
    plan = plan_of(wanted, granted, Ids("i", "f", "n", ("g",), gpu=False), home, Deadlines())
    assert (plan.region, plan.flavor, plan.home) == (*granted, home)
