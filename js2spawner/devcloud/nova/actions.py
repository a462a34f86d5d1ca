"""POST /servers/{id}/action: what may be done to a server, in which state, and how Nova refuses it otherwise."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cloud import new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.faults import bend
from js2spawner.devcloud.neutron.groups import find_group
from js2spawner.devcloud.neutron.ports import interfaces, ports_of
from js2spawner.devcloud.nova.create import flavor_of, image_of
from js2spawner.devcloud.nova.found import admin_only, in_state, mapped_server_of, server_of, unlocked
from js2spawner.devcloud.nova.quota import check_room
from js2spawner.devcloud.nova.schema import check_members, check_metadata, check_name, refuse
from js2spawner.devcloud.nova.view import server_view
from js2spawner.devcloud.records import Image, Operation, Server

Action = Callable[[Call, Server, Any], Awaitable[Answer]]
_ACCEPTED = Answer(status=202)
_REBOOTS = {"SOFT": "rebooting", "HARD": "rebooting_hard"}
_REBOOT_TYPES = ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]
_BY_CELL = ("os-stop", "os-start")
_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


async def act(call: Call) -> Answer:
    if not isinstance(call.body, dict) or len(call.body) != 1:
        raise Refusal(400, "Malformed request body")
    name, arguments = next(iter(call.body.items()))
    action = _ACTIONS.get(name)
    if action is None:
        raise Refusal(400, f"There is no such action: {name}")
    _check_arguments(name, arguments)
    found = mapped_server_of if name in _BY_CELL else server_of
    return await action(call, found(call), arguments)


def _check_arguments(name: str, arguments: Any) -> None:
    """What Nova's schemas say before the server is looked for."""
    match name:
        case "reboot":
            kind = check_members("reboot", arguments, known={"type"}, required=("type",))["type"]
            if kind not in _REBOOT_TYPES:
                raise refuse("type", kind, f"{kind!r} is not one of {_REBOOT_TYPES}")
        case "os-getConsoleOutput":
            length = check_members(name, arguments, known={"length"}).get("length")
            if isinstance(length, str) and not _WHOLE_NUMBER.fullmatch(length):
                raise refuse("length", length, f"{length!r} does not match '^-?[0-9]+$'")
        case "createImage":
            check_members(name, arguments, known={"name", "metadata"}, required=("name",))
            check_name("name", arguments["name"])
            check_metadata(arguments.get("metadata", {}))


def _launched(server: Server, verb: str) -> None:
    """Some actions need an instance that ran once."""
    if server.launched is None:
        raise Refusal(409, f"Instance {server.id} is in an invalid state for '{verb}'")


def _begin(call: Call, server: Server, plan: str, action: str, **arguments: str) -> Answer:
    if call.behaviour:
        server = replace(server, behaviour=bend(server.behaviour, call.behaviour))
    operation = Operation(call.request_id, plan, arguments=arguments)
    call.cloud.life.begin(server, operation, action=action, user_id=call.caller.user.id)
    return _ACCEPTED


def _ready(server: Server) -> None:
    """Some actions need an instance on a host; offloaded and failed ones are "not ready"."""
    if server.host is None:
        raise Refusal(409, f"Instance {server.id} is not ready")


async def stop(call: Call, server: Server, _: Any) -> Answer:
    _ready(unlocked(call, server))
    in_state(server, "stop", "active", "error")
    return _begin(call, replace(server, task_state="powering-off"), "stop", "stop")


async def start(call: Call, server: Server, _: Any) -> Answer:
    _ready(unlocked(call, server))
    in_state(server, "start", "stopped")
    return _begin(call, replace(server, task_state="powering-on"), "start", "start")


async def reboot(call: Call, server: Server, arguments: Any) -> Answer:
    kind = str(arguments["type"]).upper()
    unlocked(call, server)
    in_state(server, "reboot", *(("active",) if kind == "SOFT" else ("active", "stopped", "error")))
    _launched(server, "reboot")
    return _begin(call, replace(server, task_state=_REBOOTS[kind]), "reboot", "reboot", type=kind)


