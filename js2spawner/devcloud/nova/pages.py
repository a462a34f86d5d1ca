"""Which servers a list shows: filters, order and pages, as the query asks (Nova API reference, "List Servers")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.nova.found import admin_only
from js2spawner.devcloud.nova.query import check_query, instant, is_true
from js2spawner.devcloud.nova.status import status_of
from js2spawner.devcloud.records import Server

Filter = Callable[[Server], bool]
MAX_PAGE = 1000
_SORT_KEYS: Mapping[str, Callable[[Server], Any]] = {
    "created_at": lambda server: server.created,
    "updated_at": lambda server: server.updated,
    "display_name": lambda server: server.name,
    "name": lambda server: server.name,
    "uuid": lambda server: server.id,
    "vm_state": lambda server: server.vm_state,
}


def page(call: Call) -> tuple[list[Server], list[dict[str, str]]]:
    """The servers a list shows, and the link to the next page when there is one."""
    check_query(call)
    servers = _sorted(call, _matching(call))
    marker = call.query.get("marker")
    if marker:
        places = [place for place, server in enumerate(servers) if server.id == marker]
        if not places:
            raise Refusal(400, f"marker [{marker}] not found")
        servers = servers[places[0] + 1 :]
    size = _limit(call)
    cut = servers[:size]
    if not cut or len(cut) < size:
        return cut, []
    # A page that is full names a next one, even if there is nothing on it.
    href = f"{call.cloud.settings.url}{call.path}?{urlencode({**call.query, 'marker': cut[-1].id})}"
    return cut, [{"rel": "next", "href": href}]


def _limit(call: Call) -> int:
    text = call.query.get("limit", "")
    if not text:
        return MAX_PAGE
    return min(int(text), MAX_PAGE)


def _sorted(call: Call, servers: list[Server]) -> list[Server]:
    keys = call.query.getall("sort_key", ["created_at"])
    directions = call.query.getall("sort_dir", ["desc"])
    for place, key in reversed(list(enumerate(keys))):
        if key not in _SORT_KEYS:
            continue  # what devcloud has nothing of, such as progress
        down = (directions[place] if place < len(directions) else directions[-1]) == "desc"
        servers = sorted(servers, key=_SORT_KEYS[key], reverse=down)
    return servers


def _matching(call: Call) -> list[Server]:
    project_id = (call.query.get("project_id") or None) if _everyone(call) else call.project_id
    only_deleted = call.caller.admin and is_true(call.query.get("deleted", "0"))
    pool = [
        server
        for server in call.cloud.store.all(Server)
        if project_id in (None, server.project_id)
        and ((server.vm_state == "deleted") == only_deleted or "changes-since" in call.query)
    ]
    for fits in _filters(call):
        pool = [server for server in pool if fits(server)]
    return pool


def _everyone(call: Call) -> bool:
    """Whether the servers of all projects are asked for, which only an admin may."""
    if not is_true(call.query.get("all_tenants", "0") or "1"):
        return False
    detail = "detail" if call.path.endswith("/detail") else "index"
    admin_only(call, f"os_compute_api:servers:{detail}:get_all_tenants")
    return True


def _filters(call: Call) -> list[Filter]:
    """One predicate for each filter of the query. Members may filter by tags but not by metadata."""
    query = call.query
    filters: list[Filter] = []
    if "name" in query:
        pattern = _pattern(query["name"])
        filters.append(lambda server: bool(pattern.search(server.name)))
    if "status" in query:
        wanted = {text.lower() for text in query.getall("status")}
        filters.append(lambda server: status_of(server.vm_state, server.task_state).lower() in wanted)
    if call.at_least(26):
        filters += _tag_filters(call)
    for key, of in _EQUAL.items():
        if key in query:
            filters.append(_equals(of, query[key]))
    if "uuid" in query and call.caller.admin:
        wanted_ids = set(query.getall("uuid"))
        filters.append(lambda server: server.id in wanted_ids)
    if "ip" in query:
        address = _pattern(query["ip"])
        filters.append(lambda server: any(address.search(known.address) for known in server.interfaces))
    if since := instant(query.get("changes-since", "")):
        filters.append(lambda server: server.updated >= since)
    return filters


_EQUAL: Mapping[str, Callable[[Server], Any]] = {
    "image": lambda server: server.image_id,
    "flavor": lambda server: server.flavor.id,
    "key_name": lambda server: server.key_name,
    "user_id": lambda server: server.user_id,
    "task_state": lambda server: server.task_state,
    "vm_state": lambda server: server.vm_state,
    "reservation_id": lambda server: server.reservation_id,
}


def _equals(of: Callable[[Server], Any], wanted: str) -> Filter:
    return lambda server: bool(of(server) == wanted)


def _tag_filters(call: Call) -> list[Filter]:
    def tags(key: str) -> set[str]:
        return {tag for tag in call.query.get(key, "").split(",") if tag}

    every, some, not_every, none = tags("tags"), tags("tags-any"), tags("not-tags"), tags("not-tags-any")
    filters: list[Filter] = []
    if every:
        filters.append(lambda server: every <= set(server.tags))
    if some:
        filters.append(lambda server: bool(some & set(server.tags)))
    if not_every:
        filters.append(lambda server: not not_every <= set(server.tags))
    if none:
        filters.append(lambda server: not none & set(server.tags))
    return filters


def _pattern(text: str) -> re.Pattern[str]:
    """Nova takes these filters as regular expressions of its database."""
    try:
        return re.compile(text[:255])
    except re.error:
        return re.compile(re.escape(text[:255]))
