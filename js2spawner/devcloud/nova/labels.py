"""A server's tags and metadata."""

from __future__ import annotations

from dataclasses import replace

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.nova.found import in_state, mapped_server_of, server_of, unlocked
from js2spawner.devcloud.nova.schema import MAX_TAGS, check_metadata, check_tags, wrong_with_tag
from js2spawner.devcloud.records import Server

# Labels are changed where a machine is or was; a failed, an offloaded and an unfinished server keep theirs.
_CHANGEABLE = ("active", "stopped")
_TAG_POLICY = "os_compute_api:os-server-tags"


async def list_tags(call: Call) -> Answer:
    return Answer({"tags": sorted(_tagged(call, "index").tags)})


async def replace_tags(call: Call) -> Answer:
    if not isinstance(call.body, dict) or "tags" not in call.body:
        raise Refusal(400, "'tags' is a required property")
    tags = call.body["tags"]
    check_tags(tags)
    changed = _put_tags(call, _tagged(call, "update_all"), dict.fromkeys(tags), "update tags")
    return Answer({"tags": sorted(changed.tags)})


async def delete_tags(call: Call) -> Answer:
    _put_tags(call, _tagged(call, "delete_all"), {}, "delete tags")
    return Answer(status=204)


async def check_has_tag(call: Call) -> Answer:
    server, tag = _tagged(call, "show"), call.names["tag"]
    if tag not in server.tags:
        raise Refusal(404, f"Server {server.id} has no tag '{tag}'")
    return Answer(status=204)


async def add_tag(call: Call) -> Answer:
    server, tag = _tagged(call, "update"), call.names["tag"]
    in_state(server, "update tag", *_CHANGEABLE, task_free=False)
    if why := wrong_with_tag(tag):
        text = "It must be a non empty string without characters '/' and ','. Validation error message:"
        raise Refusal(400, f"Tag '{tag}' is invalid. {text} {why}")
    if tag in server.tags:
        return Answer(status=204, content_type="text/html; charset=UTF-8")
    if len(server.tags) >= MAX_TAGS:
        raise Refusal(400, f"The number of tags exceeded the per-server limit {MAX_TAGS}")
    _put_tags(call, server, dict.fromkeys((*server.tags, tag)), "update tag")
    location = f"{call.cloud.settings.url}/compute/v2.1/servers/{server.id}/tags/{tag}"
    return Answer(status=201, headers={"Location": location}, content_type="text/html; charset=UTF-8")


async def delete_tag(call: Call) -> Answer:
    server, tag = _tagged(call, "delete"), call.names["tag"]
    in_state(server, "delete tag", *_CHANGEABLE, task_free=False)
    if tag not in server.tags:
        raise Refusal(404, f"Instance {server.id} has no tag '{tag}'")
    _put_tags(call, server, dict.fromkeys(known for known in server.tags if known != tag), "delete tag")
    return Answer(status=204)


async def show_metadata(call: Call) -> Answer:
    return Answer({"metadata": dict(server_of(call).metadata)})


async def replace_metadata(call: Call) -> Answer:
    metadata = call.member("metadata")
    return Answer({"metadata": dict(_put_metadata(call, metadata, "update metadata").metadata)})


async def update_metadata(call: Call) -> Answer:
    changed = call.member("metadata")
    check_metadata(changed)
    changed = {**server_of(call).metadata, **changed}
    return Answer({"metadata": dict(_put_metadata(call, changed, "update metadata").metadata)})


async def show_metadata_item(call: Call) -> Answer:
    key = call.names["key"]
    return Answer({"meta": {key: _item(server_of(call), key)}})


async def set_metadata_item(call: Call) -> Answer:
    key, asked = call.names["key"], call.member("meta")
    if list(asked) != [key]:
        raise Refusal(400, "Request body and URI mismatch")
    _put_metadata(call, {**server_of(call).metadata, **asked}, "update metadata")
    return Answer({"meta": asked})


async def delete_metadata_item(call: Call) -> Answer:
    server, key = server_of(call), call.names["key"]
    _item(server, key)
    rest = {name: value for name, value in server.metadata.items() if name != key}
    _put_metadata(call, rest, "delete metadata")
    return Answer(status=204)


def _item(server: Server, key: str) -> str:
    if key not in server.metadata:
        raise Refusal(404, "Metadata item was not found")
    return server.metadata[key]


def _tagged(call: Call, doing: str) -> Server:
    """The server whose tags are meant. Here policy speaks first, so that another project's is 403 and not 404."""
    server = call.cloud.store.get(Server, call.names["server_id"])
    if server is not None and server.project_id != call.project_id and not call.caller.admin:
        raise Refusal(403, f"Policy doesn't allow {_TAG_POLICY}:{doing} to be performed.")
    return mapped_server_of(call)


def _put_tags(call: Call, server: Server, tags: dict[str, None], doing: str) -> Server:
    in_state(server, doing, *_CHANGEABLE, task_free=False)
    return call.cloud.store.put(replace(server, tags=tuple(tags), updated=call.cloud.clock.now()))


def _put_metadata(call: Call, metadata: dict[str, str], doing: str) -> Server:
    check_metadata(metadata)
    server = unlocked(call, server_of(call))
    limit = call.cloud.limit(call.project_id, "compute.metadata_items")
    if 0 <= limit < len(metadata):
        raise Refusal(403, f"Maximum number of metadata items exceeds {limit}")
    in_state(server, doing, *_CHANGEABLE, task_free=False)
    return call.cloud.store.put(replace(server, metadata=metadata, updated=call.cloud.clock.now()))


_TAGS = "/v2.1/servers/{server_id}/tags"
_METADATA = "/v2.1/servers/{server_id}/metadata"
ROUTES = (
    Route("GET", _TAGS, "tags.list", list_tags, since=26),
    Route("PUT", _TAGS, "tags.replace", replace_tags, since=26),
    Route("DELETE", _TAGS, "tags.clear", delete_tags, since=26),
    Route("GET", f"{_TAGS}/{{tag}}", "tags.check", check_has_tag, since=26),
    Route("PUT", f"{_TAGS}/{{tag}}", "tags.add", add_tag, since=26),
    Route("DELETE", f"{_TAGS}/{{tag}}", "tags.remove", delete_tag, since=26),
    Route("GET", _METADATA, "metadata.show", show_metadata),
    Route("PUT", _METADATA, "metadata.replace", replace_metadata),
    Route("POST", _METADATA, "metadata.update", update_metadata),
    Route("GET", f"{_METADATA}/{{key}}", "metadata.show", show_metadata_item),
    Route("PUT", f"{_METADATA}/{{key}}", "metadata.update", set_metadata_item),
    Route("DELETE", f"{_METADATA}/{{key}}", "metadata.remove", delete_metadata_item),
)
