"""A server's tags and metadata."""

from __future__ import annotations

from dataclasses import replace

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.nova.found import in_state, server_of, unlocked
from js2spawner.devcloud.nova.schema import MAX_TAGS, check_metadata, check_tag, check_tags
from js2spawner.devcloud.records import Server


async def list_tags(call: Call) -> Answer:
    return Answer({"tags": sorted(server_of(call).tags)})


async def replace_tags(call: Call) -> Answer:
    server = server_of(call)
    tags = call.body.get("tags") if isinstance(call.body, dict) else None
    check_tags(tags)
    changed = _put_tags(call, server, dict.fromkeys(tags or ()))
    return Answer({"tags": sorted(changed.tags)})


async def delete_tags(call: Call) -> Answer:
    _put_tags(call, server_of(call), {})
    return Answer(status=204)


async def check_has_tag(call: Call) -> Answer:
    server = server_of(call)
    _has(server, call.names["tag"])
    return Answer(status=204)


async def add_tag(call: Call) -> Answer:
    server, tag = server_of(call), call.names["tag"]
    check_tag("tag", tag)
    if tag in server.tags:
        return Answer(status=204, content_type="text/html; charset=UTF-8")
    if len(server.tags) >= MAX_TAGS:
        raise Refusal(400, f"The number of tags exceeded the per-server limit {MAX_TAGS}")
    _put_tags(call, server, dict.fromkeys((*server.tags, tag)))
    location = f"{call.cloud.settings.url}/compute/v2.1/servers/{server.id}/tags/{tag}"
    return Answer(status=201, headers={"Location": location}, content_type="text/html; charset=UTF-8")


async def delete_tag(call: Call) -> Answer:
    server, tag = server_of(call), call.names["tag"]
    _has(server, tag)
    _put_tags(call, server, dict.fromkeys(known for known in server.tags if known != tag))
    return Answer(status=204)


async def show_metadata(call: Call) -> Answer:
    return Answer({"metadata": dict(server_of(call).metadata)})


async def replace_metadata(call: Call) -> Answer:
    metadata = call.member("metadata")
    return Answer({"metadata": dict(_put_metadata(call, metadata).metadata)})


async def update_metadata(call: Call) -> Answer:
    metadata = call.member("metadata")
    return Answer({"metadata": dict(_put_metadata(call, {**server_of(call).metadata, **metadata}).metadata)})


async def show_metadata_item(call: Call) -> Answer:
    key = call.names["key"]
    return Answer({"meta": {key: _item(server_of(call), key)}})


async def set_metadata_item(call: Call) -> Answer:
    key, asked = call.names["key"], call.member("meta")
    if list(asked) != [key]:
        raise Refusal(400, "Request body and URI mismatch")
    _put_metadata(call, {**server_of(call).metadata, **asked})
    return Answer({"meta": asked})


async def delete_metadata_item(call: Call) -> Answer:
    server, key = server_of(call), call.names["key"]
    _item(server, key)
    _put_metadata(call, {name: value for name, value in server.metadata.items() if name != key})
    return Answer(status=204)


def _has(server: Server, tag: str) -> None:
    if tag not in server.tags:
        raise Refusal(404, f"Instance {server.id} has no tag '{tag}'")


def _item(server: Server, key: str) -> str:
    if key not in server.metadata:
        raise Refusal(404, "Metadata item was not found")
    return server.metadata[key]


def _put_tags(call: Call, server: Server, tags: dict[str, None]) -> Server:
    in_state(server, "tags", "active", "stopped", "shelved", "shelved_offloaded", "building", "error", task_free=False)
    return call.cloud.store.put(replace(server, tags=tuple(tags), updated=call.cloud.clock.now()))


def _put_metadata(call: Call, metadata: dict[str, str]) -> Server:
    server = unlocked(call, server_of(call))
    check_metadata(metadata)
    limit = call.cloud.limit(call.project_id, "compute.metadata_items")
    if 0 <= limit < len(metadata):
        raise Refusal(403, f"Maximum number of metadata items exceeds {limit}")
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
