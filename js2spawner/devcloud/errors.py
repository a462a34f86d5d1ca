"""How the services say no: one exception, and each service's own way to write it down."""

from __future__ import annotations

import json
from html import escape
from http import HTTPStatus
from pathlib import Path
from string import Template

_ERROR_PAGE = Template((Path(__file__).parent / "data" / "error_page.html").read_text(encoding="utf-8"))
PAGE = "page"
"""A `kind`: Nova answers with a page of the web framework, because the request reached none of its own handlers."""
_GLANCE_KNOWS_NOBODY = (
    "This server could not verify that you are authorized to access the document you requested. Either you supplied "
    "the wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials "
    "required."
)
HTML = "text/html; charset=UTF-8"
"""What the web frameworks of Glance, Cinder and Nova also call a body that is none."""

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
    if refusal.status == HTTPStatus.UNAUTHORIZED and service == "image":
        # Glance lets keystonemiddleware pass everybody, and says no itself.
        return HTML, _page(Refusal(refusal.status, _GLANCE_KNOWS_NOBODY))
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
            return HTML, _page(refusal)
        case "compute" if refusal.kind == PAGE:
            return HTML, _page(refusal)
        case _:
            key = _COMPUTE_KEYS.get(refusal.status, "computeFault")
            again = {"retryAfter": "0"} if is_over_limit(service, refusal) else {}
            body = {key: {"code": refusal.status, "message": refusal.message, **again}}
            kind = "application/json; charset=UTF-8" if service == "compute" else "application/json"
            return kind, json.dumps(body)


def is_over_limit(service: str, refusal: Refusal) -> bool:
    """Cinder and Manila say no to what is over a quota in the words for too many requests."""
    return service in ("volume", "share") and refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def _page(refusal: Refusal) -> str:
    """As WebOb writes it, for Glance always and for Nova now and then: the first line, and what follows it."""
    title = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    explanation, _, detail = refusal.message.partition("\n")
    return _ERROR_PAGE.substitute(title=escape(title), message=escape(explanation), detail=escape(detail))