async def shelve(call: Call, server: Server, _: Any) -> Answer:
    unlocked(call, server)
    in_state(server, "shelve", "active", "stopped")
    image = _new_image(call, server, f"{server.name}-shelved")
    return _begin(call, replace(server, task_state="shelving"), "shelve", "shelve", image_id=image.id)


async def offload(call: Call, server: Server, _: Any) -> Answer:
    unlocked(call, server)
    in_state(server, "shelveOffload", "shelved")
    return _begin(call, replace(server, task_state="shelving_offloading"), "offload", "shelveOffload")


async def unshelve(call: Call, server: Server, _: Any) -> Answer:
    unlocked(call, server)
    in_state(server, "unshelve", "shelved", "shelved_offloaded")
    return _begin(call, replace(server, task_state="unshelving"), "unshelve", "unshelve")


async def rebuild(call: Call, server: Server, arguments: Any) -> Answer:
    unlocked(call, server)
    asked = arguments if isinstance(arguments, dict) else {}
    try:
        image = image_of(call, asked.get("imageRef"))
    except Refusal:
        raise Refusal(400, "Cannot find image for rebuild") from None
    in_state(server, "rebuild", "active", "stopped", "error")
    _launched(server, "rebuild")
    changed = replace(
        server,
        task_state="rebuilding",
        image_id=image.id,
        name=str(asked.get("name", server.name)),
        metadata=dict(asked.get("metadata", server.metadata)),
        user_data=asked.get("user_data", server.user_data),
        fault=None,
    )
    _begin(call, changed, "rebuild", "rebuild")
    view = server_view(call.cloud, changed, call.version.minor, admin=call.caller.admin, alone=True)
    secret = {"adminPass": asked.get("adminPass") or secrets.token_urlsafe(9)}
    if call.at_least(57):
        secret["user_data"] = changed.user_data
    location = f"{call.cloud.settings.url}/compute/v2.1/servers/{server.id}"
    return Answer({"server": view | secret}, 202, {"Location": location})


async def create_image(call: Call, server: Server, arguments: Any) -> Answer:
    in_state(server, "createImage", "active", "stopped", "shelved", "shelved_offloaded")
    image = _new_image(call, server, arguments["name"], arguments.get("metadata"))
    _begin(call, replace(server, task_state="image_snapshot_pending"), "create_image", "createImage", image_id=image.id)
    if call.at_least(45):
        return Answer({"image_id": image.id}, 202)
    # Nova's own way to put this address together; clients take the last part for the id.
    location = {"Location": f"{call.cloud.settings.url}/image//images/{image.id}"}
    return Answer(None, 202, location, content_type="text/html; charset=UTF-8")


async def resize(call: Call, server: Server, arguments: Any) -> Answer:
    unlocked(call, server)
    flavor = flavor_of(call.cloud, arguments.get("flavorRef") if isinstance(arguments, dict) else None)
    if flavor.id == server.flavor.id:
        raise Refusal(400, "When resizing, instances must change flavor!")
    in_state(server, "resize", "active", "stopped")
    check_room(call.cloud, server.project_id, replace(flavor, vcpus=max(0, flavor.vcpus - server.flavor.vcpus)), 0)
    changed = replace(server, task_state="resize_prep", flavor=flavor, old_flavor=server.flavor)
    return _begin(call, changed, "resize", "resize")


async def confirm_resize(call: Call, server: Server, _: Any) -> Answer:
    _in_resize(server, "confirmResize")
    done = replace(server, vm_state="active", old_flavor=None, updated=call.cloud.clock.now())
    call.cloud.store.put(done)
    return Answer(status=204)


async def revert_resize(call: Call, server: Server, _: Any) -> Answer:
    _in_resize(server, "revertResize")
    changed = replace(server, task_state="resize_reverting", flavor=server.old_flavor or server.flavor)
    return _begin(call, changed, "revert", "revertResize")


async def lock(call: Call, server: Server, arguments: Any) -> Answer:
    reason = arguments.get("locked_reason") if isinstance(arguments, dict) and call.at_least(73) else None
    holder = "admin" if call.caller.admin else "owner"
    call.cloud.store.put(replace(server, locked_by=holder, locked_reason=reason))
    return _ACCEPTED


