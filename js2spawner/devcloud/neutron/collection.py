"""What all of Neutron's lists have in common: filters by any member, fields, order and pages.

Neutron API reference, "Filtering and Column Selection", "Sorting", "Pagination".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from js2spawner.devcloud.calls import NOTHING, Answer, Call, Handler, Route
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.neutron.attributes import check_filters, check_sorting
from js2spawner.devcloud.records import FloatingIp, Network, Port, SecurityGroup, Subnet

_TAG_AT_MOST = 255
_CONTROL = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"}
_TAGGED: Mapping[str, tuple[type[Network | Subnet | Port | SecurityGroup | FloatingIp], str]] = {
    "networks": (Network, "Network"),
    "subnets": (Subnet, "Subnet"),
    "ports": (Port, "Port"),
    "security-groups": (SecurityGroup, "SecurityGroup"),
    "floatingips": (FloatingIp, "FloatingIP"),
}


_TITLES = {collection.replace("-", "_"): title for collection, (_, title) in _TAGGED.items()} | {
    "security_group_rules": "SecurityGroupRule"
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
    check_filters(set(call.query) - _CONTROL, name)
    keys, directions = call.query.getall("sort_key", []), call.query.getall("sort_dir", [])
    check_sorting(keys, directions, name)
    found = [view for view in views if _fits(view, call)]
    for key, direction in reversed(list(zip(keys, directions, strict=True))):
        found.sort(key=itemgetter(key), reverse=direction == "desc")
    found, links = _cut(found, call, name)
    fields = call.query.getall("fields", [])
    if fields:
        found = [{key: view[key] for key in fields if key in view} for view in found]
    return Answer({name: found} | ({f"{name}_links": links} if links else {}))


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
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise Refusal(400, "Invalid tags body", kind="InvalidInput")
        for tag in tags:
            if len(tag) > _TAG_AT_MOST:
                text = f"Invalid input for operation: '{tag}' exceeds maximum length of {_TAG_AT_MOST}."
                raise Refusal(400, text, kind="InvalidInput")
        call.cloud.store.put(replace(_tagged(call, kind, title), tags=tuple(sorted(set(tags)))))
        return Answer({"tags": sorted(set(tags))})

    return handle


def _delete_tags(kind: type[Tagged], title: str) -> Handler:
    async def handle(call: Call) -> Answer:
        call.cloud.store.put(replace(_tagged(call, kind, title), tags=()))
        return NOTHING

    return handle


def _put_tag(kind: type[Tagged], title: str) -> Handler:
    async def handle(call: Call) -> Answer:
        record = _tagged(call, kind, title)
        call.cloud.store.put(replace(record, tags=tuple(sorted({*record.tags, call.names["tag"]}))))
        return Answer(b"null", 201)

    return handle


def _delete_tag(kind: type[Tagged], title: str) -> Handler:
    async def handle(call: Call) -> Answer:
        record, tag = _tagged(call, kind, title), call.names["tag"]
        if tag not in record.tags:
            raise Refusal(404, f"Tag {tag} could not be found.", kind="TagNotFound")
        call.cloud.store.put(replace(record, tags=tuple(known for known in record.tags if known != tag)))
        return NOTHING

    return handle


def _fits(view: Mapping[str, Any], call: Call) -> bool:
    for key in set(call.query) - _CONTROL:
        wanted = call.query.getall(key)
        if key.removeprefix("not-") in ("tags", "tags-any"):
            asked = {tag for text in wanted for tag in text.split(",")}
            held = set(view.get("tags", ()))
            fits = asked <= held if key.endswith("tags") else bool(asked & held)
            if fits is key.startswith("not-"):
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


def _cut(views: list[Mapping[str, Any]], call: Call, name: str) -> tuple[list[Mapping[str, Any]], list[dict[str, str]]]:
    """A page of a list, and the links to the pages beside it."""
    size = _page_size(call.query.get("limit", ""))
    marker, ids = call.query.get("marker"), [view["id"] for view in views]
    if marker and marker not in ids:
        title = _TITLES[name]
        raise Refusal(404, f"{title} {marker} could not be found.", kind=f"{title}NotFound")
    rest = views[ids.index(marker) + 1 :] if marker else views
    if not size:
        return rest, []
    found = rest[:size]
    links = []
    if len(rest) > size:
        links.append(_link(call, "next", marker=found[-1]["id"]))
    if found:
        links.append(_link(call, "previous", marker=found[0]["id"], page_reverse="True"))
    return found, links


def _page_size(text: str) -> int:
    """Zero is no limit."""
    if text and not text.isdecimal():
        reason = f"Limit must be an integer 0 or greater and not '{text}'"
        raise Refusal(400, f"Bad limit request: {reason}.", kind="BadRequest")
    return int(text or 0)


def _link(call: Call, relation: str, **beside: str) -> dict[str, str]:
    kept = [(key, value) for key, value in call.query.items() if key not in ("marker", "page_reverse")]
    query = "&".join(f"{key}={value}" for key, value in (*kept, *beside.items()))
    return {"rel": relation, "href": f"{call.cloud.settings.url}{call.path}?{query}"}
