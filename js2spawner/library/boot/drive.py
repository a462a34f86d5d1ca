"""A config drive as Nova makes one of a server's user-data (Nova, "Config drives")."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

DEADLINE_S = 60.0


def config_drive(folder: Path, server_id: str, mac: str, user_data: str) -> Path:
    """The drive, a file in `folder`; `mac` is that of the one interface, which is to ask for an address.

    Raises OSError, subprocess.SubprocessError.
    """
    latest = folder / "drive" / "openstack" / "latest"
    latest.mkdir(parents=True)
    told = {"uuid": server_id, "name": "test", "hostname": "test", "availability_zone": "nova", "launch_index": 0}
    (latest / "meta_data.json").write_text(json.dumps(told))
    (latest / "network_data.json").write_text(json.dumps(_network(mac)))
    (latest / "user_data").write_text(user_data)
    drive = folder / "drive.iso"
    options = ("-quiet", "-volid", "config-2", "-joliet", "-rational-rock")
    subprocess.run(
        ["genisoimage", "-output", drive, *options, folder / "drive"],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    return drive


def _network(mac: str) -> Mapping[str, object]:
    """Nova's network_data.json: the guest program asks nobody for it, cloud-init sets up interfaces by it."""
    link = {"id": "tap1", "vif_id": "1", "type": "ovs", "mtu": 1500, "ethernet_mac_address": mac}
    network = {"id": "network0", "type": "ipv4_dhcp", "link": "tap1", "network_id": "1"}
    return {"links": [link], "networks": [network], "services": []}
