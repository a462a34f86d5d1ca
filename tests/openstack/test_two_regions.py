"""Two regions that are two OpenStacks: one is lost as a whole and comes back, or goes mute, and the other is not.

One story, told in order: who has a server or a home in one test has it in the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.browser.scripted import Scripted
from tests.browser.whole import until
from tests.openstack.regions import HubOfTwo, Region, region
from tests.openstack.rig.layout import Which
from tests.openstack.whole import PATIENCE_S

pytestmark = [pytest.mark.openstack, pytest.mark.long, pytest.mark.timeout(PATIENCE_S)]

GONE_WITHIN_S = 120
HEARD_WITHIN_S = 60
# So that silence is silence soon.
IMPATIENT = ("--Js2Fleet.quiet_list_interval_s=2", "--Js2Fleet.call_timeout_s=5")
PUBLISHED = b"what is published" * 64
SHA512 = hashlib.sha512(PUBLISHED).hexdigest()


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with region(Which.FIRST, tmp_path_factory.mktemp("near")) as there:
        yield there


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with region(Which.SECOND, tmp_path_factory.mktemp("far")) as there:
        yield there


@pytest.fixture(scope="module")
def published(near: Region, far: Region) -> Iterator[str]:
    """The name of one image in both, by other ids."""
    name = f"{near.estate.name}-published"
    with near.image(name, PUBLISHED), far.image(name, PUBLISHED):
        yield name


@pytest.fixture(scope="module")
def forged(near: Region, far: Region) -> Iterator[str]:
    """The name of two images."""
    name = f"{near.estate.name}-forged"
    with near.image(name, PUBLISHED), far.image(name, PUBLISHED[::-1]):
        yield name


@pytest.fixture(scope="module")
def hub(
    near: Region, far: Region, published: str, forged: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HubOfTwo]:
    words = {"published": published, "forged": forged, "sha512": SHA512}
    where = tmp_path_factory.mktemp("regions")
    with HubOfTwo(where, near, far, "ada", hub_options=IMPATIENT, **words) as running:
        yield running


def refusal(hub: HubOfTwo, user: str, **options: str) -> str:
    """What somebody is told whose start fails, at once or while they wait."""
    answer = Scripted(hub, user).asks_for(**options)
    if answer.status_code == 202:
        answer = hub.rest("GET", f"/users/{user}/server/progress")
        assert '"failed": true' in answer.text
    return answer.text


def test_starts_and_homes_go_to_the_first_region_while_it_answers(hub: HubOfTwo, near: Region, far: Region):
    Scripted(hub, "ada").starts()
    Scripted(hub, "ada").keeps("notes.txt", "of ada")
    hal = Scripted(hub, "hal")
    hal.starts(image="home")
    hal.keeps("thesis.txt", "chapter one")
    assert (near.servers().keys(), far.servers().keys()) == ({"ada", "hal"}, set())
    hal.stops()
    until(lambda: near.home("hal").status == "available", "the home is free", GONE_WITHIN_S)


def test_both_regions_start_the_same_data_and_know_it_by_its_hash(hub: HubOfTwo, near: Region, far: Region):
    Scripted(hub, "bo").starts(image="pinned", region="far")
    ids = near.servers()["ada"].image.id, far.servers()["bo"].image.id
    assert ids[0] != ids[1]
    hashes = {at.cloud.image.get_image(each).hash_value for at, each in zip((near, far), ids, strict=True)}
    assert hashes == {SHA512}


def test_other_data_under_the_name_of_an_image_is_not_started(hub: HubOfTwo, far: Region):
    assert "has not been published" in refusal(hub, "mallory", image="forged", region="far")
    assert "mallory" not in far.servers()


def test_an_openstack_that_is_lost_keeps_nobody_from_a_start_and_costs_nobody_an_instance(
    hub: HubOfTwo, near: Region, far: Region
):
    near.lose()
    Scripted(hub, "cy").starts(fallback="yes")
    assert far.servers().keys() == {"bo", "cy"}
    until(
        lambda: "region near does not answer" in hub.log("hub"), "the hub says that the region is down", HEARD_WITHIN_S
    )
    Scripted(hub, "eve").starts(image="yonder")
    assert hub.is_ready("ada")
    assert Scripted(hub, "ada").has("notes.txt") == "of ada"


def test_a_home_in_a_lost_region_is_waited_for_and_another_is_made_where_there_is_a_region(
    hub: HubOfTwo, near: Region, far: Region
):
    assert near.is_lost
    assert "cannot be reached" in refusal(hub, "hal", image="home", fallback="yes")
    ida = Scripted(hub, "ida")
    ida.starts(image="home")
    ida.keeps("thesis.txt", "chapter two")
    volumes = {volume.metadata["js2_user"] for volume in far.cloud.block_storage.volumes()}
    assert volumes == {"ida"}
    ida.stops()
    until(lambda: far.home("ida").status == "available", "the home is free", GONE_WITHIN_S)


def test_once_it_is_back_it_is_gone_to_again_and_homes_are_where_they_were(hub: HubOfTwo, near: Region, far: Region):
    near.bring_back()
    until(lambda: "region near answers again" in hub.log("hub"), "the hub says that it is back", HEARD_WITHIN_S)
    Scripted(hub, "di").starts()
    for user, text in {"hal": "chapter one", "ida": "chapter two"}.items():
        Scripted(hub, user).starts(image="home")
        assert Scripted(hub, user).has("thesis.txt") == text
    assert near.servers().keys() == {"ada", "di", "hal"}
    assert far.servers().keys() == {"bo", "cy", "eve", "ida"}


def test_a_region_that_hears_and_never_answers_is_left_too_and_what_it_made_is_deleted(
    hub: HubOfTwo, near: Region, far: Region
):
    with near.mute():
        stuck = Scripted(hub, "fay")
        assert stuck.asks_for(fallback="yes").status_code in (201, 202)
        # In the other region nobody waits for what becomes of that.
        Scripted(hub, "gus").starts(image="yonder")
        until(lambda: hub.is_ready("fay"), "fay's server is ready", GONE_WITHIN_S)
        assert {"fay", "gus"} <= far.servers().keys()
        assert hub.is_ready("ada")
    until(lambda: near.servers().keys() == {"ada", "di", "hal"}, "what was made unheard is gone", GONE_WITHIN_S)
