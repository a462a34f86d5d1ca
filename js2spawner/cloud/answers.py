"""From an answer that says no to one error of the family in errors.py. Pure: status, headers and body in, a value out.

The texts are those of Nova 34, Neutron 29, Cinder 29, Glance 33 and Keystone 30 as recorded from running services
(tests/contract/answers/), and of their sources where a refusal could not be provoked.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .errors import (
    BadAnswer,
    BadFlavor,
    BadImage,
    BadKey,
    BadMicroversion,
    BadNetwork,
    BadRequest,
    BadSecurityGroup,
    BadZone,
    CloudError,
    Conflict,
    Forbidden,
    Gone,
    QuotaExceeded,
    ServerFault,
    SignInFailed,
    Throttled,
)
from .settings import DEFAULT_PAUSE_S, LONGEST_PAUSE_S

READ_AT_MOST = 64 * 1024
"""Bytes of an error body worth reading."""

_SAID_AT_MOST = 400

# What Nova says with 400 (and once with 409) when a create names something that is not there; first match wins.
_REFUSALS: tuple[tuple[re.Pattern[str], type[CloudError]], ...] = (
    (re.compile(r"Flavor \S+ could not be found|Flavor's (disk|memory) is too small|.{0,40}\bflavorRef\b"), BadFlavor),
    (re.compile(r"Can ?not find (requested )?image|Image \S+ (is|could not)\b|.{0,40}\bimageRef\b"), BadImage),
    (
        re.compile(
            r"(Network|Port|Port id|Subnet) \S+ could not be found|Multiple possible networks|.{0,60}requires a subnet"
            r"|.{0,40}\bnetworks\b"
        ),
        BadNetwork,
    ),
    (re.compile(r"Unable to find security_group|Security group \S+ (is )?not found"), BadSecurityGroup),
    (re.compile(r"Invalid key_name"), BadKey),
    (re.compile(r"The requested availability zone"), BadZone),
    # Nova, Cinder and Manila answer 400 where the state of a thing is in the way.
    (re.compile(r"(Invalid input received: )?Invalid (volume|snapshot|share):"), Conflict),
)
_QUOTAS = (
    re.compile(r"Quota exceeded for (?:resources: \[')?(?P<quota>[\w-]+)"),
    re.compile(
        r"Maximum number of (?P<quota>[\w-]+)(?: allowed \(\d+\))?"
        r"(?: either per project/user or share type(?: quota is)?)? exceeded"
    ),
    re.compile(r"exceeds allowed (?:project/user or share type )?(?P<quota>[\w-]+) quota"),
    re.compile(r"No more (?:fixed )?IP (?P<quota>addresses) available", re.IGNORECASE),
)
# A schema complaint repeats the value it complains about, and that may be a whole create with its user-data.
_REPEATED_VALUE = re.compile(r"(?s)^(Invalid input for field/attribute [\w.-]{1,80})\. Value: .*")
_WHY_REFUSED = re.compile(
    r"(is too long|is too short|is a required property|Additional properties are not allowed \([^()]{1,80}\))\.?$"
)
_TAG = re.compile(r"<[^<>]{0,200}>")
_REQUEST_ID = re.compile(r"req-[0-9a-f-]{1,60}")


@dataclass(frozen=True, slots=True)
class Complaint:
    """A service's own words, on one line. `kind` is its name for the trouble, empty when the body has none."""

    kind: str
    message: str


def error_from(service: str, status: int, headers: Mapping[str, str], body: bytes, *, now: datetime) -> CloudError:
    """The error an answer of this status means.

    Args:
        service: the service type asked, as the catalogue calls it: compute, image, network, block-storage,
            shared-file-system.
        status: anything but 2xx.
        headers: with names in any case if the mapping does not mind it.
        body: as much of it as was read.
        now: against which a Retry-After date is held.
    """
    said = complaint_from(body)
    request_id = request_id_from(headers)
    if quota := _quota_refused(service, status, said):
        return QuotaExceeded(said.message, quota=quota, status=status, request_id=request_id)
    if status == 429 or (status == 413 and "Retry-After" in headers):
        wait_s = retry_after_s(headers, now=now)
        wait_s = DEFAULT_PAUSE_S if wait_s is None else wait_s
        return Throttled(said.message, retry_after_s=wait_s, status=status, request_id=request_id)
    kind = _kind_of_refusal(service, status, said)
    return kind(said.message or f"HTTP {status} without a word.", status=status, request_id=request_id)


