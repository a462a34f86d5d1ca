"""The hub is killed with SIGKILL, at any moment: nothing is lost and nothing is doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.conftest import People
from tests.browser.whole import Pieces, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pieces]:
    with Pieces(tmp_path_factory.mktemp("killed"), "alice,bob", boot_seconds=3) as pieces:
        yield pieces


def is_gone(hub: Pieces, user: str) -> None:
    hub.rest("DELETE", f"/users/{user}/server")
    until(lambda: not hub.instances(user), f"{user}'s instance is deleted", 60)


def test_a_kernel_and_its_variables_outlive_the_hub(hub: Pieces, person: People) -> None:
    alice = person("alice")
    alice.starts()
    alice.opens_notebook()
    alice.computes("kept = 6 * 7; print('set')")
    instance = hub.instance_id("alice")
    hub.kill_hub()
    hub.start_hub()
    until(lambda: hub.is_ready("alice"), "the new hub finds alice's server", 60)
    alice.page.reload()
    alice.awaits_kernel()
    assert alice.computes("print(kept)") == "42"
    assert hub.instance_id("alice") == instance
    is_gone(hub, "alice")


@pytest.mark.parametrize("moment", ["BUILD", "ACTIVE", "Greeted", "Assigned"])
def test_a_start_that_the_hub_died_in_is_taken_up_by_the_next(hub: Pieces, moment: str) -> None:
    seen = hub.log("hub").count(f"→ {moment}")
    hub.rest("POST", "/users/bob/server")
    if moment in ("BUILD", "ACTIVE"):
        until(lambda: [s for s in hub.instances("bob") if s.status == moment], f"bob's instance is {moment}", 30)
    else:
        until(lambda: hub.log("hub").count(f"→ {moment}") > seen, f"the attempt is {moment}", 60)
    instance = hub.instance_id("bob")
    hub.kill_hub()
    hub.start_hub()
    hub.rest("POST", "/users/bob/server")
    until(lambda: hub.is_ready("bob"), "bob's server is ready", 90)
    assert hub.instance_id("bob") == instance
    is_gone(hub, "bob")


def test_an_end_that_the_cloud_could_not_take_is_kept_by_the_next_hub(hub: Pieces) -> None:
    hub.rest("POST", "/users/bob/server")
    until(lambda: hub.is_ready("bob"), "bob's server is ready", 90)
    deleting = {"name": "away", "match": {"operation": "compute.servers.delete"}, "effect": {"status": 503}}
    hub.control("POST", "/faults", deleting)
    hub.rest("DELETE", "/users/bob/server")
    until(lambda: not hub.server_model("bob"), "JupyterHub takes bob's server for stopped", 30)
    assert hub.instances("bob")
    hub.kill_hub()
    hub.control("DELETE", "/faults/away")
    hub.start_hub()
    until(lambda: not hub.instances("bob"), "the promise is kept", 60)
    assert hub.ports() == []
