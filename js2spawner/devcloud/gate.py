"""Between HTTP and the services: what happens to every call, in the order it happens on a real cloud.

A load balancer comes first (faults, latency), then keystonemiddleware (the token), then the service's own wrapper
(microversion), then the handler. An answer leaves when all it says is on disk.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web

from js2spawner.devcloud.calls import Answer, Call, Identity, Route, Service, Version
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import PAGE, Refusal, is_over_limit, written
from js2spawner.devcloud.faults import Effect, Subject
from js2spawner.devcloud.microversions import Unsupported, asked_version
from js2spawner.devcloud.policy import check_role
from js2spawner.devcloud.records import Behaviour, Server
from js2spawner.devcloud.tokens import identify

log = logging.getLogger(__name__)

_UNEXPECTED = "The server has either erred or is incapable of performing the requested operation."
_NOT_FOUND = "The resource could not be found."
_UNAVAILABLE = "503 Service Unavailable: no server is available to handle this request."
_LOOK_EVERY_S = 0.2
_VERSION = "OpenStack-API-Version"
_MANILA_VERSION = "X-OpenStack-Manila-API-Version"
_MALFORMED = object()
_READ_BY_NOVA = ("application/json", "application/vnd.openstack.compute+json", "text/plain", "")


def routes(cloud: DevCloud, service: Service) -> list[web.RouteDef]:
    """A service's routes as aiohttp's, with a 404 in the service's own words for every other path below its prefix."""

    async def nothing_here(call: Call) -> Answer:  # noqa: ARG001
        raise Refusal(404, _NOT_FOUND, kind=PAGE if service.name == "compute" else "")

    is_open = service.name != "compute"
    last = Route("*", "/{rest:.*}", "unknown", nothing_here, open=is_open, stream=True, versioned=is_open)
    return [
        web.route(route.method, service.prefix + route.path, _handler(cloud, service, route))
        for route in (*service.routes, last)
    ]


def _handler(cloud: DevCloud, service: Service, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        request_id = f"req-{uuid.uuid4()}"
        version: Version | None = None  # of the answer: none where the request did not get that far
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
            if cloud.out and service.name != "identity":
                return await _out(cloud, request)
            token = request.headers.get("X-Auth-Token", "")
            identity = None if route.open else identify(cloud, token, by_keystone=service.name == "identity")
            if route.versioned:
                version = asked_version(service, request.headers)
                _check_known(service, route, version, request.headers)
            if identity is not None:
                check_role(service.name, operation.partition(".")[2], request.method, identity)
            _check_readable(body)
            call = _call(cloud, request, body, version or Version(0, 0), request_id, effects, identity)
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
        if route.versioned or not route.open:
            response.headers.update(_headers(service, response, version, request_id))
        return response

    return handle


async def _out(cloud: DevCloud, request: web.Request) -> web.Response:
    """What a region that is out of order has for an answer. Whoever still waits when it is back is turned away."""
    if cloud.out == "fail":
        return web.Response(status=503, text=_UNAVAILABLE, content_type="text/html")
    while cloud.out == "hang":
        await cloud.clock.sleep(_LOOK_EVERY_S)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


def _check_known(service: Service, route: Route, version: Version, headers: Mapping[str, str]) -> None:
    if version.minor < route.since:
        raise Refusal(404, _NOT_FOUND)
    sent = headers.get("Content-Type", "text/plain").partition(";")[0].strip()
    if service.name == "compute" and sent not in _READ_BY_NOVA:
        raise Refusal(415, "Unsupported Content-Type")


def _check_readable(body: Any) -> None:
    if body is _MALFORMED:
        raise Refusal(400, "Malformed request body")


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return _MALFORMED  # said later: faults come first, then the token and the microversion


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


def _response(answer: Answer) -> web.StreamResponse:
    given = {"Content-Type": answer.content_type, **answer.headers}
    headers = {name: text for name, text in given.items() if text}
    if isinstance(answer.body, Path):
        # Never as a whole: a disk has more bytes than this machine has memory.
        return web.FileResponse(answer.body, status=answer.status, headers=headers)
    if answer.body is None:
        raw = b""
    elif isinstance(answer.body, bytes):
        raw = answer.body
    else:
        raw = json.dumps(answer.body).encode()
    return web.Response(body=raw, status=answer.status, headers=headers)


def _refused(service: Service, refusal: Refusal, cloud: DevCloud) -> web.Response:
    content_type, text = written(service.name, refusal)
    response = web.Response(status=refusal.status, body=text.encode(), headers={"Content-Type": content_type})
    if is_over_limit(service.name, refusal):
        response.headers["Retry-After"] = "0"
    if refusal.status == 401:
        response.headers["Www-Authenticate"] = f'Keystone uri="{cloud.settings.identity_url}/identity/v3"'
    return response


def _headers(
    service: Service, response: web.StreamResponse, version: Version | None, request_id: str
) -> dict[str, str]:
    request = {"X-Openstack-Request-Id": request_id}
    refused = response.status == HTTPStatus.UNAUTHORIZED
    match service.name:
        case "identity":
            return {**request, "Vary": "X-Auth-Token"}
        case "compute":
            return {**request, "X-Compute-Request-Id": request_id, **_nova_version(version)}
        case "volume" if not refused:
            # Cinder adds the old name of this header to all that its own serializer wrote.
            old = {"X-Compute-Request-Id": request_id} if response.content_type == "application/json" else {}
            return {**request, **old, "Openstack-Api-Version": f"volume {version or service.lowest}", "Vary": _VERSION}
        case "share" if not refused:
            old = {"X-Compute-Request-Id": request_id}
            if version is None:
                return {**request, **old}
            return {**request, **old, _MANILA_VERSION: str(version), "Vary": _MANILA_VERSION}
        case "image" if refused:
            return {}
    return request


def _nova_version(version: Version | None) -> dict[str, str]:
    if version is None:
        return {}
    return {
        "Openstack-Api-Version": f"compute {version}",
        "X-Openstack-Nova-Api-Version": str(version),
        "Vary": f"{_VERSION}, X-OpenStack-Nova-API-Version",
    }
