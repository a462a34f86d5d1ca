"""Nova: servers, flavors, limits and what hangs on a server. (Compute API reference, microversion below.)"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from .caller import Call, Caller, path
from .errors import BadRequest
from .reading import Json, instant, objects, read, strings, text, words
from .records import Fault, Flavor, Limits, NewServer, Server, VolumeAttachment

MICROVERSION = "2.61"
"""The lowest that has all we use, so that old clouds serve too: tags in lists 2.26, networks "auto" 2.37, the id of a
new image in the answer 2.45, the flavor's name inside a server 2.47, tags in a create 2.52, extra specs inside flavors
2.61. Nova has spoken it since Queens (2018); it still does (2.1 to 2.104 in Nova 34)."""

USER_DATA_AT_MOST = 65535
"""Bytes after base64, as Nova's schema has it."""

CONSOLE_AT_MOST = 256 * 1024
"""Characters of a console log we keep, from its end."""


class Compute:
    """The compute service of one cloud. Every method raises CloudError; Gone where the server is no more."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._listed: dict[str, tuple[Json, Server]] = {}

    async def create_server(self, new: NewServer) -> str:
        """Ask for a server; its id. Errors with `certain` False may have made one: look before asking again."""
        answer = await self._call("create-server", "POST", path("servers"), body=create_body(new))
        return read(lambda server: text(server, "id"), answer.get("server"), "server")

    async def list_servers(self, *, tag: str) -> list[Server]:
        """All servers of this project that carry the tag, in any state, in detail."""
        found = await self._caller.pages(
            self._request("list-servers", "GET", path("servers", "detail"), params={"tags": tag}), "servers"
        )
        servers = [self._known(server) or read(server_from_json, server, "server") for server in found]
        self._listed = {server.id: (raw, server) for raw, server in zip(found, servers, strict=True)}
        return servers

    async def servers_of_image(self, image_id: str) -> list[Server]:
        """The servers of this project, whoever made them, that were made from the image; in any state."""
        call = self._request("list-servers", "GET", path("servers", "detail"), params={"image": image_id})
        found = [read(server_from_json, server, "server") for server in await self._caller.pages(call, "servers")]
        # A service that does not know the filter would answer with all.
        return [server for server in found if server.image_id == image_id]

    def _known(self, raw: Json) -> Server | None:
        """The server as it was read before, if the answer still says the same: most do, list after list."""
        before = self._listed.get(words(raw, "id"))
        return before[1] if before is not None and before[0] == raw else None

    async def get_server(self, server_id: str) -> Server:
        answer = await self._call("get-server", "GET", path("servers", server_id))
        return read(server_from_json, answer.get("server"), "server")

    async def delete_server(self, server_id: str) -> None:
        await self._call("delete-server", "DELETE", path("servers", server_id))

    async def set_metadata(self, server_id: str, values: Mapping[str, str]) -> None:
        """Add or change these items; others stay."""
        await self._call(
            "set-metadata", "POST", path("servers", server_id, "metadata"), body={"metadata": dict(values)}
        )

    async def console_log(self, server_id: str, *, lines: int) -> str:
        """The last lines of the console. What a guest wrote there is hostile."""
        answer = await self._action("console-log", server_id, "os-getConsoleOutput", {"length": lines})
        return words(answer, "output")[-CONSOLE_AT_MOST:]

    async def act(self, server_id: str, action: str, arguments: object = None) -> None:
        """One of Nova's server actions by its own name: shelve, unshelve, os-stop, os-start, reboot, lock, …

        Raises Conflict while another task runs or in a state that does not allow the action.
        """
        await self._action(f"act-{action}", server_id, action, arguments)

    async def create_image(self, server_id: str, name: str, metadata: Mapping[str, str]) -> str:
        """Start a snapshot of the server; the image's id."""
        arguments = {"name": name, "metadata": dict(metadata)}
        answer = await self._action("create-image", server_id, "createImage", arguments)
        return read(lambda image: text(image, "image_id"), answer, "image")

    async def flavors(self) -> list[Flavor]:
        """The flavors open to this project, with extra specs."""
        found = await self._caller.pages(self._request("list-flavors", "GET", path("flavors", "detail")), "flavors")
        return [read(flavor_from_json, flavor, "flavor") for flavor in found]

    async def limits(self) -> Limits:
        answer = await self._call("limits", "GET", path("limits"))
        return read(limits_from_json, answer.get("limits"), "limits")

    async def attach_volume(self, server_id: str, volume_id: str) -> VolumeAttachment:
        """Start attaching. Raises Conflict when the volume is attached or being attached somewhere already."""
        answer = await self._call(
            "attach-volume",
            "POST",
            path("servers", server_id, "os-volume_attachments"),
            body={"volumeAttachment": {"volumeId": volume_id}},
        )
        return read(attachment_from_json, answer.get("volumeAttachment"), "volume attachment")

    async def detach_volume(self, server_id: str, volume_id: str) -> None:
        """Start detaching. (Through Nova: Cinder's own detach fails with an application credential.)"""
        await self._call("detach-volume", "DELETE", path("servers", server_id, "os-volume_attachments", volume_id))

    async def attachments(self, server_id: str) -> list[VolumeAttachment]:
        answer = await self._call("list-attachments", "GET", path("servers", server_id, "os-volume_attachments"))
        return [
            read(attachment_from_json, attachment, "volume attachment")
            for attachment in objects(answer, "volumeAttachments")
        ]

    async def _action(self, operation: str, server_id: str, action: str, arguments: object) -> Json:
        return await self._call(operation, "POST", path("servers", server_id, "action"), body={action: arguments})

    async def _call(self, operation: str, method: str, where: str, *, body: object = None) -> Json:
        return await self._caller.call(self._request(operation, method, where, body=body))

    def _request(
        self, operation: str, method: str, where: str, *, body: object = None, params: Mapping[str, str] | None = None
    ) -> Call:
        return Call(
            service="compute",
            operation=operation,
            method=method,
            path=where,
            body=body,
            params=params or {},
            headers={"OpenStack-API-Version": f"compute {MICROVERSION}"},
        )


