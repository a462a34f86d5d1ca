"""The volumes and shares of all machines on this host: opened, brought and taken. Everything blocks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine import volumes
from js2spawner.devcloud.machine.disk import Disks


@dataclass(frozen=True, slots=True)
class Plugged:
    """What a machine is switched on with, as its plan names it."""

    disks: tuple[tuple[str, int], ...]
    folders: tuple[tuple[str, str], ...]

    def close(self) -> None:
        """The machine has its own hold on the disks by now, or there is none."""
        for _, descriptor in self.disks:
            os.close(descriptor)


class Plugs:
    """Methods raise OSError when the system refuses something."""

    def __init__(self, disks: Disks, *, private: bool) -> None:
        self._disks = disks
        self._private = private

    def open_all(self, spec: MachineSpec) -> Plugged:
        if not self._private:
            volumes.unlink_all(self._disks.machine(spec.server_id))
            for volume_id in spec.volumes:
                self.plug(spec.server_id, volume_id)
            return Plugged((), ())
        disks: list[tuple[str, int]] = []
        folders: list[tuple[str, str]] = []
        try:
            for volume_id in spec.volumes:
                volume = self._volume(volume_id)
                if volume.is_dir():
                    folders.append((volume_id, str(volume)))
                else:
                    disks.append((volume_id, volumes.open_disk(volume)))
        except BaseException:
            Plugged(tuple(disks), ()).close()
            raise
        return Plugged(tuple(disks), tuple(folders))

    def plug(self, server_id: str, volume_id: str) -> None:
        machine, volume = self._disks.machine(server_id), self._volume(volume_id)
        if self._private:
            volumes.plug(machine, volume_id, volume)
        elif volume.is_dir():
            volumes.link_folder(machine, volume_id, volume)
        else:
            raise OSError(f"volume {volume_id} is a disk, and only root can give a machine one")

    def unplug(self, server_id: str, volume_id: str) -> None:
        machine, volume = self._disks.machine(server_id), self._disks.volume(volume_id)
        if self._private:
            volumes.unplug(machine, volume_id, volume)
        else:
            volumes.unlink_folder(machine, volume_id)

    def grown(self, server_id: str, volume_id: str) -> None:
        if self._private and self._disks.volume(volume_id).is_file():
            volumes.grown(self._disks.machine(server_id), volume_id)

    def held_still(self, server_id: str, volume_id: str) -> AbstractContextManager[None]:
        return volumes.held_still(self._disks.machine(server_id), volume_id, there=self._private)

    def export(self, server_id: str, shares: Mapping[str, bool]) -> None:
        """Make what the machine may mount what it is to be; a share that stays as it was stays mounted."""
        if not self._private:
            return
        machine = self._disks.machine(server_id)
        present = volumes.exported(machine)
        for share_id in present.keys() - shares.keys():
            volumes.unexport(machine, share_id)
        for share_id, read_only in shares.items():
            if present.get(share_id) is not read_only:
                volumes.export(machine, share_id, self._share(share_id), read_only=read_only)

    def exports(self, shares: Mapping[str, bool]) -> tuple[tuple[str, str, bool], ...]:
        """As a plan names them."""
        return tuple((share_id, str(self._share(share_id)), read_only) for share_id, read_only in shares.items())

    def links(self, server_id: str) -> Path:
        """Where a machine without a view of its own finds its volumes."""
        return volumes.links(self._disks.machine(server_id))

    def _volume(self, volume_id: str) -> Path:
        """One that nobody made (a volume of the real Cinder, whose machines are played here) begins empty."""
        volume = self._disks.volume(volume_id)
        if not volume.exists():
            volumes.make(volume, size_gb=1)
        return volume

    def _share(self, share_id: str) -> Path:
        share = self._disks.share(share_id)
        share.mkdir(mode=0o755, exist_ok=True)
        return share
