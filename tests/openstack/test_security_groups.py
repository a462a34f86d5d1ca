"""Who reaches an instance: the rules that the real Neutron holds for its port, tried from every side.

Everybody here has an address of loopback and sends from it; what a rule does not admit is not answered.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from tests.browser import evidence
from tests.browser.people import Person
from tests.browser.whole import until
from tests.openstack.estate import Estate
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

NOTEBOOK = 8888
UP_WITHIN_S = 120

CONNECT = """\
import socket, sys
to, port, source = sys.argv[1], int(sys.argv[2]), sys.argv[3]
try:
    socket.create_connection((to, port), timeout=5, source_address=(source, 0)).close()
    print("reached")
except OSError as error:
    print(type(error).__name__)
"""

# Its parent ends, so the instance's first process takes it over: only what descends from that one is the instance's.
LISTEN = """\
import os, socket, sys, time
if os.fork() == 0:
    os.setsid()
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
    for standard in (0, 1, 2):
        os.close(standard)
    while True:
        listener.accept()[0].close()
"""

GREET = """\
import http.client, json, ssl, sys
asked = json.load(sys.stdin)
trust = ssl.create_default_context(cadata=asked["authority"])
source = asked["source"], 0
hub = http.client.HTTPSConnection(asked["host"], asked["port"], source_address=source, context=trust, timeout=20)
hub.request("POST", "/v1/hello", json.dumps(asked["hello"]), {"Content-Type": "application/json"})
print(hub.getresponse().status)
"""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One instance: its id in Nova and its address."""

    id: str
    address: str


