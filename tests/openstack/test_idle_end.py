"""The culler on the real services: what nobody uses goes, from Nova and Neutron too; what is at work stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.browser.people import Person
from tests.browser.test_idle_end import SILENT_WORK
from tests.browser.whole import until
from tests.openstack.estate import Estate
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

# Profile `idle` of the catalog, the culler's rounds, and the cloud's own time.
GONE_WITHIN_S = 45 + 120


@pytest.fixture(scope="module")
def hub(own_estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    """A hub on which 45 seconds without use are idle: whatever tells of use has to be quicker than usual."""
    quicker = (
        "--Js2Fleet.report_interval_s=1",
        "--JupyterHub.last_activity_interval=3",
        "--Spawner.environment=JUPYTERHUB_ACTIVITY_INTERVAL=3",
    )
    where, environment = tmp_path_factory.mktemp("idle"), {"JS2_CULL_EVERY_S": "5"}
    with RealHub(where, own_estate, "ida,kira", hub_options=quicker, hub_environment=environment) as running:
        yield running


def test_the_idle_go_and_the_busy_stay_until_they_are_done(hub: RealHub, person: Callable[[str], Person]):
    busy, idle = person("kira"), person("ida")
    busy.chooses("idle")
    busy.sees_lab()
    busy.opens_notebook()
    busy.runs(SILENT_WORK)
    until(lambda: busy.file("begun") is not None, "the kernel is at work")
    busy.leave()

    idle.starts("idle")
    gone = hub.instance_id("ida")
    idle.leave()
    until(lambda: not hub.instances("ida"), "the idle instance is gone from Nova", GONE_WITHIN_S)
    until(lambda: gone not in {port.device_id for port in hub.ports()}, "its port is gone from Neutron", 60)
    assert hub.server_model("ida") == {}
    assert hub.is_ready("kira")

    (hub.home("kira") / "enough").touch()
    until(lambda: not hub.instances("kira"), "the busy one is gone, once it is idle", GONE_WITHIN_S)
    until(lambda: hub.ports() == [], "nothing is left in Neutron", 60)
