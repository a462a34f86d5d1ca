"""A hypervisor's hands: Nova's fake hypervisor boots nothing, so what it says it runs is played here.

    python -m tests.openstack.player --clouds FILE --admin ENTRY --projects ID,ID --dir DIR --port P --boot-seconds N

Every instance of these projects that Nova shows as ACTIVE becomes a machine of the embedded cloud (real guest program,
real JupyterLab) at the address that Neutron gave it, with Nova's own user-data and metadata, behind the security groups
that Neutron holds for it, and with a disk for each volume that Nova says it has. It is off while Nova shows it off, and
gone when it is gone. What Nova saves of it is kept here as images of the embedded cloud are; Glance gets a few bytes in
its place.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import signal
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from js2spawner.devcloud.hypervisor import Ingress, MachineSpec
from js2spawner.devcloud.machine import MachineError, Machines

log = logging.getLogger("player")

LOOK_EVERY_S = 0.5
# A real cloud's agents hear of changed groups by message; nothing of ours waits for that.
GROUPS_EVERY_LOOKS = 4
# What the rig's scarce resource is a slice of.
GPU = "GRID A100X-8C"
# Shows user-data, attached volumes and the flavor's figures to an administrator (Nova's API history).
_MICROVERSION = "2.61"
_PATCH = "application/openstack-images-v2.1-json-patch"
_FORMATS = {"disk_format": "raw", "container_format": "bare"}

Json = Mapping[str, Any]


class Eyes:
    """What Nova and Neutron say, asked as an administrator. Every method blocks."""

    def __init__(self, cloud: Connection, projects: Sequence[str]) -> None:
        self._cloud = cloud
        self._projects = projects

    def servers(self) -> dict[str, Json]:
        found: list[Json] = []
        for project in self._projects:
            path = f"/servers/detail?all_tenants=1&project_id={project}"
            found += _good(self._cloud.compute.get(path, microversion=_MICROVERSION))["servers"]
        return {server["id"]: server for server in found}

    def network(self) -> tuple[list[Json], list[Json]]:
        """All ports, and all rules that let something in."""
        query = "&".join(f"project_id={project}" for project in self._projects)
        ports = _good(self._cloud.network.get(f"/ports?{query}"))["ports"]
        rules = _good(self._cloud.network.get(f"/security-group-rules?direction=ingress&{query}"))
        return ports, rules["security_group_rules"]

    def unsaved(self) -> dict[str, str]:
        """Images that Nova made for a save and that wait for their data, with the instance each is of."""
        found: dict[str, str] = {}
        for project in self._projects:
            path = f"/images?owner={project}&status=queued&image_type=snapshot"
            for image in _good(self._cloud.image.get(path))["images"]:
                found[image["id"]] = image.get("instance_uuid", "")
        return found

    def fill(self, image_id: str) -> None:
        """Give Glance data for the image, as a hypervisor does once it has copied the disk."""
        changes = [{"op": "add", "path": f"/{name}", "value": value} for name, value in _FORMATS.items()]
        where, kind = f"/images/{image_id}", {"Content-Type": _PATCH}
        self._cloud.image.patch(where, json=changes, headers=kind).raise_for_status()
        kind = {"Content-Type": "application/octet-stream"}
        self._cloud.image.put(f"{where}/file", data=image_id.encode(), headers=kind).raise_for_status()


def _good(answer: Any) -> Json:
    answer.raise_for_status()
    content: Json = answer.json()
    return content


def wants_power(server: Json) -> bool | None:
    """Whether the instance is meant to be on; None while Nova changes it, or shows what it is about to delete."""
    if server["OS-EXT-STS:task_state"] is not None:
        return None
    match server["status"]:
        case "ACTIVE" | "PASSWORD":
            return True if server["addresses"] else None
        case "SHUTOFF" | "SHELVED" | "SHELVED_OFFLOADED":
            return False
    return None


def volumes_of(server: Json) -> tuple[str, ...]:
    """What Nova says it has, also while that is on its way: a disk that is there too early harms nobody."""
    return tuple(volume["id"] for volume in server["os-extended-volumes:volumes_attached"])


def spec_of(server: Json, port: Json, boot_seconds: float) -> MachineSpec:
    """The machine that an instance is. One without user-data has nothing that ours could report to."""
    image, flavor = server["image"], server["flavor"]
    user_data = base64.b64decode(server["OS-EXT-SRV-ATTR:user_data"] or "")
    return MachineSpec(
        server_id=server["id"],
        name=server["name"],
        address=port["fixed_ips"][0]["ip_address"],
        mac=port["mac_address"],
        project_id=server["tenant_id"],
        image_id=image["id"] if image else server["id"],
        flavor_name=flavor["original_name"],
        vcpus=flavor["vcpus"],
        ram_mb=flavor["ram"],
        user_data=user_data,
        metadata=server["metadata"],
        key=None,
        config_drive=server["config_drive"] == "True",
        volumes=volumes_of(server),
        boot_seconds=boot_seconds,
        guest_dead=not user_data,
        gpu=GPU if any(spec.startswith("resources:CUSTOM_") for spec in flavor["extra_specs"]) else None,
    )


def admitted(port: Json, rules: Sequence[Json], ports: Sequence[Json]) -> tuple[Ingress, ...]:
    """What a port's groups let in, with references to other groups turned into their members' addresses."""
    if not port["port_security_enabled"]:
        return (Ingress(None, None, None, "0.0.0.0/0"),)
    found = []
    for rule in rules:
        if rule["security_group_id"] in port["security_groups"] and rule["ethertype"] == "IPv4":
            ends = rule["port_range_min"], rule["port_range_max"]
            found += [Ingress(rule["protocol"], *ends, source) for source in _sources(rule, ports)]
    return tuple(found)


def _sources(rule: Json, ports: Sequence[Json]) -> list[str]:
    if rule["remote_group_id"] is None:
        return [rule["remote_ip_prefix"] or "0.0.0.0/0"]
    members = [port for port in ports if rule["remote_group_id"] in port["security_groups"]]
    return [f"{fixed['ip_address']}/32" for port in members for fixed in port["fixed_ips"]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    directory: Path
    port: int
    boot_seconds: float


class Player:
    """Follows what the services say; one change at a time for each machine, all machines at once."""

    def __init__(self, eyes: Eyes, asked: Asked) -> None:
        self._eyes = eyes
        self._asked = asked
        self._machines = Machines(asked.directory, f"http://127.0.0.1:{asked.port}/metadata")
        self._power: dict[str, bool] = {}
        self._specs: dict[str, MachineSpec] = {}
        # The disks that each machine that is on was given.
        self._disks: dict[str, set[str]] = {}
        self._saves: set[str] = set()
        self._looks = 0
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; then every machine is switched off."""
        runner = web.AppRunner(self._application(), access_log=None)
        await self._machines.start()
        try:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._asked.port).start()
            while True:
                try:
                    await self._look()
                except Exception as trouble:
                    # The services come and go; hands keep what they hold.
                    log.warning("nothing was learned: %s: %s", type(trouble).__name__, trouble)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await runner.cleanup()
            await self._machines.shutdown()

    def _application(self) -> web.Application:
        async def played(_: web.Request) -> web.Response:
            return web.json_response({server_id: self._machines.running(server_id) for server_id in self._power})

        app = web.Application()
        app.router.add_get("/played", played)
        app.add_subapp("/metadata", self._machines.metadata_app(self._at))
        return app

    def _at(self, address: str) -> MachineSpec | None:
        return next((spec for spec in self._specs.values() if spec.address == address), None)

    async def _look(self) -> None:
        servers = await asyncio.to_thread(self._eyes.servers)
        for server_id in self._power.keys() - servers.keys():
            del self._power[server_id]
            self._begin(self._remove(server_id))
        changed = {
            server_id: wanted
            for server_id, server in servers.items()
            if (wanted := wants_power(server)) is not None and wanted != self._power.get(server_id, False)
        }
        self._looks += 1
        if any(changed.values()) or (self._power and self._looks % GROUPS_EVERY_LOOKS == 0):
            await self._look_at_network({server_id: servers[server_id] for server_id, on in changed.items() if on})
        if self._power and self._looks % GROUPS_EVERY_LOOKS == 0:
            await self._look_for_saves()
        for server_id in (server_id for server_id, on in changed.items() if not on):
            self._power[server_id] = False
            self._disks.pop(server_id, None)
            self._begin(self._machines.power_off(server_id))
        for server_id in self._disks.keys() & servers.keys():
            self._hand_disks(server_id, set(volumes_of(servers[server_id])))

    async def _look_at_network(self, fresh: Mapping[str, Json]) -> None:
        """Switch on what is newly on, behind its groups; tell all others what their groups let in now."""
        ports, rules = await asyncio.to_thread(self._eyes.network)
        for port in ports:
            server_id = port["device_id"]
            if server_id in fresh:
                self._power[server_id] = True
                self._specs[server_id] = spec_of(fresh[server_id], port, self._asked.boot_seconds)
            if server_id in self._power:
                await self._machines.enforce(server_id, admitted(port, rules, ports))
        for server_id in fresh.keys() & self._specs.keys():
            self._disks[server_id] = set(self._specs[server_id].volumes)
            self._begin(self._machines.boot(self._specs[server_id]))

    def _hand_disks(self, server_id: str, wanted: set[str]) -> None:
        held = self._disks[server_id]
        for volume_id in held - wanted:
            held.discard(volume_id)
            self._begin(self._machines.detach(server_id, volume_id))
        for volume_id in wanted - held:
            held.add(volume_id)
            self._begin(self._bring(server_id, volume_id))

    async def _bring(self, server_id: str, volume_id: str) -> None:
        """What does not work, as while another machine still has the disk, is tried again at the next look."""
        try:
            await self._machines.attach(server_id, volume_id)
        except MachineError:
            self._disks.get(server_id, set()).discard(volume_id)
            raise

    async def _look_for_saves(self) -> None:
        """Begin each save once, whatever becomes of it."""
        unsaved = await asyncio.to_thread(self._eyes.unsaved)
        for image_id, server_id in unsaved.items():
            if server_id in self._specs and image_id not in self._saves:
                self._saves.add(image_id)
                self._begin(self._save(server_id, image_id))

    async def _save(self, server_id: str, image_id: str) -> None:
        await self._machines.snapshot(server_id, image_id)
        await asyncio.to_thread(self._eyes.fill, image_id)

    async def _remove(self, server_id: str) -> None:
        self._disks.pop(server_id, None)
        await self._machines.destroy(server_id)
        self._specs.pop(server_id, None)

    def _begin(self, change: Awaitable[None]) -> None:
        async def carried_out() -> None:
            try:
                await change
            except Exception:
                log.exception("a machine does not do as it is told")

        task = asyncio.create_task(carried_out())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


async def _play(eyes: Eyes, asked: Asked) -> None:
    task = asyncio.create_task(Player(eyes, asked).run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("every machine is off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clouds", type=Path, required=True, help="a clouds.yaml")
    parser.add_argument("--admin", required=True, help="its entry of an administrator")
    parser.add_argument("--projects", required=True, help="ids of the projects whose instances are played")
    parser.add_argument("--dir", type=Path, required=True, help="where the machines' files are")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1 of the metadata service")
    parser.add_argument("--boot-seconds", type=float, required=True, help="how long a machine pretends to boot")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    config = OpenStackConfig(config_files=[str(options.clouds)], load_envvars=False)
    eyes = Eyes(Connection(config=config.get_one(options.admin)), options.projects.split(","))
    options.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(_play(eyes, Asked(options.dir, options.port, options.boot_seconds)))


if __name__ == "__main__":
    main()
