"""The files of a machine on the host: made before power-on, kept while it is off, copied into images, removed with it.

    machines/<server id>/   spec.json  power.json  console.log  control.sock  view/  run/  disk/  config-drive/  gpu/
                            programs/  devices/
    images/<image id>/      as `disk/`: {etc,home,opt,root,srv}
    volumes/<volume id>     see volumes.py
    shares/<share id>/

Everything lies below one folder that only its owner may enter.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from dataclasses import fields
from pathlib import Path

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine import mount_program
from js2spawner.devcloud.machine.cloud_config import own_hostname
from js2spawner.devcloud.machine.gpu import make_gpu, write_proof
from js2spawner.devcloud.machine.metadata import write_config_drive

COPY_TIMEOUT_S = 300.0
FOLDERS = {"etc": 0o755, "home": 0o755, "opt": 0o755, "root": 0o711, "srv": 0o755}
"""What a machine has of its own, with modes; all else is the host's, or in memory."""

# Debian's first uid for people (login.defs, UID_MIN); the accounts below it belong to the programs we show.
_FIRST_PERSON = 1000
_NOBODY = 65534


class Disks:
    """The folders below the embedded cloud's own. Everything here blocks: call it from a thread.

    Ids come from our own API, which makes them; they are checked all the same before they name a path.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make_folders(self) -> None:
        for name in ("machines", "images", "volumes", "shares"):
            (self._directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def machine(self, server_id: str) -> Path:
        return self._directory / "machines" / _checked(server_id)

    def volume(self, volume_id: str) -> Path:
        return self._directory / "volumes" / _checked(volume_id)

    def share(self, share_id: str) -> Path:
        return self._directory / "shares" / _checked(share_id)

    def machines(self) -> list[Path]:
        folder = self._directory / "machines"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def prepare(self, spec: MachineSpec, *, private: bool) -> Path:
        """Everything the machine needs before power-on; what its users wrote earlier stays. Returns its folder."""
        machine = self.machine(spec.server_id)
        machine.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("view", "run"):
            shutil.rmtree(machine / name, ignore_errors=True)
            (machine / name).mkdir(mode=0o700)
        if not (machine / "disk").exists():
            self._format(machine, spec, private=private)
        _complete(machine / "disk")
        self.remember(spec)
        shutil.rmtree(machine / "config-drive", ignore_errors=True)
        if spec.config_drive:
            write_config_drive(machine / "config-drive", spec)
        if spec.gpu is not None:
            make_gpu(machine / "gpu", spec.gpu, spec.card)
            write_proof(machine / "disk" / "opt" / "js2")
        if private:
            _write_stand_ins(machine / "programs")
        return machine

    def remember(self, spec: MachineSpec) -> None:
        """What the machine is made from, for a later life of ours."""
        _replace(self.machine(spec.server_id) / "spec.json", _spec_to_json(spec))

    def _format(self, machine: Path, spec: MachineSpec, *, private: bool) -> None:
        fresh = machine / "disk.new"
        shutil.rmtree(fresh, ignore_errors=True)
        image = self._directory / "images" / _checked(spec.image_id)
        if image.is_dir():
            copy_tree(image, fresh)
        else:
            fresh.mkdir(mode=0o700)
            _complete(fresh)
            if private:
                write_accounts(fresh / "etc")
                _give_profile(fresh / "etc")
        if private:
            write_identity(fresh / "etc", spec)
        fresh.rename(machine / "disk")

    def spec(self, machine: Path) -> MachineSpec | None:
        """What the machine was last powered on with; None if that was never."""
        try:
            return _spec_from_json((machine / "spec.json").read_text())
        except FileNotFoundError:
            return None

    def snapshot(self, server_id: str, image_id: str) -> None:
        source = self.machine(server_id) / "disk"
        target = self._directory / "images" / _checked(image_id)
        partial = target.with_name(f".{target.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        copy_tree(source, partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def forget_memory(self, server_id: str) -> None:
        """Empty the run directory: to a machine without a view of its own it is what memory is to others."""
        shutil.rmtree(self.machine(server_id) / "run", ignore_errors=True)

    def destroy(self, server_id: str) -> None:
        machine = self.machine(server_id)
        if machine.exists():
            shutil.rmtree(machine)


def _write_stand_ins(folder: Path) -> None:
    folder.mkdir(mode=0o755, exist_ok=True)
    source = Path(mount_program.__file__).read_text()
    for name in mount_program.PROGRAMS:
        _replace(folder / name, f"#!{sys.executable} -IS\n{source}")
        (folder / name).chmod(0o755)


def _complete(disk: Path) -> None:
    """An image from before there was one of these folders has none of it."""
    for name, mode in FOLDERS.items():
        if not (disk / name).exists():
            (disk / name).mkdir()
            (disk / name).chmod(mode)


def copy_tree(source: Path, target: Path) -> None:
    """With owners, modes and links as they are. What vanishes meanwhile (a running machine's files) is left out.

    Raises OSError with cp's own words for anything else.
    """
    command = ["cp", "--archive", "--reflink=auto", "--", str(source), str(target)]
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    done = subprocess.run(  # noqa: S603, arguments of our own
        command, env=environment, stderr=subprocess.PIPE, text=True, timeout=COPY_TIMEOUT_S, check=False
    )
    problems = [line for line in done.stderr.splitlines() if "No such file or directory" not in line]
    if problems or (done.returncode and not target.is_dir()):
        raise OSError(f"copying {source} failed: {(problems or done.stderr.splitlines() or ['?'])[0]}")


def write_accounts(etc: Path) -> None:
    """The account files: the host's system accounts without their passwords, and none of its people."""
    people = {account.pw_name for account in pwd.getpwall() if _FIRST_PERSON <= account.pw_uid != _NOBODY}
    accounts = [account for account in pwd.getpwall() if account.pw_name not in people]
    (etc / "passwd").write_text(
        "".join(f"{a.pw_name}:x:{a.pw_uid}:{a.pw_gid}:{a.pw_gecos}:{a.pw_dir}:{a.pw_shell}\n" for a in accounts)
    )
    groups = [line.split(":") for line in Path("/etc/group").read_text().splitlines() if line.count(":") == 3]
    kept = [(name, gid) for name, _, gid, _ in groups if int(gid) < _FIRST_PERSON or int(gid) == _NOBODY]
    (etc / "group").write_text("".join(f"{name}:x:{gid}:\n" for name, gid in kept))
    _replace(etc / "shadow", "".join(f"{account.pw_name}:*:19700:0:99999:7:::\n" for account in accounts))
    _replace(etc / "gshadow", "".join(f"{name}:*::\n" for name, _ in kept))
    for name in ("subuid", "subgid"):
        (etc / name).write_text("")
    (etc / "sudoers.d").mkdir(mode=0o750)
    _replace(
        etc / "sudoers",
        'Defaults env_reset\nDefaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"\n'
        "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
        0o440,
    )


def _give_profile(etc: Path) -> None:
    """What a login shell reads: the host's to begin with, and the machine's own to add to."""
    (etc / "profile.d").mkdir()
    for file in Path("/etc/profile.d").glob("*.sh"):
        if file.is_file():
            shutil.copyfile(file, etc / "profile.d" / file.name)


def write_identity(etc: Path, spec: MachineSpec) -> None:
    """What differs between two machines of one image."""
    name = own_hostname(spec)
    hosts = f"127.0.0.1 localhost\n{spec.address} {name}.novalocal {name}\n::1 localhost ip6-localhost\n"
    for file, text in {
        "hostname": f"{name}\n",
        "hosts": hosts,
        "machine-id": f"{spec.server_id.replace('-', '')}\n",
    }.items():
        _replace(etc / file, text, 0o644)


def _checked(identity: str) -> str:
    if not identity or not all(
        character.isascii() and (character.isalnum() or character == "-") for character in identity
    ):
        raise ValueError(f"{identity!r} is no id of this cloud: letters, digits and dashes only")
    return identity


def _replace(file: Path, text: str, mode: int = 0o600) -> None:
    """Never writes through a link: an image may hold one that points at a file of the host."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "w") as stream:
        stream.write(text)
    fresh.replace(file)


def _spec_to_json(spec: MachineSpec) -> str:
    plain = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return json.dumps(plain | {"user_data": b64encode(spec.user_data).decode(), "metadata": dict(spec.metadata)})


def _spec_from_json(text: str) -> MachineSpec:
    plain = json.loads(text)
    return MachineSpec(**plain | {"user_data": b64decode(plain["user_data"]), "volumes": tuple(plain["volumes"])})
