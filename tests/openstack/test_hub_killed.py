"""A hub that is killed while the real Nova builds for it: nothing is lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import People
from tests.browser.whole import until
from tests.openstack.estate import Estate
from tests.openstack.relay import Relay
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

# Whom the hub's death meets where.
RUNNING, BUILDING, UNANSWERED = "rita", "bill", "uma"
EVERYBODY = (RUNNING, BUILDING, UNANSWERED)
GONE_WITHIN_S = 90


@dataclass(frozen=True, slots=True)
class Death:
    """The hub after it, and who had which instance before."""

    hub: RealHub
    person: People
    instances: Mapping[str, str]


@pytest.fixture(scope="module")
def way_to_nova(own_estate: Estate) -> Iterator[Relay]:
    with own_estate.relay("compute") as relay:
        yield relay


@pytest.fixture(scope="module")
def hub(own_estate: Estate, way_to_nova: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    with RealHub(tmp_path_factory.mktemp("killed"), own_estate, ",".join(EVERYBODY)) as running:
        yield running


@pytest.fixture(scope="module")
def death(hub: RealHub, person: People, way_to_nova: Relay) -> Death:
    """Bring everybody to their place, kill the hub, start it again."""
    bill = person(BUILDING)
    person(UNANSWERED)
    rita = person(RUNNING)
    rita.starts()
    rita.opens_notebook()
    assert rita.computes("kept = 6 * 7; kept") == "42"

    bill.chooses()
    until(lambda: "→ Building" in hub.story(BUILDING), "the hub knows that the cloud builds")
    way_to_nova.mute = True
    assert hub.rest("POST", f"/users/{UNANSWERED}/server").status_code == 202
    until(lambda: hub.instances(UNANSWERED), "Nova has done what nobody hears the answer of")
    hub.kill_hub()
    instances = {str(each.metadata["js2_user"]): str(each.id) for each in hub.instances()}
    way_to_nova.mute = False
    hub.start_hub()
    return Death(hub, person, instances)


def test_the_hub_died_where_it_was_meant_to(death: Death):
    assert set(death.instances) == set(EVERYBODY)
    before = death.hub.log("hub").split("attempts found again")[0]
    assert f"{BUILDING}: attempt" in before
    assert death.instances[BUILDING] in before
    assert death.instances[UNANSWERED] not in before


def test_the_running_notebook_has_noticed_nothing(death: Death):
    rita = death.person(RUNNING)
    assert rita.computes("kept + 1") == "43"
    assert death.hub.instance_id(RUNNING) == death.instances[RUNNING]
    rita.goes_to("/hub/home")
    expect(rita.row("Default server")).to_have_attribute("data-state", "running")


def test_the_same_choice_takes_up_what_nova_built_meanwhile(death: Death):
    for name in (BUILDING, UNANSWERED):
        death.person(name).chooses()
    for name in (BUILDING, UNANSWERED):
        death.person(name).sees_lab()
        assert death.hub.instance_id(name) == death.instances[name], name
        assert len(death.hub.attempts(name)) == 1, name


def test_nobody_has_two_instances_and_none_is_nobody_s(death: Death):
    assert sorted(each.metadata["js2_user"] for each in death.hub.instances()) == sorted(EVERYBODY)
    assert len(death.hub.ports()) == len(EVERYBODY)


def test_an_end_that_nova_could_not_be_told_of_is_kept_by_the_next_hub(death: Death, way_to_nova: Relay):
    hub = death.hub
    way_to_nova.close()
    for name in EVERYBODY:
        hub.rest("DELETE", f"/users/{name}/server")
    until(lambda: not any(hub.server_model(name) for name in EVERYBODY), "JupyterHub takes all servers for stopped")
    assert len(hub.instances()) == len(EVERYBODY)

    hub.kill_hub()
    way_to_nova.open()
    hub.start_hub()
    until(lambda: hub.instances() == [] and hub.ports() == [], "everything is gone", GONE_WITHIN_S)
