"""What root in a machine may ask of its guard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from js2spawner.devcloud.machine.inside.linux import MS_NODEV, MS_NOSUID, MS_RDONLY
from js2spawner.devcloud.machine.inside.wishes import Refused, Wish, read_wish
from js2spawner.devcloud.machine.mount_program import parsed

MOUNT = {"do": "mount", "kind": "ext4", "source": "/dev/loop3", "target": "/home/alice", "options": []}


def wish(**changes: Any) -> Wish:
    return read_wish(json.dumps(MOUNT | changes).encode())


def test_a_mount_never_has_set_uid_programs_or_devices_whatever_is_asked():
    assert wish(options=["suid", "dev", "exec"]).flags == MS_NOSUID | MS_NODEV
    assert wish(options=["ro", "noload"]) == Wish(
        "mount", "ext4", "/dev/loop3", "/home/alice", MS_NOSUID | MS_NODEV | MS_RDONLY, noload=True
    )


@pytest.mark.parametrize("target", ["/", "/usr", "/etc/passwd", "/proc", "/home/../etc", "home", "", "/dev/x", 7, None])
def test_nothing_is_mounted_over_the_system(target: object):
    with pytest.raises(Refused):
        wish(target=target)


@pytest.mark.parametrize("changes", [{"kind": "tmpfs"}, {"kind": None}, {"options": ["remount"]}, {"source": 3}])
def test_nothing_else_than_disks_and_shares_is_mounted(changes: dict[str, Any]):
    with pytest.raises(Refused):
        wish(**changes)


@pytest.mark.parametrize("raw", [b"", b"[]", b"7", b'{"do": "format"}', b"\xff"])
def test_nonsense_is_refused(raw: bytes):
    with pytest.raises(Refused):
        read_wish(raw)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-t", "ext4", "-o", "ro,noatime", "/dev/x", "/mnt"],
        ["-text4", "-oro,noatime", "/dev/x", "/mnt"],
        ["--types=ext4", "--options=ro,noatime", "/dev/x", "/mnt"],
        ["/dev/x", "/mnt", "--types", "ext4", "--options", "ro,noatime"],
    ],
)
def test_mount_is_called_in_all_its_ways(arguments: list[str]):
    assert parsed(arguments) == ({"kind": "ext4", "options": "ro,noatime"}, [], ["/dev/x", "/mnt"])