def create_body(new: NewServer) -> dict[str, Any]:
    """The body of a create. Raises BadRequest if the user-data is too long, in words that do not repeat it."""
    server: dict[str, Any] = {
        "name": new.name,
        "imageRef": new.image_id,
        "flavorRef": new.flavor_id,
        "networks": _networks(new),
        "metadata": dict(new.metadata),
        "tags": list(new.tags),
        "config_drive": new.config_drive,
    }
    if new.security_groups:
        server["security_groups"] = [{"name": group} for group in new.security_groups]
    if new.user_data:
        server["user_data"] = _encoded(new.user_data)
    if new.key_name:
        server["key_name"] = new.key_name
    if new.description:
        server["description"] = new.description
    return {"server": server}


def _networks(new: NewServer) -> list[dict[str, str]] | str:
    if new.ports:
        return [{"port": port} for port in new.ports]
    return [{"uuid": new.network_id}] if new.network_id else "auto"


def _encoded(user_data: str) -> str:
    encoded = base64.b64encode(user_data.encode()).decode("ascii")
    if len(encoded) > USER_DATA_AT_MOST:
        raise BadRequest(f"User-data is {len(encoded)} bytes in base64; Nova takes at most {USER_DATA_AT_MOST}.")
    return encoded


def server_from_json(server: Json) -> Server:
    launched = server.get("OS-SRV-USG:launched_at")
    fault = server.get("fault")
    flavor = server["flavor"]
    image = server.get("image")
    return Server(
        id=text(server, "id"),
        name=words(server, "name"),
        status=text(server, "status"),
        task_state=server.get("OS-EXT-STS:task_state"),
        vm_state=words(server, "OS-EXT-STS:vm_state"),
        power_state=int(server.get("OS-EXT-STS:power_state") or 0),
        addresses=fixed_addresses(server.get("addresses") or {}),
        # A server that boots from a volume has "" here.
        image_id=words(image, "id") if isinstance(image, Mapping) else "",
        flavor_name=words(flavor, "original_name"),
        metadata=strings(server.get("metadata")),
        tags=frozenset(str(tag) for tag in server.get("tags") or ()),
        created=instant(text(server, "created")),
        launched=instant(launched) if launched else None,
        volumes=tuple(text(volume, "id") for volume in server.get("os-extended-volumes:volumes_attached") or ()),
        locked=server.get("locked") is True,
        fault=Fault(int(fault.get("code") or 0), words(fault, "message").strip()) if fault else None,
        host_id=words(server, "hostId"),
        updated=instant(server["updated"]) if server.get("updated") else None,
    )


def fixed_addresses(networks: Mapping[str, Any]) -> tuple[str, ...]:
    """The fixed IPv4 addresses of `addresses`, in Nova's order. (Floating ones do not work from inside the cloud.)"""
    return tuple(
        text(address, "addr")
        for addresses in networks.values()
        for address in addresses
        if address.get("version") == 4 and address.get("OS-EXT-IPS:type", "fixed") == "fixed"
    )


def flavor_from_json(flavor: Json) -> Flavor:
    return Flavor(
        id=text(flavor, "id"),
        name=text(flavor, "name"),
        vcpus=int(flavor["vcpus"]),
        ram_mb=int(flavor["ram"]),
        disk_gb=int(flavor["disk"]),
        extra_specs=strings(flavor.get("extra_specs")),
        disabled=flavor.get("OS-FLV-DISABLED:disabled") is True,
    )


def limits_from_json(limits: Json) -> Limits:
    absolute = limits["absolute"]
    return Limits(
        instances_used=int(absolute["totalInstancesUsed"]),
        instances_max=_limit(absolute["maxTotalInstances"]),
        cores_used=int(absolute["totalCoresUsed"]),
        cores_max=_limit(absolute["maxTotalCores"]),
        ram_mb_used=int(absolute["totalRAMUsed"]),
        ram_mb_max=_limit(absolute["maxTotalRAMSize"]),
    )


def _limit(value: int) -> int | None:
    return int(value) if value >= 0 else None


def attachment_from_json(attachment: Json) -> VolumeAttachment:
    return VolumeAttachment(
        volume_id=text(attachment, "volumeId"),
        server_id=text(attachment, "serverId"),
        device=words(attachment, "device") or None,
    )
