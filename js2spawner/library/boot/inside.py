"""What only root on the machine itself can see: `python3 -I - baked [ROOT]` or `… running DISK_GB`.

`baked` looks through a disk as it was built, below ROOT, or else the one that was plugged in for it; `running` at the
machine that was booted from it. The answer is one line of JSON: `findings`, sentences that each say what must not be
so, and `facts`. Runs inside images, so it is standard library only, and needs no more than Python 3.9.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

FINDINGS_AT_MOST = 40
SETTLES_WITHIN_S = 180.0
TOOL_S = 60.0

# Programs that Debian and Ubuntu install set-user-id root for a reason of their own.
# fmt: off
SETUID = frozenset((
    "chfn", "chsh", "dbus-daemon-launch-helper", "fusermount", "fusermount3", "gpasswd", "mount", "mount.cifs",
    "mount.nfs", "newgrp", "newgidmap", "newuidmap", "ntfs-3g", "passwd", "pkexec", "polkit-agent-helper-1", "pppd",
    "snap-confine", "ssh-keysign", "su", "sudo", "sudoedit", "umount", "unix_chkpwd",
))
HISTORIES = (
    ".bash_history", ".zsh_history", ".python_history", ".lesshst", ".viminfo", ".node_repl_history", ".wget-hsts",
    ".Rhistory", ".sqlite_history", ".ipython/profile_default/history.sqlite", ".mysql_history", ".psql_history",
)
SECRETS = (
    ".netrc", ".pypirc", ".git-credentials", ".npmrc", ".aws/credentials", ".docker/config.json", "clouds.yaml",
    ".config/openstack/clouds.yaml", "openrc.sh", ".kube/config", ".config/rclone/rclone.conf", ".ssh/authorized_keys",
)
# fmt: on
# Settings in which a password for a proxy or a registry may stand, as part of an address.
SETTINGS = (
    "etc/apt",
    "etc/pip.conf",
    "etc/environment",
    "etc/profile.d",
    "etc/wgetrc",
    "root/.config/pip",
    "root/.pip",
)
PASSWORD_IN_ADDRESS = re.compile(rb"[a-z]{3,6}://[^\s/@:'\"]{1,200}:[^\s/@'\"]{1,200}@")
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}")
KEYS_BELOW = ("etc", "root", "home", "var/lib", "usr/local", "srv")
LARGEST_KEY_BYTES = 64 * 1024


def baked(root: Path) -> list[str]:
    """Sentences about what is on the disk as it was built and must not be."""
    found: list[str] = []
    found += machine_id(root)
    found += (f"{show(file, root)} is a host key" for file in sorted(root.glob("etc/ssh/ssh_host_*key*")))
    for home in [root / "root", *sorted(root.glob("home/*"))]:
        found += (f"{show(home / name, root)} is a history" for name in HISTORIES if has_content(home / name))
        found += (f"{show(home / name, root)} may hold a secret" for name in SECRETS if has_content(home / name))
        found += (
            f"{show(file, root)} is a private key" for file in sorted(home.glob(".ssh/id_*")) if file.suffix != ".pub"
        )
        found += (f"{show(folder, root)} is a cache" for folder in [home / ".cache"] if any_file(folder))
    found += passwords(root)
    found += (f"{show(file, root)} is a log" for file in files(root / "var/log") if file.stat().st_size)
    found += left_behind(root)
    found += in_files(root, SETTINGS, PASSWORD_IN_ADDRESS, "has a password in an address")
    found += in_files(root, KEYS_BELOW, PRIVATE_KEY, "holds a private key")
    found += setuid(root)
    return found


def machine_id(root: Path) -> Iterator[str]:
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        file = root / name
        if file.is_file() and not file.is_symlink() and file.read_text().strip() not in ("", "uninitialized"):
            yield f"/{name} is already made, and would be every machine's"


def passwords(root: Path) -> Iterator[str]:
    """Debian's `!` and `*` let nobody in; an empty field lets everybody."""
    for number, line in enumerate(lines(root / "etc/shadow"), start=1):
        field = line.split(":")[1] if line.count(":") > 1 else "*"
        if not field.startswith(("!", "*")):
            yield f"/etc/shadow, line {number} has a password"
        elif len(field) > 2:
            yield f"/etc/shadow, line {number} keeps the hash of a password"


def left_behind(root: Path) -> Iterator[str]:
    """What installing leaves, and what makes one machine differ from another."""
    kinds = (
        ("var/cache/apt", "is a package or a list of apt's"),
        ("var/lib/apt/lists", "is a package or a list of apt's"),
        ("var/lib/cloud", "is cloud-init's memory of a machine"),
        ("var/lib/js2", "is the guest program's memory of a machine"),
        ("var/lib/systemd/random-seed", "is a seed of random numbers, and would be every machine's"),
        ("var/lib/systemd/credential.secret", "is a key, and would be every machine's"),
        ("var/lib/dhcp", "is a lease of another network"),
        ("tmp", "was left behind"),
        ("var/tmp", "was left behind"),
        ("var/crash", "was left behind"),
    )
    for place, what in kinds:
        found = [file for file in files(root / place) if file.stat().st_size]
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            yield f"{show(found[0], root)} {what}{more}"


def in_files(root: Path, places: Iterable[str], pattern: re.Pattern[bytes], what: str) -> Iterator[str]:
    for place in places:
        for file in files(root / place):
            if file.stat().st_size <= LARGEST_KEY_BYTES and pattern.search(file.read_bytes()):
                yield f"{show(file, root)} {what}"


