"""Between HTTP and the services: what happens to every call, in the order it happens on a real cloud.

A load balancer comes first (faults, latency), then keystonemiddleware (the token), then the service's own wrapper
(microversion), then the handler. An answer leaves when all it says is on disk.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from js2spawner.devcloud.calls import Answer, Call, Identity, Route, Service, Version
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal, written
from js2spawner.devcloud.faults import Effect, Subject
from js2spawner.devcloud.microversions import Unsupported, asked_version
from js2spawner.devcloud.records import Behaviour, Server
from js2spawner.devcloud.tokens import identify

log = logging.getLogger(__name__)

_UNEXPECTED = "The server has either erred or is incapable of performing the requested operation."
_NOT_FOUND = "The resource could not be found."


def routes(cloud: DevCloud, service: Service) -> list[web.RouteDef]:
    """A service's routes as aiohttp's, with a 404 in the service's own words for every other path below its prefix."""

    async def nothing_here(call: Call) -> Answer:  # noqa: ARG001
        raise Refusal(404, _NOT_FOUND)

    last = Route("*", "/{rest:.*}", "unknown", nothing_here, open=True, stream=True)
    return [
        web.route(route.method, service.prefix + route.path, _handler(cloud, service, route))
        for route in (*service.routes, last)
    ]


def _handler(cloud: DevCloud, service: Service, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        request_id = f"req-{uuid.uuid4()}"
        version = service.lowest or Version(0, 0)
        try:
            body = None if route.stream else await _body(request)
            subject = _subject(cloud, service, route, request, body)
            operation = subject.operation
            cloud.calls[operation] += 1
            effects = cloud.faults.strike(subject)
            await cloud.clock.sleep(
                cloud.latencies.call_s(operation, cloud.random) + sum(effect.delay_s for effect in effects)
            )
            if instead := _instead(request, effects, done=False):
                return instead
            version = asked_version(service, request.headers)
            _check_known(route, version)
            identity = None if route.open else identify(cloud, request.headers.get("X-Auth-Token", ""))
            call = _call(cloud, request, body, version, request_id, effects, identity)
            answer = await route.handler(call)
            response = _response(answer)
        except Refusal as refusal:
            response = _refused(service, refusal, cloud)
        except Unsupported as refused:
            version = refused.version
            response = _refused(service, Refusal(406, str(refused)), cloud)
        except Exception:
            log.exception("%s %s failed (%s)", request.method, request.path, request_id)
            response = _refused(service, Refusal(500, _UNEXPECTED), cloud)
        else:
            await cloud.store.flush()
            if instead := _instead(request, effects, done=True):
                return instead
        response.headers.update(_headers(service, version, request_id))
        return response

    return handle


def _check_known(route: Route, version: Version) -> None:
    if version.minor < route.since:
        raise Refusal(404, _NOT_FOUND)


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as problem:
        raise Refusal(400, "Malformed request body") from problem


def _operation(route: Route, body: Any) -> str:
    """`servers.action` is known by the action itself, such as `servers.shelve`."""
    if route.operation.endswith(".action") and isinstance(body, dict) and body:
        return route.operation.removesuffix("action") + str(next(iter(body)))
    return route.operation


def _subject(cloud: DevCloud, service: Service, route: Route, request: web.Request, body: Any) -> Subject:
    operation = f"{service.name}.{_operation(route, body)}"
    return Subject(service.name, operation, request.method, request.path, _server_name(cloud, request.match_info, body))


def _server_name(cloud: DevCloud, names: Mapping[str, str], body: Any) -> str:
    if "server_id" in names:
        server = cloud.store.get(Server, names["server_id"])
        return server.name if server else ""
    asked = body.get("server") if isinstance(body, dict) else None
    return str(asked.get("name", "")) if isinstance(asked, dict) else ""


def _call(
    cloud: DevCloud,
    request: web.Request,
    body: Any,
    version: Version,
    request_id: str,
    effects: list[Effect],
    identity: Identity | None,
) -> Call:
    return Call(
        cloud=cloud,
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        names=request.match_info,
        body=body,
        version=version,
        request_id=request_id,
        behaviour=_bent(effects),
        stream=request.content,
        identity=identity,
    )


def _bent(effects: list[Effect]) -> Behaviour | None:
    return next((effect.behaviour for effect in effects if effect.behaviour), None)


def _instead(request: web.Request, effects: list[Effect], *, done: bool) -> web.Response | None:
    """The scripted answer that takes the place of the real one, before or after the call was `done`."""
    for effect in effects:
        if effect.lose == ("after" if done else "before"):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)  # nobody is left to read it
        if effect.status is not None and effect.done == done:
            headers = {"Content-Type": "text/html; charset=UTF-8", **dict(effect.headers)}
            if effect.body is not None and effect.body.startswith(("{", "[")):
                headers["Content-Type"] = dict(effect.headers).get("Content-Type", "application/json")
            return web.Response(status=effect.status, text=effect.body or "", headers=headers)
    return None


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        raw = b""
    elif isinstance(answer.body, bytes):
        raw = answer.body
    else:
        raw = json.dumps(answer.body).encode()
    return web.Response(body=raw, status=answer.status, headers={"Content-Type": answer.content_type, **answer.headers})


def _refused(service: Service, refusal: Refusal, cloud: DevCloud) -> web.Response:
    content_type, text = written(service.name, refusal)
    response = web.Response(status=refusal.status, body=text.encode(), headers={"Content-Type": content_type})
    if refusal.status == 401:
        response.headers["Www-Authenticate"] = f'Keystone uri="{cloud.settings.url}/identity/v3"'
    return response


def _headers(service: Service, version: Version, request_id: str) -> dict[str, str]:
    headers = {"X-Openstack-Request-Id": request_id}
    match service.name:
        case "identity":
            headers["Vary"] = "X-Auth-Token"
        case "compute":
            headers["X-Compute-Request-Id"] = request_id
            headers["Openstack-Api-Version"] = f"compute {version}"
            headers["X-Openstack-Nova-Api-Version"] = str(version)
            headers["Vary"] = "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
        case "volume":
            headers["X-Compute-Request-Id"] = request_id
            headers["Openstack-Api-Version"] = f"volume {version}"
    return headers
