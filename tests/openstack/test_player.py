"""What the player makes of the services' answers. Needs no services."""

from __future__ import annotations

from typing import Any

import pytest

from js2spawner.devcloud.hypervisor import Ingress
from tests.openstack.player import admitted, spec_of, wants_power

EVERYBODY = Ingress(None, None, None, "0.0.0.0/0")


def server(status: str = "ACTIVE", task: str | None = None, **other: Any) -> dict[str, Any]:
    return {
        "id": "server-1",
        "name": "one",
        "status": status,
        "OS-EXT-STS:task_state": task,
        "addresses": {"net": [{"addr": "127.80.0.5"}]},
        "OS-EXT-SRV-ATTR:user_data": "aGVsbG8=",
        "image": {"id": "image-1"},
        "flavor": {"original_name": "m3.tiny", "vcpus": 1, "ram": 1024, "extra_specs": {}},
        "tenant_id": "project-1",
        "metadata": {},
        "config_drive": "True",
        "os-extended-volumes:volumes_attached": [],
        **other,
    }


def port(address: str = "127.80.0.5", groups: tuple[str, ...] = ("own",), *, security: bool = True) -> dict[str, Any]:
    return {
        "mac_address": "fa:16:3e:00:00:01",
        "fixed_ips": [{"ip_address": address}],
        "security_groups": list(groups),
        "port_security_enabled": security,
    }


def rule(prefix: str | None = None, remote: str | None = None, group: str = "own", **other: Any) -> dict[str, Any]:
    return {
        "security_group_id": group,
        "ethertype": "IPv4",
        "protocol": "tcp",
        "port_range_min": 8888,
        "port_range_max": 8888,
        "remote_ip_prefix": prefix,
        "remote_group_id": remote,
        **other,
    }


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (server(), True),
        (server("SHUTOFF"), False),
        (server("SHELVED_OFFLOADED"), False),
        (server(task="powering-off"), None),
        (server("BUILD", "spawning"), None),
        (server("ERROR"), None),
        # What was deleted while it was built is ACTIVE for a second, without an address.
        (server(addresses={}), None),
    ],
)
def test_a_machine_is_on_when_nova_says_so_and_is_not_about_to_change_it(seen: dict[str, Any], wanted: bool | None):
    assert wants_power(seen) is wanted


def test_nothing_gets_in_without_a_rule():
    assert admitted(port(), [], [port()]) == ()
    assert admitted(port(), [rule("10.0.0.0/8", group="another")], [port()]) == ()
    assert admitted(port(), [rule("::/0", ethertype="IPv6")], [port()]) == ()


def test_a_rule_for_a_group_lets_its_members_in_and_nobody_while_it_has_none():
    toward_members = [rule(remote="friends")]
    assert admitted(port(), toward_members, [port()]) == ()
    friend = port("127.80.0.9", ("friends",))
    assert admitted(port(), toward_members, [port(), friend]) == (Ingress("tcp", 8888, 8888, "127.80.0.9/32"),)


def test_a_rule_without_a_source_is_for_everybody_and_a_port_without_security_is_open():
    assert admitted(port(), [rule()], [port()]) == (Ingress("tcp", 8888, 8888, "0.0.0.0/0"),)
    assert admitted(port(security=False), [], [port()]) == (EVERYBODY,)


def test_an_instance_without_user_data_is_a_machine_whose_guest_says_nothing():
    assert spec_of(server(), port(), 2.0).user_data == b"hello"
    silent = spec_of(server(**{"OS-EXT-SRV-ATTR:user_data": None}), port(), 2.0)
    assert (silent.guest_dead, silent.user_data) == (True, b"")


def test_a_machine_has_a_disk_for_each_volume_that_nova_lists():
    attached = {"os-extended-volumes:volumes_attached": [{"id": "volume-1", "delete_on_termination": False}]}
    assert spec_of(server(**attached), port(), 2.0).volumes == ("volume-1",)


def test_a_machine_has_a_gpu_where_its_flavor_asks_for_a_resource_class_of_its_own():
    assert spec_of(server(), port(), 2.0).gpu is None
    scarce = {"original_name": "g3", "vcpus": 1, "ram": 1024, "extra_specs": {"resources:CUSTOM_A100_SLICE": "1"}}
    assert spec_of(server(flavor=scarce), port(), 2.0).gpu
