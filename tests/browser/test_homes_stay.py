"""Instances go, homes stay: files, layouts and whole disks, over stops, culls, killed hubs and lost instances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.scripted import Scripted
from tests.browser.whole import Pieces, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CATALOG = Path(__file__).with_name("catalog.homes.yaml")
GONE_WITHIN_S = 60
# Profile `idle` of the catalog, the culler's rounds, and the cloud's own time.
CULLED_WITHIN_S = 18 + 60


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pieces]:
    quicker = ("--Js2Fleet.report_interval_s=2", "--JupyterHub.last_activity_interval=3")
    environment = {"JS2_CATALOG": str(CATALOG), "JS2_CULL_EVERY_S": "5"}
    with Pieces(tmp_path_factory.mktemp("homes"), "ada", hub_options=quicker, hub_environment=environment) as running:
        yield running


def homes(hub: Pieces, user: str) -> list[Any]:
    return [each for each in hub.cloud.block_storage.volumes() if each.metadata.get("js2_user") == user]


def is_gone(hub: Pieces, user: str, server: str = "") -> bool:
    return not hub.instances(user, server)


def test_files_outlive_the_instance_and_one_home_serves_one_server(hub: Pieces):
    ada = Scripted(hub, "ada")
    ada.starts(image="home")
    (home,) = homes(hub, "ada")
    assert (home.status, home.size, home.metadata["js2_home"]) == ("in-use", 1, "home")
    ada.keeps("thesis.txt", "chapter one")

    refused = ada.asks_for("second", image="home")
    assert refused.status_code == 503
    assert "in use by your default server" in refused.json()["message"]
    ada.starts("second", image="home", home="none")
    assert ada.has("thesis.txt", "second") is None
    ada.stops("second")

    ada.stops()
    until(lambda: is_gone(hub, "ada"), "the instance is gone", GONE_WITHIN_S)
    (home,) = homes(hub, "ada")
    assert (home.status, home.metadata["js2_formatted"]) == ("available", "yes")
    ada.starts(image="home", flavor="m3.small")
    assert ada.has("thesis.txt") == "chapter one"
    ada.stops()


def test_a_stop_and_a_start_at_once_wait_for_the_home(hub: Pieces):
    bo = Scripted(hub, "bo")
    bo.starts(image="home")
    bo.keeps("notes.txt", "kept")
    bo.stops()
    bo.starts(image="home")
    assert bo.has("notes.txt") == "kept"
    assert len(homes(hub, "bo")) == 1
    bo.stops()


def test_a_shelved_instance_comes_back_with_its_disk_and_its_home(hub: Pieces):
    cy = Scripted(hub, "cy")
    cy.starts(image="shelf")
    cy.keeps("home.txt", "of the home")
    (instance,) = hub.instances("cy")
    cy.stops()
    until(lambda: hub.instances("cy")[0].status == "SHELVED_OFFLOADED", "it is on the shelf", GONE_WITHIN_S)
    assert homes(hub, "cy")[0].status == "available"
    assert not hub.instance_processes(instance.id)

    cy.starts(image="shelf")
    assert [each.id for each in hub.instances("cy")] == [instance.id]
    assert cy.has("home.txt") == "of the home"
    cy.stops()


def test_who_cannot_be_brought_back_gets_a_new_instance_with_the_same_home(hub: Pieces):
    di = Scripted(hub, "di")
    di.starts(image="shelf")
    di.keeps("home.txt", "of the home")
    (shelved,) = hub.instances("di")
    di.stops()
    until(lambda: hub.instances("di")[0].status == "SHELVED_OFFLOADED", "it is on the shelf", GONE_WITHIN_S)
    hub.cloud.compute.delete_server(shelved.id)
    until(lambda: is_gone(hub, "di"), "somebody deleted it in the cloud", GONE_WITHIN_S)

    di.starts(image="shelf")
    assert shelved.id not in [each.id for each in hub.instances("di")]
    assert di.has("home.txt") == "of the home"
    di.stops()


def test_a_cull_keeps_files_and_the_layout_of_jupyterlab(hub: Pieces):
    ed = Scripted(hub, "ed")
    ed.starts(image="idle")
    ed.keeps("work.txt", "until the last minute")
    layout = {"data": {"layout-restorer:data": {"main": {"current": "work.txt"}}}, "metadata": {"id": "default"}}
    assert ed.lab("PUT", "lab/api/workspaces/default", body=layout).ok
    until(lambda: is_gone(hub, "ed"), "the culler took the idle instance", CULLED_WITHIN_S)

    ed.starts(image="idle")
    assert ed.has("work.txt") == "until the last minute"
    assert ed.lab("GET", "lab/api/workspaces/default").json()["data"] == layout["data"]
    ed.stops()


def test_a_hub_that_is_killed_while_a_home_is_let_go_of_loses_nothing(hub: Pieces):
    flo = Scripted(hub, "flo")
    flo.starts(image="home")
    flo.keeps("kept.txt", "through it all")
    flo.stops()
    hub.kill_hub()
    hub.start_hub()
    until(lambda: is_gone(hub, "flo"), "the promise of the stop is kept", GONE_WITHIN_S)

    flo.starts(image="home")
    assert flo.has("kept.txt") == "through it all"
    hub.kill_hub()
    hub.start_hub()
    until(lambda: hub.is_ready("flo"), "the server that ran still runs", GONE_WITHIN_S)
    assert flo.has("kept.txt") == "through it all"
    assert len(homes(hub, "flo")) == 1
    flo.stops()


def test_an_instance_that_somebody_deletes_in_the_cloud_costs_no_file_that_was_written(hub: Pieces):
    gil = Scripted(hub, "gil")
    gil.starts(image="home")
    gil.keeps("kept.txt", "written out")
    gil.stops()
    gil.starts(image="home")
    # Not written out yet when the power goes, perhaps: this one may be lost, and nothing else.
    gil.keeps("fresh.txt", "a moment old")
    hub.cloud.compute.delete_server(hub.instance_id("gil"))
    until(lambda: not hub.server_model("gil"), "the hub noticed", 90)

    gil.starts(image="home")
    assert gil.has("kept.txt") == "written out"
    assert len(homes(hub, "gil")) == 1
    gil.stops()
