"""What Nova asks of the machine it schedules on: the seam between the API and the processes that are instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from aiohttp import web

CARDS = ("sound", "silent", "hangs", "no-memory", "no-compute")
"""How a GPU may be: the driver does not know it, never answers, says it has no memory, or it answers and computes
nothing."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """Everything a machine is made from; the metadata service and the config drive show parts of it to the guest.

    `key` is a public SSH key. `volumes` are the ids of the Cinder volumes attached to it. `boot_seconds` is how long
    the pretended boot lasts between power-on and the start of the guest program. `gpu` is the GPU's name, from the
    flavor's extra specs; `card` is how it is: one of CARDS.
    """

    server_id: str
    name: str
    address: str
    mac: str
    project_id: str
    image_id: str
    flavor_name: str
    vcpus: int
    ram_mb: int
    user_data: bytes = field(repr=False)
    metadata: Mapping[str, str]
    key: str | None
    config_drive: bool
    volumes: tuple[str, ...]
    boot_seconds: float
    guest_dead: bool
    gpu: str | None
    card: str = "sound"


class Ingress(NamedTuple):
    """One thing a security group lets in. `protocol` None is any protocol; ports None are all ports."""

    protocol: str | None
    port_min: int | None
    port_max: int | None
    cidr: str


class Hypervisor(Protocol):
    """Runs machines. Every method but `running`, `console` and `metadata_app` may take as long as a real one would."""

    async def start(self) -> None:
        """Find again what still runs below the state directory, after a crash of the API."""

    async def boot(self, spec: MachineSpec) -> None:
        """Power a machine on; returns when it is on, not when it has booted. Booting a running machine does nothing."""

    async def power_off(self, server_id: str, *, hard: bool = False) -> None:
        """End the machine's processes and keep its files."""

    async def reboot(self, server_id: str, *, hard: bool) -> None: ...

    async def destroy(self, server_id: str) -> None:
        """End the machine's processes and remove its files. Destroying what does not exist does nothing."""

    async def snapshot(self, server_id: str, image_id: str) -> None:
        """Copy the machine's files into an image; later boots of that image start from the copy."""

    def running(self, server_id: str) -> bool: ...

    def console(self, server_id: str, lines: int | None) -> str:
        """The last `lines` lines of the console log, all of it for None."""

    async def shutdown(self) -> None:
        """Power every machine off and keep its files."""

    async def enforce(self, server_id: str, rules: Sequence[Ingress]) -> None:
        """Let in what `rules` admit and nothing else, replacing what was said before."""

    async def attach(self, server_id: str, volume_id: str) -> None:
        """Bring a volume in, while the machine runs or for when it does. Attaching what is there does nothing."""

    async def detach(self, server_id: str, volume_id: str) -> None:
        """Take a volume out, whatever the machine is doing with it."""

    async def grown(self, server_id: str, volume_id: str) -> None:
        """A volume of the machine is larger now."""

    def held_still(self, server_id: str, volume_id: str) -> AbstractAsyncContextManager[None]:
        """For as long as the block lasts the machine writes nothing to a volume, and what it wrote before is there."""

    async def change_card(self, server_id: str, card: str) -> None:
        """The machine's GPU is another way from now on."""

    async def export(self, server_id: str, shares: Mapping[str, bool]) -> None:
        """The machine may mount these shares and no others; True is read-only."""

    def metadata_app(self, lookup: Callable[[str], MachineSpec | None]) -> web.Application:
        """The metadata service; `lookup` finds an instance by the source address of a request."""


class NoMachines:
    """A hypervisor whose machines are a set of ids: for tests of the API alone."""

    def __init__(self) -> None:
        self.on: dict[str, MachineSpec] = {}
        self.rules: dict[str, tuple[Ingress, ...]] = {}
        self.volumes: dict[str, set[str]] = {}
        self.exports: dict[str, Mapping[str, bool]] = {}

    async def start(self) -> None:
        """Nothing outlives this process."""

    async def boot(self, spec: MachineSpec) -> None:
        self.on[spec.server_id] = spec
        self.volumes[spec.server_id] = set(spec.volumes)

    async def power_off(self, server_id: str, *, hard: bool = False) -> None:  # noqa: ARG002
        self.on.pop(server_id, None)

    async def reboot(self, server_id: str, *, hard: bool) -> None:
        """A machine without processes is rebooted at once."""

    async def destroy(self, server_id: str) -> None:
        self.on.pop(server_id, None)
        for known in (self.rules, self.volumes, self.exports):
            known.pop(server_id, None)

    async def snapshot(self, server_id: str, image_id: str) -> None:
        """A machine without files has nothing to copy."""

    def running(self, server_id: str) -> bool:
        return server_id in self.on

    def console(self, server_id: str, lines: int | None) -> str:
        log = ["devcloud: this instance has no machine", f"instance {server_id}", "end of the console log"]
        return "\n".join(log[-lines:] if lines else log)

    async def shutdown(self) -> None:
        self.on.clear()

    async def enforce(self, server_id: str, rules: Sequence[Ingress]) -> None:
        self.rules[server_id] = tuple(rules)

    async def attach(self, server_id: str, volume_id: str) -> None:
        self.volumes.setdefault(server_id, set()).add(volume_id)

    async def detach(self, server_id: str, volume_id: str) -> None:
        self.volumes.get(server_id, set()).discard(volume_id)

    async def grown(self, server_id: str, volume_id: str) -> None:
        """A machine without devices sees none grow."""

    def held_still(self, server_id: str, volume_id: str) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        return nullcontext()

    async def change_card(self, server_id: str, card: str) -> None:
        self.on[server_id] = replace(self.on[server_id], card=card)

    async def export(self, server_id: str, shares: Mapping[str, bool]) -> None:
        self.exports[server_id] = dict(shares)

    def metadata_app(self, lookup: Callable[[str], MachineSpec | None]) -> web.Application:
        async def instance(request: web.Request) -> web.Response:
            spec = lookup(request.remote or "")
            if spec is None:
                raise web.HTTPNotFound
            return web.json_response({"uuid": spec.server_id, "name": spec.name, "meta": dict(spec.metadata)})

        app = web.Application()
        app.router.add_get("/openstack/latest/meta_data.json", instance)
        return app
