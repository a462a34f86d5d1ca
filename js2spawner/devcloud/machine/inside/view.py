"""The files a machine sees: a root of its own, made of the host's programs (read-only) and the machine's own directory.

The root is built from nothing, so whatever is not named here does not exist inside: the host's homes, its `/etc`, the
embedded cloud's state, other machines. Every mount is made in the machine's own mount namespace and ends with it.

What stays shared is the network (the machine is one address of the host's loopback) and the kernel.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from . import disks
from .linux import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    become_root_directory,
    mount,
    set_mount_attributes,
)
from .plan import Plan

# Programs and libraries; links such as /bin -> usr/bin are made again as links.
PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")

# What of the host's /etc makes its programs work and holds no secret. Accounts are the machine's own.
CONFIGURATION = (  # noqa: SIM905, forty quoted names are no easier to read
    "adduser.conf alternatives bash.bashrc bash_completion.d ca-certificates debian_version default environment fonts "
    "gai.conf host.conf inputrc ld.so.cache ld.so.conf ld.so.conf.d libaudit.conf locale.alias localtime login.defs "
    "magic magic.mime mime.types networks nsswitch.conf os-release pam.conf pam.d profile protocols "
    "resolv.conf security services shells skel ssl/certs ssl/openssl.cnf sudo.conf terminfo timezone vim xdg"
).split()

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
DEVICE_LINKS |= {"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}

# root inside is root of the host with fewer capabilities, and most of these need none to be written.
PROC_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs")
PROC_MASKED = ("kcore", "keys", "timer_list", "latency_stats", "sched_debug", "scsi", "acpi")

_EPHEMERAL = MS_NOSUID | MS_NODEV


def make_view(plan: Plan) -> None:
    """Leave the host's files for the machine's, as process 1 of new mount and PID namespaces.

    Raises OSError when the kernel refuses; nothing is left to undo, for the namespace ends with the process.
    """
    # Our mounts must not travel to the host's namespace.
    mount("", Path("/"), "", MS_REC | MS_PRIVATE)
    machine = Path(plan.directory)
    root = machine / "view"
    mount("machine", root, "tmpfs", _EPHEMERAL, "mode=755,size=1m")
    _show_programs(root)
    _show_own_files(root, machine)
    for tree in plan.trees:
        _show(Path(tree).resolve(), root, tree, read_only=True)
    _replace_programs(root, Path(plan.stand_ins))
    for volume_id, host in plan.folders:
        _show(Path(host), root, str(disks.FOLDERS / volume_id))
    for share_id, host, read_only in plan.exports:
        _show(Path(host), root, str(disks.EXPORTS / share_id), read_only=read_only)
    _hide(root, Path(plan.hidden))
    _make_devices(root)
    _show_volumes(root, plan)
    _make_kernel_files(root)
    become_root_directory(root)
    # A remount of a bind changes that one mount only: not the writable ones below it.
    mount("", Path("/"), "", MS_REMOUNT | MS_BIND | MS_RDONLY | _EPHEMERAL)


def _show(source: Path, root: Path, inside: str, *, read_only: bool = False) -> None:
    """Bind `source` and the mounts below it to the path `inside` of the view, never as devices."""
    target = _mount_point(root, inside, directory=source.is_dir())
    mount(str(source), target, "", MS_BIND | MS_REC)
    set_mount_attributes(target, MOUNT_ATTR_NODEV | (MOUNT_ATTR_RDONLY if read_only else MOUNT_ATTR_NOSUID))


def _mount_point(root: Path, inside: str, *, directory: bool) -> Path:
    """Make the path, part by part: a link in the machine's own files would lead us, still host's root, out of it."""
    here = root
    parts = Path(inside.lstrip("/")).parts
    for number, part in enumerate(parts, start=1):
        here /= part
        if here.is_symlink():
            here.unlink()
        if number < len(parts) or directory:
            here.mkdir(mode=0o755, exist_ok=True)
        else:
            here.touch()
    return here


def _show_programs(root: Path) -> None:
    for name in PROGRAMS:
        host = Path("/", name)
        if host.is_symlink():
            (root / name).symlink_to(host.readlink())
        elif host.is_dir():
            _show(host, root, name, read_only=True)


def _replace_programs(root: Path, stand_ins: Path) -> None:
    """Lay ours over the programs that cannot do their work in here; theirs stay reachable beside the stand-ins."""
    for program in sorted(stand_ins.iterdir()):
        for folder in ("usr/bin", "usr/sbin", "bin", "sbin"):
            covered = root / folder / program.name
            if covered.is_file() and not (root / folder).is_symlink() and not covered.is_symlink():
                _show(covered, root, f"run/devcloud/programs/{program.name}", read_only=True)
                mount(str(program), covered, "", MS_BIND)
                set_mount_attributes(covered, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)


def _show_own_files(root: Path, machine: Path) -> None:
    for name in ("etc", "home", "opt", "root", "srv"):
        _show(machine / "disk" / name, root, name)
    for name in CONFIGURATION:
        host = Path("/etc", name)
        if host.exists():
            _show(host, root, f"etc/{name}", read_only=True)
    for name, mode in {"tmp": "1777", "run": "755", "var": "755", "mnt": "755", "data": "755"}.items():
        (root / name).mkdir()
        mount(name, root / name, "tmpfs", _EPHEMERAL, f"mode={mode}")
    for name in ("var/cache", "var/lib", "var/log", "var/mail", "var/spool", "var/tmp", "run/lock"):
        (root / name).mkdir(mode=0o755)
    (root / "var/tmp").chmod(0o1777)
    (root / "var/run").symlink_to("/run")
    # What a share holds is seen where root mounts it, and nowhere else.
    for name, bits in {"run/devcloud": 0o700, "run/devcloud/exports": 0o700, "mnt/volumes": 0o711}.items():
        (root / name).mkdir(mode=bits)
    for name in ("config-drive", "gpu"):
        if (machine / name).is_dir():
            _show(machine / name, root, f"mnt/{name}", read_only=True)


def _hide(root: Path, hidden: Path) -> None:
    """Lay an empty directory over `hidden` if a tree we show happens to contain it."""
    covered = root / str(hidden).lstrip("/")
    if covered.is_dir():
        mount("hidden", covered, "tmpfs", _EPHEMERAL, "mode=000,size=4k")


def _make_devices(root: Path) -> None:
    devices = root / "dev"
    devices.mkdir()
    mount("dev", devices, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")
    for name in DEVICES:
        (devices / name).touch()
        mount(f"/dev/{name}", devices / name, "", MS_BIND)
    for name, target in DEVICE_LINKS.items():
        (devices / name).symlink_to(target)
    (devices / "pts").mkdir()
    mount("devpts", devices / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    (devices / "shm").mkdir()
    mount("shm", devices / "shm", "tmpfs", _EPHEMERAL, "mode=1777")


def _show_volumes(root: Path, plan: Plan) -> None:
    """In place before anything runs, as with a machine whose disks are there when it is switched on."""
    for volume_id, descriptor in plan.disks:
        disks.show_disk(root, volume_id, os.fstat(descriptor).st_rdev)
    for volume_id, _ in plan.folders:
        disks.show_link(root, volume_id, str(disks.FOLDERS / volume_id))


def _give_boot_id(root: Path, processes: Path) -> None:
    """A boot of its own for each power-on: the kernel it shares with the host knows only the host's."""
    file = root / "run" / "boot-id"
    file.write_text(f"{uuid.uuid4()}\n")
    known = processes / "sys/kernel/random/boot_id"
    mount(str(file), known, "", MS_BIND)
    set_mount_attributes(known, MOUNT_ATTR_RDONLY)


def _make_kernel_files(root: Path) -> None:
    processes = root / "proc"
    processes.mkdir()
    mount("proc", processes, "proc", _EPHEMERAL | MS_NOEXEC)
    for name in PROC_READ_ONLY:
        if (processes / name).exists():
            mount(str(processes / name), processes / name, "", MS_BIND)
            set_mount_attributes(processes / name, MOUNT_ATTR_RDONLY)
    for name in PROC_MASKED:
        if (processes / name).is_file():
            mount("/dev/null", processes / name, "", MS_BIND)
        elif (processes / name).is_dir():
            mount("masked", processes / name, "tmpfs", _EPHEMERAL, "mode=000,size=4k")
    _give_boot_id(root, processes)
    (root / "sys").mkdir()
    # Not recursive: control groups and debugging interfaces are mounted below it.
    mount("/sys", root / "sys", "", MS_BIND)
    set_mount_attributes(root / "sys", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
