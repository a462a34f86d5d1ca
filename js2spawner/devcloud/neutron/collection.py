"""What all of Neutron's lists have in common: filters by any member, fields, order and pages.

Neutron API reference, "Filtering and Column Selection", "Sorting", "Pagination".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from js2spawner.devcloud.calls import Answer, Call, Handler, Route
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import FloatingIp, Network, Port, SecurityGroup, Subnet

_CONTROL = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"}
_TAGGED: Mapping[str, tuple[type[Network | Subnet | Port | SecurityGroup | FloatingIp], str]] = {
    "networks": (Network, "Network"),
    "subnets": (Subnet, "Subnet"),
    "ports": (Port, "Port"),
    "security-groups": (SecurityGroup, "SecurityGroup"),
    "floatingips": (FloatingIp, "FloatingIP"),
}


class Owned(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def project_id(self) -> str: ...


O = TypeVar("O", bound=Owned)  # noqa: E741


def visible(call: Call, kind: type[O]) -> list[O]:
    """What the caller may see of a class: its project's, or everything for an admin."""
    return [
        record for record in call.cloud.store.all(kind) if call.caller.admin or record.project_id == call.project_id
    ]


def count(cloud: DevCloud, kind: type[O], project_id: str) -> int:
    return sum(1 for record in cloud.store.all(kind) if record.project_id == project_id)


def check_quota(call: Call, resource: str, kind: type[O]) -> None:
    """409 OverQuota when the project may not have one more."""
    if call.cloud.over(call.project_id, f"network.{resource}", count(call.cloud, kind, call.project_id) + 1):
        raise Refusal(409, f"Quota exceeded for resources: ['{resource}'].", kind="OverQuota")


def page(call: Call, name: str, views: Iterable[Mapping[str, Any]]) -> Answer:
    """The list of a collection, filtered and cut as the query asks."""
    found = [view for view in views if _fits(view, call)]
    for key in reversed(call.query.getall("sort_key", [])):
        down = call.query.get("sort_dir", "asc") == "desc"
        found.sort(key=lambda view: str(view.get(key)), reverse=down)
    found, next_marker = _cut(found, call)
    fields = call.query.getall("fields", [])
    if fields:
        found = [{key: view[key] for key in fields if key in view} for view in found]
    body: dict[str, Any] = {name: found}
    if next_marker:
        query = {**{key: value for key, value in call.query.items() if key != "marker"}, "marker": next_marker}
        text = "&".join(f"{key}={value}" for key, value in query.items())
        body[f"{name}_links"] = [{"rel": "next", "href": f"{call.cloud.settings.url}{call.path}?{text}"}]
    return Answer(body)


def tag_routes() -> tuple[Route, ...]:
    """PUT, GET and DELETE of …/{id}/tags and of single tags, for every class that has them."""
    routes: list[Route] = []
    for collection, (kind, title) in _TAGGED.items():
        base = f"/v2.0/{collection}/{{id}}/tags"
        routes += [
            Route("GET", base, f"{collection}.tags", _get_tags(kind, title)),
            Route("PUT", base, f"{collection}.tags", _put_tags(kind, title)),
            Route("DELETE", base, f"{collection}.tags", _delete_tags(kind, title)),
            Route("PUT", f"{base}/{{tag}}", f"{collection}.tags", _put_tag(kind, title)),
            Route("DELETE", f"{base}/{{tag}}", f"{collection}.tags", _delete_tag(kind, title)),
        ]
    return tuple(routes)


Tagged = Network | Subnet | Port | SecurityGroup | FloatingIp


def _tagged(call: Call, kind: type[Tagged], title: str) -> Tagged:
    record = call.cloud.store.get(kind, call.names["id"])
    if record is None or not (call.caller.admin or record.project_id == call.project_id):
        raise Refusal(404, f"{title} {call.names['id']} could not be found.", kind=f"{title}NotFound")
    return record


def _get_tags(kind: type[Tagged], title: str) -> Handler:
    async def handle(call: Call) -> Answer:
        return Answer({"tags": list(_tagged(call, kind, title).tags)})

    return handle


def _put_tags(kind: type[Tagged], title: str) -> Handler:
    async def handle(call: Call) -> Answer:
        tags = call.body.get("tags") if isinstance(call.body, dict) else None
        if not isinstance(tags, list) or not all(isinstance(tag, str) and len(tag) <= 255 for tag in tags):
            raise Refusal(400, "Invalid tags body", kind="InvalidInput")
        call.cloud.store.put(replace(_tagged(call, kind, title), tags=tuple(sorted(set(tags)))))
        return Answer({"tags": sorted(set(tags))})

    return handle


def _delete_tags(kind: type[Tagged], title: str) -> Handler:
    async def handle(call: Call) -> Answer:
        call.cloud.store.put(replace(_tagged(call, kind, title), tags=()))
        return Answer(status=204)

    return handle


def _put_tag(kind: type[Tagged], title: str) -> Handler:
    async def handle(call: Call) -> Answer:
        record = _tagged(call, kind, title)
        call.cloud.store.put(replace(record, tags=tuple(sorted({*record.tags, call.names["tag"]}))))
        return Answer(status=201)

    return handle


def _delete_tag(kind: type[Tagged], title: str) -> Handler:
    async def handle(call: Call) -> Answer:
        record, tag = _tagged(call, kind, title), call.names["tag"]
        if tag not in record.tags:
            raise Refusal(404, f"Tag {tag} could not be found.", kind="TagNotFound")
        call.cloud.store.put(replace(record, tags=tuple(known for known in record.tags if known != tag)))
        return Answer(status=204)

    return handle


def _fits(view: Mapping[str, Any], call: Call) -> bool:
    for key in set(call.query) - _CONTROL:
        wanted = call.query.getall(key)
        if key in ("tags", "tags-any"):
            asked = {tag for text in wanted for tag in text.split(",")}
            held = set(view.get("tags", ()))
            if not (asked <= held if key == "tags" else asked & held):
                return False
        elif key == "fixed_ips":
            if not any(_fixed_ip_fits(view, text) for text in wanted):
                return False
        elif key in view and not any(_same(view[key], text) for text in wanted):
            return False
    return True


def _same(value: object, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() in (("true", "1") if value else ("false", "0"))
    return text == ("" if value is None else str(value))


def _fixed_ip_fits(view: Mapping[str, Any], text: str) -> bool:
    key, _, wanted = text.partition("=")
    return any(fixed.get(key) == wanted for fixed in view.get("fixed_ips", ()))


def _cut(views: list[Mapping[str, Any]], call: Call) -> tuple[list[Mapping[str, Any]], str | None]:
    marker = call.query.get("marker")
    if marker:
        places = [place for place, view in enumerate(views) if view["id"] == marker]
        if not places:
            raise Refusal(400, f"Invalid input for operation: marker {marker} not found.", kind="InvalidInput")
        views = views[places[0] + 1 :]
    text = call.query.get("limit", "")
    if not text:
        return views, None
    if not text.isdecimal():
        raise Refusal(400, f"Bad limit value '{text}'.", kind="BadRequest")
    size = int(text)
    if not size or len(views) <= size:
        return views, None
    return views[:size], str(views[size - 1]["id"])
