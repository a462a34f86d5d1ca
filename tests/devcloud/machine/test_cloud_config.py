"""A machine's own hostname: its user-data's, as with cloud-init, else Nova's."""

from __future__ import annotations

from typing import Any

import pytest

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine.cloud_config import own_hostname


def spec(user_data: bytes) -> MachineSpec:
    nothing: dict[str, Any] = {"metadata": {}, "key": None, "config_drive": False, "volumes": (), "gpu": None}
    return MachineSpec(
        server_id="1",
        name="js2-bob-lab",
        address="127.1.2.3",
        mac="fa:16:3e:00:00:01",
        project_id="p",
        image_id="i",
        flavor_name="m3.tiny",
        vcpus=1,
        ram_mb=1,
        user_data=user_data,
        boot_seconds=0,
        guest_dead=False,
        **nothing,
    )


def test_user_data_names_the_machine() -> None:
    assert own_hostname(spec(b'#cloud-config\n{"hostname": "js2-a1", "js2": {}}\n')) == "js2-a1"


@pytest.mark.parametrize(
    "user_data",
    [
        b"",
        b"#!/bin/sh\nhostname: x\n",
        b"#cloud-config\n{",
        b"#cloud-config\n[1]\n",
        b"#cloud-config\nhostname: 7\n",
        b'#cloud-config\n{"hostname": "two words\\n"}\n',
        b"#cloud-config\n\xff\n",
    ],
)
def test_whatever_else_it_holds_the_machine_boots_with_novas_name(user_data: bytes) -> None:
    assert own_hostname(spec(user_data)) == "js2-bob-lab"
