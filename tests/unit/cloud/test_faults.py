from __future__ import annotations

from dataclasses import replace

import pytest

from js2spawner.cloud import errors
from js2spawner.cloud.compute import server_from_json
from js2spawner.cloud.faults import fault_of
from js2spawner.cloud.records import Fault, Server

from .stand_in import recorded


def dead(message: str | None, **changes: object) -> Server:
    server = server_from_json(recorded("server-failed")["server"])
    return replace(server, fault=None if message is None else Fault(500, message), **changes)


def test_a_server_that_lives_has_no_fault() -> None:
    assert fault_of(server_from_json(recorded("server-2.61")["server"])) is None


def test_the_recorded_server_without_a_host_is_a_lack_of_capacity() -> None:
    fault = fault_of(server_from_json(recorded("server-failed")["server"]))
    assert isinstance(fault, errors.NoCapacity)
    assert fault.detail == "No valid host was found."


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("No valid host was found. There are not enough hosts available.", errors.NoCapacity),
        ("Exceeded maximum number of retries. Exhausted all hosts available for retrying", errors.NoCapacity),
        ("Build of instance x aborted: Insufficient compute resources: vGPU is not available.", errors.NoCapacity),
        ("Host 'c-12' could not claim the device", errors.NoCapacity),
        (None, errors.NoCapacity),
        ("Build of instance x aborted: Image 3f is unacceptable: its disk is too large", errors.BadImage),
        ("Maximum number of ports exceeded", errors.QuotaExceeded),
        ("Build of instance x aborted: Failed to allocate the network(s), not rescheduling.", errors.ServerFault),
    ],
)
def test_a_fault_gets_its_name(message: str | None, kind: type[errors.CloudError]) -> None:
    assert type(fault_of(dead(message))) is kind


def test_a_server_that_ran_somewhere_and_died_without_a_word_is_no_lack_of_capacity() -> None:
    assert type(fault_of(dead(None, host_id="0e1ae3", addresses=("10.0.0.9",)))) is errors.ServerFault
