"""The main job on the real Nova, Neutron, Glance and Keystone: sign in, choose, work on an instance, stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser import evidence
from tests.browser.people import STAGES, Person
from tests.browser.whole import until
from tests.openstack.estate import Estate
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

GONE_WITHIN_S = 90


@pytest.fixture(scope="module")
def hub(own_estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    with RealHub(tmp_path_factory.mktemp("main"), own_estate, "alice,bob") as running:
        yield running


def test_from_signing_in_to_an_instance_that_is_gone(hub: RealHub, person: Callable[[str], Person]):
    alice = person("alice")
    alice.chooses("minimal", "m3.small")
    alice.sees_lab()
    assert alice.stages_seen() == [f"{stage}: {state}" for stage in STAGES for state in ("begun", "done")]
    (instance,) = hub.instances("alice")
    assert (instance.status, instance.flavor.original_name) == ("ACTIVE", "m3.small")
    assert [port.device_id for port in hub.ports()] == [instance.id]

    alice.works_as_nobody_but_herself()

    processes = hub.instance_processes(instance.id)
    assert len(processes) > 3
    alice.stops()
    until(lambda: not hub.instances("alice"), "alice's instance is gone from Nova", GONE_WITHIN_S)
    until(lambda: hub.ports() == [], "its port is gone from Neutron", GONE_WITHIN_S)
    until(lambda: not set(processes) & set(hub.living()), "the instance's processes are gone", GONE_WITHIN_S)


def test_a_script_starts_what_it_names_and_nobody_reads_its_secrets(hub: RealHub):
    hub.rest("POST", "/users/bob")
    assert hub.rest("POST", "/users/bob/server", {"image": "minimal", "flavor": "m3.tiny"}).status_code in (201, 202)
    until(lambda: hub.is_ready("bob"), "bob's server is ready", 90)
    (instance,) = hub.instances("bob")
    assert (instance.flavor.original_name, instance.metadata["js2_image"]) == ("m3.tiny", "minimal")

    secrets = evidence.secrets_of(hub, instance.id)
    assert all(len(secret) > 20 for secret in secrets.values())
    for place, text in evidence.readable(hub, instance.id):
        assert [what for what in secrets if secrets[what] in text] == [], place
    assert "ticket" in evidence.user_data(hub, instance.id)
    assert "bob" not in evidence.user_data(hub, instance.id)


def test_a_start_that_is_stopped_while_the_cloud_builds_leaves_nothing(hub: RealHub, person: Callable[[str], Person]):
    alice = person("alice")
    alice.chooses()
    until(lambda: hub.instances("alice"), "the instance is being built")
    alice.page.click("#js2-stop")
    alice.page.wait_for_url("**/hub/home")
    until(lambda: not hub.instances("alice"), "the instance is gone from Nova", GONE_WITHIN_S)
    until(lambda: {port.device_id for port in hub.ports()} == {hub.instance_id("bob")}, "so is its port", GONE_WITHIN_S)
    expect(alice.row("Default server")).to_have_attribute("data-state", "stopped")
    last = [line for line in hub.log("hub").splitlines() if "alice: attempt" in line and "→ Ended" in line][-1]
    assert "Ending → Ended" in last
    assert hub.is_ready("bob")
