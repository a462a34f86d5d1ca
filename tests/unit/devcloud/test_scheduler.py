"""Where an instance goes, and when nowhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from js2spawner.devcloud.records import Flavor, Server
from js2spawner.devcloud.scheduler import HOSTS, NoValidHost, all_hosts, place

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GPU = Flavor("1", "g3.large", 16, 61440, 60, 32, capacity=3, hosts=("gpu1", "gpu2"))
PLAIN = Flavor("2", "m3.tiny", 1, 3072, 20, 1)


def at(host: str | None, flavor: Flavor = GPU) -> Server:
    return Server("s", 1, "p", "u", "n", "h", flavor, "i", NOW, NOW, "r", host=host)


def placed(flavor: Flavor, number: int, **capacity: int | None) -> list[Server]:
    servers: list[Server] = []
    for _ in range(number):
        servers.append(at(place(flavor, servers, capacity), flavor))
    return servers


def test_what_fits_is_spread_over_the_hosts_that_have_it_and_runs_out():
    servers = placed(GPU, 3)
    assert Counter(server.host for server in servers) == {"gpu1": 2, "gpu2": 1}
    with pytest.raises(NoValidHost, match=r"^No valid host was found\. $"):
        place(GPU, servers, {})


def test_who_left_makes_room_on_the_host_it_was_on():
    servers = placed(GPU, 3)
    gone = [replace(servers[0], host=None), *servers[1:]]
    assert place(GPU, gone, {}) == servers[0].host


def test_less_room_than_hosts_is_the_first_ones():
    assert [server.host for server in placed(GPU, 1, **{"g3.large": 1})] == ["gpu1"]
    with pytest.raises(NoValidHost):
        placed(GPU, 1, **{"g3.large": 0})


def test_what_any_number_fits_of_goes_to_the_emptiest_host():
    assert Counter(server.host for server in placed(PLAIN, 10)) == dict.fromkeys(HOSTS, 5)
    assert all_hosts([GPU, PLAIN]) == (*HOSTS, "gpu1", "gpu2")
