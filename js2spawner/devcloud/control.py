"""The control API below /devcloud: faults, capacity, latencies, counts and reset, while the cloud runs.

Anybody on this machine may use it, except the instances themselves and web pages: a request from an instance's address,
with an Origin, or with a Host that is not this machine is refused.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from js2spawner.devcloud import spoiling
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.keystone import revoke_all
from js2spawner.devcloud.nova.status import status_of
from js2spawner.devcloud.records import AppCredential, Project, Server, Setup, Token, User
from js2spawner.devcloud.scheduler import used
from js2spawner.devcloud.script import CapacityText, LatenciesText, RulesText, RuleText, ScriptError, parse
from js2spawner.devcloud.seed import plant

_PEOPLE = (Setup, Project, User, AppCredential, Token)
Handler = Callable[[DevCloud, web.Request, Any], Awaitable[object]]


def routes(cloud: DevCloud, below: str) -> list[web.RouteDef]:
    table: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "", show),
        ("GET", "/faults", show_faults),
        ("PUT", "/faults", replace_faults),
        ("POST", "/faults", add_fault),
        ("DELETE", "/faults", clear_faults),
        ("DELETE", "/faults/{name}", remove_fault),
        ("GET", "/capacity", show_capacity),
        ("PUT", "/capacity", set_capacity),
        ("GET", "/hosts", spoiling.show_hosts),
        ("PUT", "/hosts", spoiling.set_hosts),
        ("PUT", "/volumes/{id}", spoiling.change_volume),
        ("DELETE", "/volumes/{id}", spoiling.lose_volume),
        ("GET", "/latencies", show_latencies),
        ("PUT", "/latencies", set_latencies),
        ("GET", "/calls", show_calls),
        ("DELETE", "/calls", forget_calls),
        ("POST", "/tokens/revoke", revoke_tokens),
        ("POST", "/reset", reset),
    )
    return [web.route(method, f"{below}{path}", guarded(cloud, handler)) for method, path, handler in table]


async def show(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    servers = [
        {
            "id": server.id,
            "name": server.name,
            "status": status_of(server.vm_state, server.task_state),
            "task_state": server.task_state,
            "flavor": server.flavor.name,
            "addresses": [interface.address for interface in server.interfaces],
            "machine_running": cloud.hypervisor.running(server.id),
        }
        for server in cloud.servers(None)
    ]
    return {
        "url": cloud.settings.url,
        "addresses": str(cloud.settings.addresses),
        "boot_seconds": cloud.settings.boot_seconds,
        "token_seconds": cloud.settings.token_seconds,
        "servers": servers,
    }


async def show_faults(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    return {
        "faults": [
            {
                "name": armed.rule.name,
                "matched": armed.matched,
                "struck": armed.struck,
                "rule": asdict(armed.rule),
            }
            for armed in cloud.faults.armed
        ]
    }


async def replace_faults(cloud: DevCloud, request: web.Request, body: Any) -> object:
    cloud.faults.replace(rule.made() for rule in parse(RulesText, body, where="faults").faults)
    return await show_faults(cloud, request, body)


async def add_fault(cloud: DevCloud, request: web.Request, body: Any) -> object:
    cloud.faults.add([parse(RuleText, body, where="fault").made()])
    return await show_faults(cloud, request, body)


async def clear_faults(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    cloud.faults.replace(())
    return {"faults": []}


async def remove_fault(cloud: DevCloud, request: web.Request, body: Any) -> object:
    name = request.match_info["name"]
    if not cloud.faults.remove(name):
        raise ScriptError(f"no fault is named {name}")
    return await show_faults(cloud, request, body)


async def show_capacity(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    servers = list(cloud.servers(None))
    return {
        "capacity": {
            flavor.name: {"fits": cloud.capacity.get(flavor.name, flavor.capacity), "used": used(flavor, servers)}
            for flavor in cloud.flavors.values()
        }
    }


async def set_capacity(cloud: DevCloud, request: web.Request, body: Any) -> object:
    wanted = parse(CapacityText, {"capacity": body}, where="capacity").capacity
    unknown = wanted.keys() - cloud.flavors.keys()
    if unknown:
        raise ScriptError(f"capacity: there is no flavor {', '.join(sorted(unknown))}")
    cloud.capacity.update(wanted)
    return await show_capacity(cloud, request, body)


async def show_latencies(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    return asdict(cloud.latencies)


async def set_latencies(cloud: DevCloud, request: web.Request, body: Any) -> object:
    cloud.latencies = parse(LatenciesText, body, where="latencies").over(cloud.latencies)
    return await show_latencies(cloud, request, body)


async def show_calls(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    return {"total": cloud.calls.total(), "calls": dict(sorted(cloud.calls.items()))}


async def forget_calls(cloud: DevCloud, request: web.Request, body: Any) -> object:
    cloud.calls.clear()
    return await show_calls(cloud, request, body)


async def revoke_tokens(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    return {"revoked": revoke_all(cloud)}


async def reset(cloud: DevCloud, request: web.Request, body: Any) -> object:
    """Back to the first state: no servers, no faults, the first images and networks. Credentials and tokens stay."""
    await cloud.life.close()
    for server in cloud.store.all(Server):
        await cloud.hypervisor.destroy(server.id)
    cloud.faults.replace(())
    cloud.capacity.clear()
    cloud.cards.clear()
    cloud.calls.clear()
    cloud.rendered.clear()
    cloud.store.clear(keep=_PEOPLE)
    plant(cloud)
    cloud.life.resume()
    return await show(cloud, request, body)


def guarded(cloud: DevCloud, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        if problem := _unwelcome(cloud, request):
            return web.json_response({"error": problem}, status=403)
        try:
            raw = await request.read()
            answer = await handler(cloud, request, json.loads(raw) if raw else None)
        except json.JSONDecodeError as problem:
            return web.json_response({"error": f"the body is not JSON: {problem}"}, status=400)
        except ScriptError as problem:
            return web.json_response({"error": str(problem)}, status=400)
        await cloud.store.flush()
        return web.json_response(answer)

    return handle


def _unwelcome(cloud: DevCloud, request: web.Request) -> str:
    if "Origin" in request.headers:
        return "web pages may not use the control API"
    if request.host.rpartition(":")[0] not in ("127.0.0.1", "localhost"):
        return "the control API answers to 127.0.0.1 and localhost only"
    if request.remote is None or any(ip_address(request.remote) in place.addresses for place in cloud.regions.values()):
        return "instances may not use the control API"
    return ""