@pytest.fixture(scope="module")
def hub(own_estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    with RealHub(tmp_path_factory.mktemp("groups"), own_estate, "anna,emil", strangers=True) as running:
        yield running


@pytest.fixture(scope="module")
def anna(hub: RealHub) -> Neighbour:
    return of_user(hub, "anna")


@pytest.fixture(scope="module")
def emil(hub: RealHub) -> Neighbour:
    return of_user(hub, "emil")


@pytest.fixture(scope="module")
def stranger(hub: RealHub) -> Neighbour:
    """An instance of another project, with a listener of its own and a group that lets everybody in."""
    other = hub.estate.connection(hub.estate.people.other)
    group = other.network.create_security_group(name="open")
    other.network.create_security_group_rule(security_group_id=group.id, direction="ingress", ethertype="IPv4")
    flavor = other.compute.find_flavor("m3.tiny")
    image = other.image.find_image(hub.estate.name)
    server = other.compute.create_server(
        name="stranger",
        image_id=image.id,
        flavor_id=flavor.id,
        networks=[{"uuid": hub.estate.other.network_id}],
        security_groups=[{"name": group.id}],
    )
    other.compute.wait_for_server(server, wait=UP_WITHIN_S)
    until(lambda: hub.instance_processes(server.id), "the stranger's machine is on", UP_WITHIN_S)
    (port,) = other.network.ports(device_id=server.id)
    return Neighbour(server.id, port.fixed_ips[0]["ip_address"])


def of_user(hub: RealHub, user: str) -> Neighbour:
    assert hub.rest("POST", f"/users/{user}/server").status_code == 202
    until(lambda: hub.is_ready(user), f"{user}'s server is ready", UP_WITHIN_S)
    server_id = hub.instance_id(user)
    (port,) = (port for port in hub.ports() if port.device_id == server_id)
    return Neighbour(server_id, port.fixed_ips[0]["ip_address"])


def enter(hub: RealHub, at: Neighbour) -> list[str]:
    """The command that runs another one inside an instance."""
    init = min(hub.instance_processes(at.id), key=lambda process: process.create_time())
    (first,) = init.children()
    return ["nsenter", "--target", str(first.pid), "--mount", "--pid", "--uts", "--ipc"]


def inside(hub: RealHub, at: Neighbour, program: str, *arguments: str, told: str = "") -> str:
    """What a Python program prints that root runs in an instance."""
    command = [*enter(hub, at), sys.executable, "-I", "-c", program, *arguments]
    return subprocess.run(command, input=told, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@contextmanager
def listening_in(hub: RealHub, at: Neighbour, port: int) -> Iterator[None]:
    """A service on the instance that takes connections."""
    inside(hub, at, LISTEN, at.address, str(port))
    listener = until(lambda: listener_at(at.address, port), "the service listens")
    try:
        yield
    finally:
        listener.kill()


def listener_at(address: str, port: int) -> psutil.Process | None:
    for each in psutil.net_connections("tcp4"):
        if each.status == psutil.CONN_LISTEN and each.laddr == (address, port) and each.pid:
            return psutil.Process(each.pid)
    return None


def reaches(hub: RealHub, source: Neighbour, to: Neighbour, port: int = NOTEBOOK) -> bool:
    said = inside(hub, source, CONNECT, to.address, str(port), source.address)
    assert said in ("reached", "TimeoutError"), said
    return said == "reached"


def greeting(hub: RealHub, of: Neighbour, source: str) -> str:
    """A hello to the hub in the name of an instance, with the ticket out of its user-data."""
    told = yaml.safe_load(evidence.user_data(hub, of.id))["js2"]
    where = urlsplit(told["hub"])
    hello = {
        "attempt": told["attempt"],
        "ticket": told["ticket"],
        "credential": secrets.token_urlsafe(32),
        "instance_id": of.id,
        "boot_id": str(uuid.uuid4()),
        "guest": "0",
    }
    asked = {"host": where.hostname, "port": where.port, "authority": told["ca"], "source": source, "hello": hello}
    return json.dumps(asked)


def test_the_hub_reaches_the_notebooks_and_so_do_their_owners_by_its_proxy(
    hub: RealHub, anna: Neighbour, person: Callable[[str], Person]
):
    socket.create_connection((anna.address, NOTEBOOK), timeout=30, source_address=("127.0.0.1", 0)).close()
    person("anna").goes_to("/user/anna/lab")
    person("anna").sees_lab()


def test_no_other_instance_reaches_a_notebook(hub: RealHub, anna: Neighbour, emil: Neighbour, stranger: Neighbour):
    for source in (emil, stranger):
        assert not reaches(hub, source, anna)


def test_what_a_user_listens_on_is_reached_by_no_other_instance_and_not_by_the_hub(
    hub: RealHub, anna: Neighbour, emil: Neighbour, stranger: Neighbour
):
    with listening_in(hub, anna, 8080):
        until(lambda: reaches(hub, anna, anna, 8080), "the instance reaches itself", 30)
        # A machine's firewall needs a moment for a new listener.
        until(lambda: not reaches(hub, emil, anna, 8080), "the neighbour is kept out", 30)
        assert not reaches(hub, stranger, anna, 8080)
        with pytest.raises(TimeoutError):
            socket.create_connection((anna.address, 8080), timeout=5, source_address=("127.0.0.1", 0))


def test_an_instance_is_reached_where_its_groups_allow_it(hub: RealHub, emil: Neighbour, stranger: Neighbour):
    """The proof that what is not answered elsewhere is refused by the rules and not by the way there."""
    with listening_in(hub, stranger, 8080):
        until(lambda: reaches(hub, emil, stranger, 8080), "the open group lets the neighbour in", 30)


def test_a_rule_that_is_added_in_neutron_opens_the_notebook_and_one_that_is_deleted_closes_it(
    hub: RealHub, anna: Neighbour, emil: Neighbour
):
    network = hub.cloud.network
    (port,) = (port for port in hub.ports() if port.device_id == anna.id)
    rule = network.create_security_group_rule(
        security_group_id=port.security_group_ids[0],
        direction="ingress",
        ethertype="IPv4",
        protocol="tcp",
        port_range_min=NOTEBOOK,
        port_range_max=NOTEBOOK,
        remote_ip_prefix=f"{emil.address}/32",
    )
    try:
        until(lambda: reaches(hub, emil, anna), "the neighbour is let in", 60)
    finally:
        network.delete_security_group_rule(rule)
    until(lambda: not reaches(hub, emil, anna), "the neighbour is kept out again", 60)


def test_a_stolen_ticket_is_worth_nothing_at_another_address(
    hub: RealHub, anna: Neighbour, emil: Neighbour, stranger: Neighbour
):
    for thief in (emil, stranger):
        assert inside(hub, thief, GREET, told=greeting(hub, anna, thief.address)) == "403"
    assert hub.is_ready("anna")
    # From the instance itself, where every process can read it: it was used, and that harms nobody.
    assert inside(hub, anna, GREET, told=greeting(hub, anna, anna.address)) == "409"
    assert hub.is_ready("anna")
    assert hub.instance_id("anna") == anna.id
