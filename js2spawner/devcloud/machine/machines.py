"""The hypervisor of the embedded cloud: every machine below one folder, on or off."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from js2spawner.devcloud.hypervisor import Ingress, MachineSpec
from js2spawner.devcloud.machine import metadata, power, programs
from js2spawner.devcloud.machine.cloud_config import own_hostname
from js2spawner.devcloud.machine.disk import Disks
from js2spawner.devcloud.machine.firewall import Firewall, Guarded
from js2spawner.devcloud.machine.gpu import Load, set_gpu_load
from js2spawner.devcloud.machine.inside.plan import Plan
from js2spawner.devcloud.machine.plugs import Plugged, Plugs
from js2spawner.devcloud.machine.power import MachineError, Powered

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Machines:
    """`js2spawner.devcloud.hypervisor.Hypervisor`, with processes.

    `directory` is the embedded cloud's own folder; nothing is written elsewhere, and no machine sees it or `hidden`.
    `metadata_url` is where the guest programs find the metadata service. `guest` is the program a machine runs once it
    has booted. `private` asks for namespaces (the default for root); without them machines run as ourselves.

    Methods raise MachineError with one sentence when the system refuses something, ValueError for an id that is none.
    """

    def __init__(
        self,
        directory: Path,
        metadata_url: str,
        *,
        guest: Path = programs.GUEST,
        private: bool | None = None,
        hidden: Path | None = None,
    ) -> None:
        self._directory = directory.resolve()
        self._hidden = (hidden or directory).resolve()
        self._metadata_url = metadata_url
        self._guest = guest
        self._private = os.geteuid() == 0 if private is None else private
        self._disks = Disks(self._directory)
        self._plugs = Plugs(self._disks, private=self._private)
        self._on: dict[str, Powered] = {}
        self._specs: dict[str, MachineSpec] = {}
        self._rules: dict[str, tuple[Ingress, ...]] = {}
        self._exports: dict[str, Mapping[str, bool]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._under_way: set[asyncio.Task[object]] = set()
        self._firewall = Firewall(self._guarded)

    async def start(self) -> None:
        """Find machines that outlived an earlier process of ours, and begin to enforce security groups.

        Raises MachineError if machines cannot work on this system at all.
        """
        if sys.platform != "linux":
            raise MachineError("The machines of the embedded cloud need Linux; its API alone works anywhere.")
        if self._private:
            _check_private_views()
        else:
            log.warning(
                "Machines have no files, accounts or processes of their own: they run as you (uid %d).", os.geteuid()
            )
        self._disks.make_folders()
        for folder in self._disks.machines():
            await self._find_again(folder)
        self._firewall.start()

    async def boot(self, spec: MachineSpec) -> None:
        await self._in_turn(spec.server_id, lambda: self._switch_on(spec, fresh_console=True))

    async def power_off(self, server_id: str, *, hard: bool = False) -> None:
        await self._in_turn(server_id, lambda: self._switch_off(server_id, hard=hard))

    async def reboot(self, server_id: str, *, hard: bool) -> None:
        """Off and on again; a machine that is off is switched on, as Nova's hard reboot does."""
        await self._in_turn(server_id, lambda: self._off_and_on(server_id, hard=hard))

    async def destroy(self, server_id: str) -> None:
        await self._in_turn(server_id, lambda: self._remove(server_id))

    async def snapshot(self, server_id: str, image_id: str) -> None:
        await self._in_turn(server_id, lambda: asyncio.to_thread(self._copy_frozen, server_id, image_id))

    def known(self, server_id: str) -> MachineSpec:
        """What a machine is made from by now, the volumes that came and went included. Raises KeyError."""
        return self._specs[server_id]

    def running(self, server_id: str) -> bool:
        powered = self._on.get(server_id)
        return powered is not None and not powered.off.is_set()

    def console(self, server_id: str, lines: int | None) -> str:
        try:
            text = (self._disks.machine(server_id) / "console.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:] if lines > 0 else [])

    async def shutdown(self) -> None:
        """Every machine off, all at the same time; the first problem is raised once all have been tried."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self._firewall.stop()
        ends = [self.power_off(server_id) for server_id in list(self._on)]
        for outcome in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def enforce(self, server_id: str, rules: Sequence[Ingress]) -> None:
        self._rules[server_id] = tuple(rules)
        if self.running(server_id):
            await self._firewall.look_again()

    async def attach(self, server_id: str, volume_id: str) -> None:
        await self._in_turn(server_id, lambda: self._attach(server_id, volume_id))

    async def detach(self, server_id: str, volume_id: str) -> None:
        await self._in_turn(server_id, lambda: self._detach(server_id, volume_id))

    async def grown(self, server_id: str, volume_id: str) -> None:
        if self.running(server_id):
            await self._in_turn(server_id, lambda: asyncio.to_thread(self._plugs.grown, server_id, volume_id))

    @asynccontextmanager
    async def held_still(self, server_id: str, volume_id: str) -> AsyncIterator[None]:
        if not self.running(server_id):
            yield
            return
        still = self._plugs.held_still(server_id, volume_id)
        await asyncio.to_thread(still.__enter__)
        try:
            yield
        finally:
            await asyncio.to_thread(still.__exit__, None, None, None)

    async def export(self, server_id: str, shares: Mapping[str, bool]) -> None:
        self._exports[server_id] = dict(shares)
        if self.running(server_id):
            await self._in_turn(server_id, lambda: asyncio.to_thread(self._plugs.export, server_id, shares))

    def metadata_app(self, lookup: Callable[[str], MachineSpec | None]) -> web.Application:
        return metadata.metadata_app(lookup)

    def set_gpu_load(self, server_id: str, *, utilisation_percent: int, memory_used_mb: int) -> None:
        """What `nvidia-smi` in the machine says from now on. Raises KeyError for a machine without a GPU."""
        spec = self._specs.get(server_id)
        if spec is None or spec.gpu is None:
            raise KeyError(server_id)
        load = Load(utilisation_percent, memory_used_mb, spec.card)
        set_gpu_load(self._disks.machine(server_id) / "gpu", spec.gpu, load)

    async def change_card(self, server_id: str, card: str) -> None:
        spec = self._specs.get(server_id)
        if spec is not None and spec.gpu is not None:
            self._specs[server_id] = replace(spec, card=card)
            self.set_gpu_load(server_id, utilisation_percent=0, memory_used_mb=0)

    async def _in_turn(self, server_id: str, do: Callable[[], Awaitable[Result]]) -> Result:
        """One thing at a time for each machine, and to its end: a cancelled caller leaves no half-made machine."""

        async def turn() -> Result:
            async with self._turns[server_id]:
                try:
                    return await do()
                except OSError as problem:
                    raise MachineError(f"Machine {server_id}: {problem}.") from problem

        task = asyncio.create_task(turn(), name=f"machine {server_id}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _find_again(self, folder: Path) -> None:
        powered = power.adopt(folder)
        spec = self._disks.spec(folder)
        if spec is not None:
            self._specs[folder.name] = spec
        if powered is not None:
            self._on[folder.name] = powered
            log.info("Machine %s has been running without us; process %d is ours again.", folder.name, powered.pid)

    async def _switch_on(self, spec: MachineSpec, *, fresh_console: bool) -> None:
        if self.running(spec.server_id):
            return
        folder = await asyncio.to_thread(self._disks.prepare, spec, private=self._private)
        if fresh_console:
            (folder / "console.log").unlink(missing_ok=True)
        self._specs[spec.server_id] = spec
        plugged = await asyncio.to_thread(self._plugs.open_all, spec)
        try:
            self._on[spec.server_id] = await power.switch_on(self._plan(spec, folder, plugged))
        finally:
            plugged.close()

    async def _switch_off(self, server_id: str, *, hard: bool) -> None:
        powered = self._on.get(server_id)
        if powered is not None:
            await power.switch_off(powered, hard=hard)
            del self._on[server_id]
            await asyncio.to_thread(self._disks.forget_memory, server_id)

    async def _off_and_on(self, server_id: str, *, hard: bool) -> None:
        spec = self._specs.get(server_id)
        if spec is None:
            raise MachineError(f"Machine {server_id} was never switched on, so it cannot be rebooted.")
        await self._switch_off(server_id, hard=hard)
        await self._switch_on(spec, fresh_console=hard)

    async def _attach(self, server_id: str, volume_id: str) -> None:
        """For a machine that is off: there when it is switched on."""
        if self.running(server_id):
            await asyncio.to_thread(self._plugs.plug, server_id, volume_id)
        self._remember_volumes(server_id, volume_id, attached=True)

    async def _detach(self, server_id: str, volume_id: str) -> None:
        if self.running(server_id):
            await asyncio.to_thread(self._plugs.unplug, server_id, volume_id)
        self._remember_volumes(server_id, volume_id, attached=False)

    def _remember_volumes(self, server_id: str, volume_id: str, *, attached: bool) -> None:
        spec = self._specs.get(server_id)
        if spec is not None:
            others = tuple(known for known in spec.volumes if known != volume_id)
            self._specs[server_id] = replace(spec, volumes=(*others, volume_id) if attached else others)
            self._disks.remember(self._specs[server_id])

    async def _remove(self, server_id: str) -> None:
        await self._switch_off(server_id, hard=True)
        self._specs.pop(server_id, None)
        self._rules.pop(server_id, None)
        self._exports.pop(server_id, None)
        await asyncio.to_thread(self._disks.destroy, server_id)

    def _copy_frozen(self, server_id: str, image_id: str) -> None:
        with power.frozen(self._on.get(server_id)):
            self._disks.snapshot(server_id, image_id)

    def _guarded(self) -> Mapping[str, Guarded]:
        return {
            server_id: Guarded(IPv4Address(self._specs[server_id].address), powered.pid, self._rules[server_id])
            for server_id, powered in self._on.items()
            if server_id in self._rules and not powered.off.is_set()
        }

    def _plan(self, spec: MachineSpec, folder: Path, plugged: Plugged) -> Plan:
        return Plan(
            server_id=spec.server_id,
            hostname=own_hostname(spec),
            directory=str(folder),
            private=self._private,
            trees=(*programs.needed_trees(), *self._guest_tree()),
            hidden=str(self._hidden),
            guest=self._guest_command(spec, folder),
            environment=self._environment(spec, folder),
            boot_seconds=spec.boot_seconds,
            guest_dead=spec.guest_dead,
            disks=plugged.disks,
            folders=plugged.folders,
            exports=self._plugs.exports(self._exports.get(spec.server_id, {})),
            stand_ins=str(folder / "programs"),
        )

    def _guest_tree(self) -> tuple[str, ...]:
        own = self._guest.resolve().is_relative_to(programs.PACKAGE)
        return () if own else (str(self._guest.resolve().parent),)

    def _guest_command(self, spec: MachineSpec, folder: Path) -> tuple[str, ...]:
        run_dir, mnt = ("/run/js2", Path("/mnt")) if self._private else (str(folder / "run"), folder)
        # What survives a reboot lies on the machine's disk; of /var there is none.
        state_dir = "/root/.js2" if self._private else str(folder / "disk" / "root" / ".js2")
        command = [sys.executable, "-I", str(self._guest.resolve()), "--metadata-url", self._metadata_url]
        command += ["--source-address", spec.address, "--run-dir", run_dir, "--state-dir", state_dir]
        if spec.config_drive:
            command += ["--config-drive", str(mnt / "config-drive")]
        own = ["--unprivileged", "--disks", str(self._plugs.links(spec.server_id))]
        return (*command, *([] if self._private else own))

    def _environment(self, spec: MachineSpec, folder: Path) -> dict[str, str]:
        search_path, home = programs.search_path(), "/root"
        if not self._private:
            home = str(folder / "disk" / "home")
        if spec.gpu is not None:
            search_path = f"{'/mnt' if self._private else folder}/gpu{os.pathsep}{search_path}"
        kept = {name: os.environ[name] for name in ("USER", "LOGNAME") if name in os.environ and not self._private}
        return {"HOME": home, "PATH": search_path, "LANG": "C.UTF-8", **kept}


def _check_private_views() -> None:
    if not programs.may_make_namespaces():
        raise MachineError(
            "Machines need namespaces, which this root may not make (CAP_SYS_ADMIN is missing; a container?): "
            "run the embedded cloud as an ordinary user instead."
        )
    if (closed := programs.unreadable()) is not None:
        raise MachineError(f"{closed} is closed to other users, so nobody in a machine could use it: chmod -R o+rX it.")
