"""Finding the server a call is about, and whether the call may change it."""

from __future__ import annotations

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import Server


def server_of(call: Call) -> Server:
    """The server in the path. Another project's, or one that is gone, is 404."""
    key = call.names["server_id"]
    server = call.cloud.store.get(Server, key)
    mine = server is not None and (server.project_id == call.project_id or call.caller.admin)
    if server is None or not mine or (server.terminated is not None and server.operation is None):
        raise Refusal(404, f"Instance {key} could not be found.")
    return server


def mapped_server_of(call: Call) -> Server:
    """The same where Nova looks for the server's cell first, and says so when it never heard of the server."""
    key = call.names["server_id"]
    if call.cloud.store.get(Server, key) is None:
        raise Refusal(404, f"Instance {key} has no mapping to a cell.")
    return server_of(call)


def unlocked(call: Call, server: Server) -> Server:
    """409 when somebody locked the server: the owner's own lock stops the owner too, and only an admin passes it."""
    if server.locked_by and not call.caller.admin:
        raise Refusal(409, f"Instance {server.id} is locked")
    return server


def admin_only(call: Call, policy: str) -> None:
    if not call.caller.admin:
        raise Refusal(403, f"Policy doesn't allow {policy} to be performed.")


def in_state(server: Server, verb: str, *vm_states: str, task_free: bool = True) -> None:
    """409 unless the server is in one of these vm_states and no task runs, in Nova's words."""
    if server.vm_state not in vm_states:
        raise Refusal(409, f"Cannot '{verb}' instance {server.id} while it is in vm_state {server.vm_state}")
    if task_free and server.task_state is not None:
        text = f"Cannot '{verb}' instance {server.id} while it is in task_state {server.task_state}"
        raise Refusal(409, text)
