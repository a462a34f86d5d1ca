"""A hub that is killed at its busiest: starts at every stage, a notebook at work. Nothing is lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import People
from tests.browser.whole import Pieces, until

pytestmark = pytest.mark.browser

# Whom the hub's death meets where.
RUNNING, UNANSWERED, BUILDING, BOOTING, GREETED = "rita", "uma", "bill", "boris", "greta"
STARTING = (UNANSWERED, BUILDING, BOOTING, GREETED)


@dataclass(frozen=True, slots=True)
class Death:
    """The hub after it, and who had which instance before. UNANSWERED had none: the create was still under way."""

    hub: Pieces
    person: People
    instances: Mapping[str, str]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pieces]:
    with Pieces(tmp_path_factory.mktemp("killed"), ",".join((RUNNING, *STARTING))) as running:
        yield running


@pytest.fixture(scope="module")
def death(hub: Pieces, person: People) -> Death:
    """Bring everybody to their place, kill the hub, start it again."""
    for name in STARTING:
        person(name)
    rita = person(RUNNING)
    rita.starts()
    rita.opens_notebook()
    assert rita.computes("kept = 6 * 7; kept") == "42"

    hub.fault("slow create", server=f"js2-{UNANSWERED}-*", effect={"delay_s": 6})
    hub.fault("slow boot", server=f"js2-{BOOTING}-*", effect={"boot_seconds": 12})
    for name in (BOOTING, GREETED):
        person(name).chooses()
        until(lambda name=name: "→ Booting" in hub.story(name), f"the hub knows that {name}'s instance boots")
    hub.control("PUT", "/latencies", {"phases": {"spawning": 6}})
    person(BUILDING).chooses()
    until(lambda: "→ Building" in hub.story(BUILDING), "the hub knows that the cloud builds")
    person(UNANSWERED).chooses()
    until(lambda: hub.struck("slow create"), "the create is under way")
    until(lambda: "→ Greeted" in hub.story(GREETED), "the guest has said hello")

    hub.kill_hub()
    instances = {str(each.metadata["js2_user"]): str(each.id) for each in hub.instances()}
    hub.start_hub()
    return Death(hub, person, instances)


def test_the_hub_died_where_it_was_meant_to(death: Death):
    assert set(death.instances) == {RUNNING, BUILDING, BOOTING, GREETED}
    assert "→ Running" not in death.hub.story(GREETED)


def test_the_running_notebook_has_noticed_nothing(death: Death):
    rita = death.person(RUNNING)
    assert rita.computes("kept + 1") == "43"
    assert death.hub.instance_id(RUNNING) == death.instances[RUNNING]

    rita.goes_to("/hub/home")
    expect(rita.row("Default server")).to_have_attribute("data-state", "running")


def test_who_watched_a_start_is_brought_to_where_it_is_started_again(death: Death):
    for name in STARTING:
        expect(death.person(name).page.locator("#start")).to_be_visible(timeout=60_000)


def test_the_same_choice_takes_up_every_start_where_it_was(death: Death):
    for name in STARTING:
        death.person(name).chooses()
    for name in STARTING:
        death.person(name).sees_lab()
    for name in (BUILDING, BOOTING, GREETED):
        assert death.hub.instance_id(name) == death.instances[name], name
        assert len(death.hub.attempts(name)) == 1, name


def test_a_create_that_nobody_heard_the_answer_of_is_found_in_the_cloud(death: Death):
    assert len(death.hub.instances(UNANSWERED)) == 1
    assert len(death.hub.attempts(UNANSWERED)) == 1


def test_nobody_has_two_instances_and_none_is_nobody_s(death: Death):
    assert sorted(each.metadata["js2_user"] for each in death.hub.instances()) == sorted((RUNNING, *STARTING))
    assert len(death.hub.ports()) == len((RUNNING, *STARTING))


def test_an_end_that_the_cloud_could_not_take_is_kept_by_the_next_hub(death: Death):
    hub = death.hub
    everybody = (RUNNING, *STARTING)
    hub.fault("away", server="*", effect={"status": 503}, operation="compute.servers.delete")
    for name in everybody:
        hub.rest("DELETE", f"/users/{name}/server")
    until(lambda: not any(hub.server_model(name) for name in everybody), "JupyterHub takes all servers for stopped")
    assert len(hub.instances()) == len(everybody)

    hub.kill_hub()
    hub.control("DELETE", "/faults")
    hub.start_hub()
    until(lambda: hub.instances() == [] and hub.ports() == [], "everything is gone", 60)
