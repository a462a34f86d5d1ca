"""Which microversion a request asks for.

Nova's API guide, "Microversions": the header is `OpenStack-API-Version: compute 2.96`, formerly
`X-OpenStack-Nova-API-Version`; without one the lowest is meant, `latest` is the highest, an unknown one is 406.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from js2spawner.devcloud.calls import Service, Version
from js2spawner.devcloud.errors import Refusal

_SHAPE = re.compile(r"([1-9]\d*)\.(0|[1-9]\d*)")


class Unsupported(Exception):
    """A version outside of what the service speaks."""

    def __init__(self, version: Version, text: str) -> None:
        super().__init__(text)
        self.version = version


def asked_version(service: Service, headers: Mapping[str, str]) -> Version:
    """The version a request is to be answered in. Raises Unsupported (406) and Refusal (400)."""
    if service.lowest is None or service.highest is None:
        return Version(0, 0)
    text = _asked_text(service.name, headers)
    if text is None:
        return service.lowest
    if text == "latest":
        return service.highest
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise Refusal(400, f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.")
    version = Version(int(found[1]), int(found[2]))
    if not service.lowest <= version <= service.highest:
        raise Unsupported(
            version,
            f"Version {version} is not supported by the API. "
            f"Minimum is {service.lowest} and maximum is {service.highest}.",
        )
    return version


def _asked_text(service: str, headers: Mapping[str, str]) -> str | None:
    for part in headers.get("OpenStack-API-Version", "").split(","):
        name, _, version = part.strip().partition(" ")
        if name.lower() == service and version:
            return version.strip()
    own = {"compute": "X-OpenStack-Nova-API-Version", "share": "X-OpenStack-Manila-API-Version"}
    return headers.get(own[service]) if service in own else None