async def unlock(call: Call, server: Server, _: Any) -> Answer:
    if server.locked_by == "admin":
        admin_only(call, "os_compute_api:os-lock-server:unlock:unlock_override")
    call.cloud.store.put(replace(server, locked_by="", locked_reason=None))
    return _ACCEPTED


async def console_output(call: Call, server: Server, arguments: Any) -> Answer:
    _ready(server)
    length = arguments.get("length")
    if length in (0, "0"):
        return Answer({"output": ""})
    lines = None if length is None or int(length) < 0 else int(length)
    return Answer({"output": call.cloud.hypervisor.console(server.id, lines)})


async def add_group(call: Call, server: Server, arguments: Any) -> Answer:
    group_id, name = _group(call, server, arguments)
    for port in ports_of(call.cloud, server.id):
        call.cloud.store.put(replace(port, group_ids=tuple(dict.fromkeys((*port.group_ids, group_id)))))
    await _regroup(call, server, tuple(dict.fromkeys((*server.group_names, name))))
    return _ACCEPTED


async def remove_group(call: Call, server: Server, arguments: Any) -> Answer:
    group_id, name = _group(call, server, arguments)
    if name not in server.group_names:
        raise Refusal(404, f"Security group {name} not associated with the instance {server.id}")
    for port in ports_of(call.cloud, server.id):
        call.cloud.store.put(replace(port, group_ids=tuple(known for known in port.group_ids if known != group_id)))
    await _regroup(call, server, tuple(known for known in server.group_names if known != name))
    return _ACCEPTED


async def reset_state(call: Call, server: Server, arguments: Any) -> Answer:
    admin_only(call, "os_compute_api:os-admin-actions:reset_state")
    state = arguments.get("state") if isinstance(arguments, dict) else None
    if state not in ("active", "error"):
        raise Refusal(400, f"Invalid input for field/attribute state. Value: {state}.")
    call.cloud.store.put(replace(server, vm_state=state, task_state=None, operation=None))
    return _ACCEPTED


def _in_resize(server: Server, verb: str) -> None:
    if server.vm_state != "resized":
        raise Refusal(409, f"Cannot '{verb}' instance {server.id} while it is in vm_state {server.vm_state}")


def _group(call: Call, server: Server, arguments: Any) -> tuple[str, str]:
    name = str(arguments.get("name")) if isinstance(arguments, dict) else ""
    group = find_group(call.cloud, server.project_id, name)
    if group is None:
        raise Refusal(404, f"Unable to find security_group with name or id '{name}'")
    return group.id, group.name


async def _regroup(call: Call, server: Server, names: tuple[str, ...]) -> None:
    shown = interfaces(call.cloud, server.id) if server.interfaces else ()
    call.cloud.store.put(replace(server, group_names=names, interfaces=shown))
    await call.cloud.life.network_changed(server.id)


def _new_image(call: Call, server: Server, name: str, metadata: Any = None) -> Image:
    now = call.cloud.clock.now()
    source = call.cloud.store.get(Image, server.image_id)
    own = {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}
    properties = {**(source.properties if source else {}), **own}
    origin = {"base_image_ref": server.image_id, "image_type": "snapshot", "instance_uuid": server.id}
    image = Image(
        new_id(), name, server.project_id, "queued", "private", now, now,
        min_disk_gb=server.flavor.disk_gb,
        disk_format="raw",
        container_format="bare",
        properties=properties | origin,
    )  # fmt: skip
    return call.cloud.store.put(image)


_ACTIONS: dict[str, Action] = {
    "os-stop": stop,
    "os-start": start,
    "reboot": reboot,
    "shelve": shelve,
    "shelveOffload": offload,
    "unshelve": unshelve,
    "rebuild": rebuild,
    "createImage": create_image,
    "resize": resize,
    "confirmResize": confirm_resize,
    "revertResize": revert_resize,
    "lock": lock,
    "unlock": unlock,
    "os-getConsoleOutput": console_output,
    "addSecurityGroup": add_group,
    "removeSecurityGroup": remove_group,
    "os-resetState": reset_state,
}

ROUTES = (Route("POST", "/v2.1/servers/{server_id}/action", "servers.action", act),)