def setuid(root: Path) -> Iterator[str]:
    for entry in entries(root):
        seen = entry.stat(follow_symlinks=False)
        if seen.st_mode & stat.S_ISUID and seen.st_uid == 0 and entry.name not in SETUID:
            yield f"{show(Path(entry.path), root)} runs as root whoever starts it"


def files(place: Path) -> Iterator[Path]:
    """Regular files at or below a place, never through a link."""
    if place.is_symlink():
        return
    if place.is_file():
        yield place
    elif place.is_dir():
        yield from (Path(entry.path) for entry in entries(place))


def entries(place: Path) -> Iterator[os.DirEntry[str]]:
    """The same below a folder, for a whole disk: one system call or none for each."""
    folders = [os.fspath(place)]
    while folders:
        with os.scandir(folders.pop()) as found:
            for entry in sorted(found, key=lambda each: each.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry


def any_file(place: Path) -> bool:
    return next(files(place), None) is not None


def has_content(file: Path) -> bool:
    return not file.is_symlink() and file.is_file() and file.stat().st_size > 0


def lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines() if file.is_file() else []


def show(file: Path, root: Path) -> str:
    return f"/{file.relative_to(root)}"


def running(disk_gb: float) -> tuple[list[str], dict[str, Any]]:
    """Sentences about the booted machine, and the times of its boot in seconds since the kernel's start."""
    state = settled()
    found = [f"unit {unit} failed" for unit in failed_units()]
    if state == "starting":
        found.append(f"the system was still starting after {SETTLES_WITHIN_S:.0f} s")
    size_gb = shutil.disk_usage("/").total / 1024**3
    # A file system's own tables take some of the disk.
    if size_gb < disk_gb * 0.93:
        found.append(f"the disk has {disk_gb:.0f} GiB and the file system {size_gb:.1f}: it did not grow")
    if len(Path("/etc/machine-id").read_text().strip()) != 32:
        found.append("/etc/machine-id was not made at boot")
    return found, {"times": times(), "blame": told_by("blame"), "chain": told_by("critical-chain", "js2-guest.service")}


def settled() -> str:
    until = time.monotonic() + SETTLES_WITHIN_S
    while (state := ask("systemctl", "is-system-running")) in ("starting", "initializing") and time.monotonic() < until:
        time.sleep(1.0)
    return "starting" if state in ("starting", "initializing") else state


def failed_units() -> list[str]:
    return [
        line.split()[0] for line in ask("systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines()
    ]


def times() -> dict[str, float]:
    """By name; one that cannot be had is left out."""
    found = {}
    for name, unit, what in (
        ("userspace", "", "UserspaceTimestampMonotonic"),
        ("up", "", "FinishTimestampMonotonic"),
        ("agent", "js2-guest.service", "ExecMainStartTimestampMonotonic"),
        ("networkd", "systemd-networkd.service", "ExecMainStartTimestampMonotonic"),
    ):
        told = ask("systemctl", "show", "--value", f"--property={what}", *([unit] if unit else []))
        if told.isdigit() and int(told):
            found[name] = int(told) / 1e6
    address = first_address()
    if address is not None:
        found["network"] = address
    return found


def first_address() -> float | None:
    """When the network had given an address, by the journal of whoever asked for it."""
    units = ("systemd-networkd.service", "networking.service", "NetworkManager.service")
    asked = [f"--unit={unit}" for unit in units]
    told = ask("journalctl", "--boot", "--output=json", "--output-fields=MESSAGE", "--no-pager", *asked)
    for line in told.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if re.search(r"DHCPv4 address|bound to|DHCPACK", str(entry.get("MESSAGE"))):
            return int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
    return None


def told_by(*words: str) -> list[str]:
    """The first lines of what systemd-analyze says of the boot."""
    told = ask("systemd-analyze", "--no-pager", *words)
    return [" ".join(line.split()) for line in told.splitlines()[:16]]


def ask(*command: str) -> str:
    """What a command printed; empty when it cannot be had."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=TOOL_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip()


def mounted_pristine() -> Path | None:
    """Where the disk as it was built is mounted, read-only. Its partitions come a moment after it was plugged in."""
    there = Path("/run/js2-pristine")
    there.mkdir(mode=0o700, exist_ok=True)
    until = time.monotonic() + SETTLES_WITHIN_S
    while time.monotonic() < until:
        for disk in sorted(Path("/sys/block").glob("sd*")):
            serial = (disk / "device" / "vpd_pg80").read_bytes()[4:] if (disk / "device" / "vpd_pg80").exists() else b""
            parts = sorted(disk.glob("sd*")) if serial.strip(b"\0 ") == b"js2-pristine" else []
            for part in parts:
                # No journal is replayed: nothing is written, and the disk would refuse it.
                for options in ("ro,noload", "ro,nouuid,norecovery", "ro"):
                    ask("mount", "-o", options, f"/dev/{part.name}", str(there))
                    if (there / "etc" / "os-release").exists():
                        return there
                    ask("umount", str(there))
        time.sleep(0.5)
    return None


def main(words: Sequence[str]) -> None:
    """Answer on standard output."""
    facts: dict[str, Any] = {}
    if words[:1] == ["running"]:
        found, facts = running(float(words[1]))
    elif len(words) == 2:
        found = list(baked(Path(words[1])))
    else:
        there = mounted_pristine()
        if there is None:
            found = ["the disk as it was built could not be looked at"]
        else:
            try:
                found = list(baked(there))
            finally:
                ask("umount", str(there))
    more = len(found) - FINDINGS_AT_MOST
    found = [*found[:FINDINGS_AT_MOST], *([f"and {more} more of the kind"] if more > 0 else [])]
    sys.stdout.write(json.dumps({"findings": found, "facts": facts}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
