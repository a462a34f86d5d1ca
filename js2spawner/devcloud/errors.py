"""How the services say no: one exception, and each service's own way to write it down."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from string import Template

_GLANCE_PAGE = Template((Path(__file__).parent / "data" / "glance_error.html").read_text(encoding="utf-8"))
_COMPUTE_KEYS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
_NEUTRON_KINDS = {400: "HTTPBadRequest", 403: "HTTPForbidden", 404: "HTTPNotFound", 405: "HTTPMethodNotAllowed"}


class Refusal(Exception):
    """A call that is answered with an error. `kind` is Neutron's name for it."""

    def __init__(self, status: int, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


def written(service: str, refusal: Refusal) -> tuple[str, str]:
    """Content type and body of a refusal, as the named service writes it."""
    if refusal.status == HTTPStatus.UNAUTHORIZED and service != "identity":
        # Not the service speaks here but keystonemiddleware in front of it, in its own words for all of them.
        error = {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}
        return "application/json", json.dumps({"error": error})
    match service:
        case "identity":
            title = HTTPStatus(refusal.status).phrase
            error = {"code": refusal.status, "message": refusal.message, "title": title}
            return "application/json", json.dumps({"error": error}, separators=(",", ":")) + "\n"
        case "network":
            kind = refusal.kind or _NEUTRON_KINDS.get(refusal.status, "HTTPInternalServerError")
            fault = {"type": kind, "message": refusal.message, "detail": ""}
            return "application/json", json.dumps({"NeutronError": fault})
        case "image":
            title = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
            page = _GLANCE_PAGE.substitute(title=_escaped(title), message=_escaped(refusal.message))
            return "text/html; charset=UTF-8", page
        case _:
            key = _COMPUTE_KEYS.get(refusal.status, "computeFault")
            body = {key: {"code": refusal.status, "message": refusal.message}}
            kind = "application/json; charset=UTF-8" if service == "compute" else "application/json"
            return kind, json.dumps(body)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
