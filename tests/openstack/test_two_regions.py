"""A region of the real services that is dead, or mute, and another that is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.scripted import Scripted
from tests.browser.whole import until
from tests.openstack.estate import Estate
from tests.openstack.relay import Relay
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.long, pytest.mark.timeout(PATIENCE_S)]

CATALOG = Path(__file__).with_name("catalog.regions.yaml")
Ways = tuple[Relay, ...]
GONE_WITHIN_S = 120
# So that silence is silence soon.
IMPATIENT = ("--Js2Fleet.quiet_list_interval_s=2", "--Js2Fleet.call_timeout_s=5")


@pytest.fixture(scope="module")
def ways(own_estate: Estate) -> Iterator[Ways]:
    with own_estate.second_region() as ways:
        yield ways


@pytest.fixture(scope="module")
def hub(own_estate: Estate, ways: Ways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    where = tmp_path_factory.mktemp("regions")
    with RealHub(where, own_estate, "ada", strangers=True, hub_options=IMPATIENT, catalog=CATALOG) as running:
        yield running


def there(hub: RealHub) -> set[str]:
    """Whose instances the first region has."""
    servers = hub.connection(hub.estate.people.other).compute.servers()
    return {str(server.metadata.get("js2_user")) for server in servers}


def here(hub: RealHub) -> set[str]:
    return {str(server.metadata["js2_user"]) for server in hub.instances()}


def test_starts_go_to_the_first_region_while_it_answers(hub: RealHub):
    Scripted(hub, "ada").starts()
    assert (there(hub), here(hub)) == ({"ada"}, set())


def test_a_region_that_dies_keeps_nobody_from_a_start_and_costs_nobody_an_instance(hub: RealHub, ways: Ways):
    for way in ways:
        way.close()
    Scripted(hub, "bo").starts(fallback="yes")
    assert (there(hub), here(hub)) == ({"ada"}, {"bo"})
    until(lambda: "region there does not answer" in hub.log("hub"), "the hub says that the region is down", 60)
    assert hub.is_ready("ada")


def test_it_is_gone_to_again_once_it_answers(hub: RealHub, ways: Ways):
    for way in ways:
        way.open()
    until(lambda: "region there answers again" in hub.log("hub"), "the hub says that it is back", 60)
    Scripted(hub, "cy").starts()
    assert there(hub) == {"ada", "cy"}


def test_a_region_that_hears_and_never_answers_is_left_too_and_what_it_made_is_deleted(hub: RealHub, ways: Ways):
    for way in ways:
        way.mute = True
    Scripted(hub, "di").starts(fallback="yes")
    assert "di" in here(hub)
    assert hub.is_ready("ada")
    for way in ways:
        way.mute = False
        # What lost an answer would wait for it.
        way.close()
        way.open()
    until(lambda: there(hub) == {"ada", "cy"}, "what was made unheard is gone", GONE_WITHIN_S)
