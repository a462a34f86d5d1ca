from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from js2spawner.devcloud.addresses import RangeError, free_address, gateway, parse_range, range_beside, range_for


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_every_directory_has_a_range_within_loopback_that_is_not_the_machines_own(name: str) -> None:
    network = range_for(Path("/clouds") / name)
    assert network.prefixlen == 22
    assert network.subnet_of(IPv4Network("127.0.0.0/8"))
    assert not network.overlaps(IPv4Network("127.0.0.0/12"))


def test_the_same_directory_has_the_same_range() -> None:
    assert range_for(Path("/clouds/a")) == range_for(Path("/clouds/a"))


def test_all_addresses_but_three_are_given_and_then_none() -> None:
    network, taken = IPv4Network("127.77.0.0/28"), set[str]()
    while address := free_address(network, taken, Random(1)):
        taken.add(address)
    everything = {str(each) for each in network}
    assert everything - taken == {"127.77.0.0", str(gateway(network)), "127.77.0.15"}


@pytest.mark.parametrize("text", ["10.0.0.0/24", "127.0.1.0/24", "127.77.0.0/30", "127.77.0.1/24", "nonsense"])
def test_a_range_that_cannot_work_is_refused_by_name(text: str) -> None:
    with pytest.raises(RangeError, match=rf"^--cidr {text}: "):
        parse_range(text)


@given(st.lists(st.text(min_size=1, max_size=5).filter(lambda text: "\0" not in text), min_size=1, max_size=20))
def test_the_ranges_of_several_regions_never_overlap(names: list[str]) -> None:
    taken: list[IPv4Network] = []
    for name in names:
        taken.append(range_beside(taken, range_for(Path("/clouds") / name)))
    assert all(not one.overlaps(other) for number, one in enumerate(taken) for other in taken[:number])
    assert all(network.subnet_of(IPv4Network("127.0.0.0/8")) for network in taken)


def test_a_range_with_no_room_beside_others_is_refused() -> None:
    with pytest.raises(RangeError, match="no room"):
        range_beside([IPv4Network("127.0.0.0/8")], IPv4Network("127.77.0.0/24"))
