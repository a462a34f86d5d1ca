"""Guests that truly boot: libvirt for Nova, and Neutron's own DHCP and metadata agents. In a room (boot/room.py) only.

Libvirt reads its settings from /etc/libvirt and bridges are the machine's, so both have to be the room's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.openstack.place import ROOT
from tests.openstack.rig import services
from tests.openstack.rig.layout import Layout
from tests.openstack.rig.processes import Processes, RigError
from tools.install import CannotInstall, apt_install

INSIDE = Path(__file__).parent / "inside"
# Where Debian keeps modules for its own Python; libvirt's is made for exactly that one.
DEBIANS_MODULES = Path("/usr/lib/python3/dist-packages")
LIBVIRT_SOCKET = Path("/run/libvirt/libvirt-sock")
# No other account, no confinement, no control groups: the room is there for that, and has none of them.
QEMU_SETTINGS = """
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"""
# With the numbers that Debian keeps for it.
LIBVIRTS_ACCOUNT = {
    "passwd": "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin",
    "group": "libvirt-qemu:x:64055:",
}
_PROGRAMS = {
    "libvirtd": "libvirt-daemon",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "genisoimage": "genisoimage",
    "dnsmasq": "dnsmasq-base",
    "haproxy": "haproxy",
    "nft": "nftables",
    "iptables": "iptables",
    "ip": "iproute2",
}
_LIBRARIES = ("libvirt-daemon-driver-qemu", "python3-libvirt")
UP_WITHIN_S = 120


def install() -> None:
    """What Debian has to give. Raises RigError where it cannot."""
    missing = [package for program, package in _PROGRAMS.items() if not shutil.which(program)]
    missing += [] if (DEBIANS_MODULES / "libvirt.py").exists() else _LIBRARIES
    if not missing:
        return
    try:
        apt_install(missing, otherwise=f"Guests that boot need Debian's {' '.join(missing)}, and root to install them.")
    except CannotInstall as problem:
        raise RigError(str(problem)) from None


def check_room() -> None:
    """Raises RigError where this would change the machine itself."""
    if not os.path.ismount("/etc/libvirt"):
        raise RigError("Guests that boot need a room of their own: `make test-boot` makes one.")


def start_hypervisor(layout: Layout, processes: Processes) -> None:
    """Before Nova's compute service, which looks for it at its start."""
    _know_libvirts_account(layout)
    Path("/etc/libvirt/qemu.conf").write_text(QEMU_SETTINGS)
    processes.start("libvirtd", ["libvirtd", "-f", layout.setting("libvirtd.conf")], dict(os.environ))
    processes.ready("libvirtd", LIBVIRT_SOCKET.exists, UP_WITHIN_S)


def _know_libvirts_account(layout: Layout) -> None:
    """Debian's libvirt looks for it at its start, whoever guests run as. The room alone gets to know it."""
    for name, entry in LIBVIRTS_ACCOUNT.items():
        known = Path("/etc", name).read_text()
        if f"{entry.partition(':')[0]}:" not in known:
            own = layout.run / name
            own.write_text(f"{known}{entry}\n")
            subprocess.run(["mount", "--bind", own, f"/etc/{name}"], check=True)


def show_libvirt_to_services(layout: Layout) -> None:
    """Put Debian's binding, and our driver for Neutron's agent, where the services' Python looks. Raises RigError."""
    suffix = f".cpython-{sys.version_info.major}{sys.version_info.minor}-{sysconfig.get_config_var('MULTIARCH')}.so"
    modules = layout.run / "python"
    modules.mkdir(parents=True)
    for name in ("libvirt.py", f"libvirtmod{suffix}"):
        if not (DEBIANS_MODULES / name).exists():
            raise RigError(f"Debian's python3-libvirt has no {name}: the rig needs the Python that Debian has.")
        (modules / name).symlink_to(DEBIANS_MODULES / name)
    os.environ["PYTHONPATH"] = f"{modules}:{INSIDE}"


def start_network(layout: Layout, processes: Processes) -> None:
    """Once there is a clouds.yaml: what answers the agents, the agents, and what joins their taps and the guests'."""
    environment = services.environment(layout)
    neutron = [f"--config-file={layout.setting(name)}" for name in ("neutron.conf", "ml2_conf.ini")]
    for name, own in {
        "neutron-rpc-server": [],
        "neutron-dhcp-agent": [f"--config-file={layout.setting('dhcp_agent.ini')}"],
        "neutron-metadata-agent": [f"--config-file={layout.setting('metadata_agent.ini')}"],
    }.items():
        log = f"--log-file={layout.logs}/{name}.log"
        processes.start(name, [layout.program(name), *neutron, *own, log], environment)
    switch = [sys.executable, "-m", "tests.openstack.boot.switch", "--cloud", "openstack-admin"]
    ours = {**environment, "PYTHONPATH": str(ROOT), "OS_CLIENT_CONFIG_FILE": str(layout.clouds_yaml)}
    processes.start("switch", switch, ours)
