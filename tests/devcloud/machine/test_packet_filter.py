"""Rules as a packet filter, tried on a socket of our own: the kernel is the judge."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from js2spawner.devcloud.hypervisor import Ingress
from js2spawner.devcloud.machine.firewall import attach, listeners
from js2spawner.devcloud.machine.packet_filter import admitted_sources, program

ADDRESS = "127.198.0.1"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server((ADDRESS, 0)) as server:
        yield server


def gets_in(server: socket.socket, source: str) -> bool:
    try:
        socket.create_connection(server.getsockname()[:2], timeout=0.5, source_address=(source, 0)).close()
    except TimeoutError:
        return False
    return True


def test_only_the_named_sources_and_the_address_itself_get_in(listening: socket.socket):
    sources = [IPv4Network("127.3.0.0/16"), IPv4Network("127.0.0.1/32")]
    attach(os.getpid(), listening.fileno(), program(IPv4Address(ADDRESS), sources))
    assert [gets_in(listening, source) for source in ("127.0.0.1", "127.3.200.1", ADDRESS)] == [True, True, True]
    assert [gets_in(listening, source) for source in ("127.0.0.2", "127.4.0.1")] == [False, False]


def test_no_source_named_is_nobody_let_in(listening: socket.socket):
    attach(os.getpid(), listening.fileno(), program(IPv4Address(ADDRESS), []))
    assert not gets_in(listening, "127.0.0.1")


def test_every_source_named_is_everybody_let_in(listening: socket.socket):
    attach(os.getpid(), listening.fileno(), program(IPv4Address(ADDRESS), [IPv4Network("0.0.0.0/0")]))
    assert gets_in(listening, "127.99.0.1")


def test_a_hundred_rules_are_not_too_many(listening: socket.socket):
    sources = [IPv4Network(f"10.0.{number}.0/24") for number in range(100)] + [IPv4Network("127.3.0.0/16")]
    attach(os.getpid(), listening.fileno(), program(IPv4Address(ADDRESS), sources))
    assert gets_in(listening, "127.3.0.1")
    assert not gets_in(listening, "127.0.0.1")


def test_a_dual_stack_listener_is_filtered_like_any_other():
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        attach(os.getpid(), server.fileno(), program(IPv4Address(ADDRESS), [IPv4Network("127.0.0.1/32")]))
        port = server.getsockname()[1]
        socket.create_connection((ADDRESS, port), timeout=5, source_address=("127.0.0.1", 0)).close()
        socket.create_connection(("::1", port), timeout=5).close()
        with pytest.raises(TimeoutError):
            socket.create_connection((ADDRESS, port), timeout=0.5, source_address=("127.0.0.2", 0))


def test_the_kernels_tables_tell_who_listens_where(listening: socket.socket):
    inode = os.fstat(listening.fileno()).st_ino
    (found,) = [each for each in listeners() if each.inode == inode]
    assert (found.address, found.port) == (IPv4Address(ADDRESS), listening.getsockname()[1])


@pytest.mark.parametrize(
    ("rule", "admits"),
    [
        (Ingress("tcp", 8888, 8888, "10.0.0.0/8"), True),
        (Ingress("tcp", 8000, 9000, "10.0.0.0/8"), True),
        (Ingress("tcp", None, None, "10.0.0.0/8"), True),
        (Ingress(None, None, None, "10.0.0.0/8"), True),
        (Ingress("tcp", 22, 22, "10.0.0.0/8"), False),
        (Ingress("udp", 8888, 8888, "10.0.0.0/8"), False),
        (Ingress("tcp", 8888, 8888, "::/0"), False),
    ],
)
def test_a_rule_admits_by_protocol_port_and_kind_of_address(rule: Ingress, admits: bool):
    assert admitted_sources([rule], 8888) == ([IPv4Network("10.0.0.0/8")] if admits else [])
