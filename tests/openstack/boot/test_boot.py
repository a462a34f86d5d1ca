"""Machines that truly boot: an address by DHCP, user-data by metadata service or drive, JupyterLab in a browser."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.people import Person
from tests.browser.whole import until
from tests.openstack.boot.cloud import BootingCloud
from tests.openstack.boot.hub import HubAtTheRouter
from tests.openstack.boot.neighbours import neighbour
from tests.openstack.rig.seed import NETWORK

# An emulated machine on a busy computer: minutes for what takes a real one seconds.
pytestmark = [pytest.mark.boot, pytest.mark.timeout(5400)]

FLAVORS_DISK_GB = 8
DRIVE = "/run/js2drive"
NOTEBOOK_PORT = 8888
LISTENER_PORT = 7000
ENDED = re.compile(r"\[\d+\]:")


def boots(hub: HubAtTheRouter, who: Person, image: str) -> None:
    """From the choice page to a JupyterLab that has drawn itself."""
    who.chooses(image, "m3.quad")
    hub.await_start(who.name)
    who.sees_lab()


def says(who: Person, command: str) -> list[str]:
    """The lines a command on the instance prints. They may come one by one, so the cell has to have ended."""
    cells = who.page.locator(".jp-Notebook .jp-CodeCell")
    cell = cells.nth(cells.count() - 1)
    # The notebook's own mark says idle before JupyterLab and a slow kernel have spoken, and a key pressed then is lost.
    expect(who.page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
    who.runs(f"!{command}")
    expect(cell.locator(".jp-InputPrompt")).to_have_text(ENDED)
    return cell.locator(".jp-OutputArea-output pre").inner_text().splitlines()


@pytest.fixture(scope="module")
def alice(hub: HubAtTheRouter, person: Callable[[str], Person]) -> Person:
    """With an instance that has booted by the metadata service alone."""
    alice = person("alice")
    boots(hub, alice, "lab")
    return alice


@pytest.fixture(scope="module")
def fixed_address(hub: HubAtTheRouter, alice: Person) -> str:
    (told,) = hub.server("alice")["addresses"][NETWORK]
    return str(told["addr"])


@pytest.fixture(scope="module")
def hubs_groups(hub: HubAtTheRouter, alice: Person) -> Sequence[str]:
    """The security groups of the instances of this hub."""
    (port,) = hub.cloud.network.ports(device_id=hub.instance_id("alice"))
    return list(port.security_group_ids)


def test_a_machine_with_an_address_by_dhcp_and_user_data_by_the_metadata_service_serves_jupyterlab(
    hub: HubAtTheRouter, alice: Person, cloud: BootingCloud, fixed_address: str, tmp_path: Path
):
    assert not hub.server("alice")["config_drive"]
    alice.opens_notebook()
    assert says(alice, "whoami; ps -p 1 -o comm=; cat /sys/class/dmi/id/product_name") == [
        "alice",
        "systemd",
        "OpenStack Nova",
    ]
    routes = says(alice, "ip -4 route")
    assert f"default via {cloud.router} dev eth0 proto dhcp src {fixed_address}" in routes[0]
    assert [route for route in routes if route.startswith("169.254.169.254 via") and "proto dhcp" in route]
    alice.page.screenshot(path=tmp_path / "lab.png")
    (size,) = says(alice, "df --output=size -BG / | tail -1")
    assert float(size.strip().removesuffix("G")) > FLAVORS_DISK_GB - 1
    assert DRIVE not in says(alice, "cut -d' ' -f2 /proc/mounts | sort")


def test_only_the_hub_reaches_a_notebook(cloud: BootingCloud, fixed_address: str, hubs_groups: Sequence[str]):
    member, stranger = cloud.connection(cloud.people.user), cloud.connection(cloud.people.other)
    (strangers_group,) = stranger.network.security_groups(project_id=stranger.current_project_id, name="default")
    with (
        neighbour(cloud.room, member, NETWORK, hubs_groups) as another_users,
        neighbour(cloud.room, stranger, "other-net", [strangers_group.id]) as another_projects,
    ):
        assert not another_users.reaches(fixed_address, NOTEBOOK_PORT)
        assert not another_projects.reaches(fixed_address, NOTEBOOK_PORT)
        # We are in the room, and so at the router's address, as the hub is.
        socket.create_connection((fixed_address, NOTEBOOK_PORT), timeout=60).close()
        # The way itself is open: a rule for this one neighbour, and it gets through.
        rule = member.network.create_security_group_rule(
            security_group_id=hubs_groups[0],
            direction="ingress",
            ethertype="IPv4",
            protocol="tcp",
            port_range_min=NOTEBOOK_PORT,
            port_range_max=NOTEBOOK_PORT,
            remote_ip_prefix=f"{another_users.address}/32",
        )
        until(lambda: another_users.reaches(fixed_address, NOTEBOOK_PORT), "the new rule lets the neighbour in", 60)
        assert not another_projects.reaches(fixed_address, NOTEBOOK_PORT)
        member.network.delete_security_group_rule(rule)
        until(lambda: not another_users.reaches(fixed_address, NOTEBOOK_PORT), "without the rule it is out again", 60)


def test_nobody_speaks_from_anothers_address(cloud: BootingCloud, fixed_address: str, hubs_groups: Sequence[str]):
    member = cloud.connection(cloud.people.user)
    group = member.network.create_security_group(name="open")
    try:
        member.network.create_security_group_rule(security_group_id=group.id, direction="ingress", ethertype="IPv4")
        with (
            neighbour(cloud.room, member, NETWORK, [group.id]) as victim,
            neighbour(cloud.room, member, NETWORK, hubs_groups) as liar,
        ):
            liar.answers_to(fixed_address)
            with victim.hears(LISTENER_PORT, awaited=liar.address) as heard:
                liar.sends(victim.address, LISTENER_PORT, sender=fixed_address)
                liar.sends(victim.address, LISTENER_PORT, sender=liar.address)
            assert heard == [liar.address]
    finally:
        member.network.delete_security_group(group)


def test_a_machine_with_a_config_drive_serves_jupyterlab(
    hub: HubAtTheRouter, alice: Person, person: Callable[[str], Person]
):
    alice.stops()
    until(lambda: not hub.instances("alice"), "alice's instance is gone", 300)
    bob = person("bob")
    boots(hub, bob, "lab-by-drive")
    assert hub.server("bob")["config_drive"]
    bob.opens_notebook()
    assert DRIVE in says(bob, "cut -d' ' -f2 /proc/mounts | sort")