def quota_named(message: str) -> str:
    """The quota a message complains about ("instances"), or nothing."""
    return next((match["quota"] for pattern in _QUOTAS if (match := pattern.search(message))), "")


def _quota_refused(service: str, status: int, said: Complaint) -> str:
    if status not in (400, 403, 409, 413):
        return ""
    if service == "image" and status == 413:
        # Glance says so of the bytes, the images and the properties a project may have, in ever new words.
        return "images"
    return quota_named(said.message) or ("unnamed" if said.kind == "OverQuota" else "")


def _kind_of_refusal(service: str, status: int, said: Complaint) -> type[CloudError]:
    if status in (400, 409):
        fallback: type[CloudError] = BadRequest if status == 400 else Conflict
        return next((kind for pattern, kind in _REFUSALS if pattern.match(said.message)), fallback)
    if status == 404:
        return Gone if _is_own_404(service, said) else BadAnswer
    if status >= 500 or status == 408:
        return ServerFault
    if not 400 <= status < 500:
        return BadAnswer
    return {401: SignInFailed, 403: Forbidden, 406: BadMicroversion}.get(status, BadRequest)


def _is_own_404(service: str, said: Complaint) -> bool:
    # A load balancer without its backend answers 404 too, and believing that would let the hub forget instances that
    # run. Glance's own 404 is the web framework's page, so there is nothing to tell them apart by.
    return service == "image" or said.kind == "itemNotFound" or said.kind.endswith("NotFound")


def complaint_from(body: bytes) -> Complaint:
    """What an error body says: JSON of five shapes, an HTML page, plain text or noise."""
    head = body[:READ_AT_MOST]
    try:
        value = json.loads(head)
    except (ValueError, RecursionError):
        return Complaint("", _one_line(_TAG.sub(" ", head[:4096].decode("utf-8", "replace"))))
    kind, message = _in_json(value)
    return Complaint(_one_line(kind)[:80], _without_values(message))


def _in_json(value: object) -> tuple[str, str]:
    """Kind and message: Nova, Cinder `{kind: {code, message}}`; Neutron `{"NeutronError": {type, message, detail}}`;
    Keystone `{"error": {code, message, title}}`; web framework `{code, title, message}`; `{"errors": [{detail}]}`."""
    if not isinstance(value, dict):
        return "", value if isinstance(value, str) else ""
    for key, inner in value.items():
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            kind = inner.get("type")
            return (kind if isinstance(kind, str) and kind else key), inner["message"]
        if key == "NeutronError" and isinstance(inner, str):
            return key, inner
    if isinstance(value.get("message"), str):
        return "", _TAG.sub(" ", value["message"])
    errors = value.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return "", str(errors[0].get("detail") or errors[0].get("title") or "")
    return "", ""


def _without_values(message: str) -> str:
    if not (match := _REPEATED_VALUE.match(message)):
        return _one_line(message)
    why = _WHY_REFUSED.search(message[-200:])
    return _one_line(f"{match[1]}: {why[1] if why else 'not as the service wants it'}.")


def _one_line(text: str) -> str:
    line = " ".join(html.unescape(text[: 4 * _SAID_AT_MOST]).split())
    return "".join(character for character in line if character.isprintable())[:_SAID_AT_MOST]


def request_id_from(headers: Mapping[str, str]) -> str:
    """The id under which the service's operators find this request, or nothing."""
    for name in ("X-Openstack-Request-Id", "X-Compute-Request-Id"):
        if _REQUEST_ID.fullmatch(value := headers.get(name, "")):
            return value
    return ""


def retry_after_s(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds the service asks us to wait (RFC 9110, 10.2.3: seconds or a date), between 0 and 60; None if unsaid."""
    value = headers.get("Retry-After", "").strip()[:64]
    if not value:
        return None
    try:
        wait_s = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        wait_s = (until - now).total_seconds()
    return None if math.isnan(wait_s) else min(max(wait_s, 0.0), LONGEST_PAUSE_S)
