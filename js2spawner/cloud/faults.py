"""What a server in ERROR died of. Pure."""

from __future__ import annotations

import re

from .answers import quota_named
from .errors import BadImage, CloudError, NoCapacity, QuotaExceeded, ServerFault
from .records import Server

# How Nova's scheduler and its hypervisors say "no room" (the end of the sentence varies).
_NO_ROOM = re.compile(
    r"No valid host was found|Exceeded maximum number of retries|.{0,120}Insufficient compute resources"
    r"|.{0,120}Exhausted all hosts"
)
_ABOUT_HOSTS = re.compile(r"\bhosts?\b", re.IGNORECASE)
_BAD_IMAGE = re.compile(r"Image \S+ (is unacceptable|is corrupt|is not active|could not be found)")


def fault_of(server: Server) -> CloudError | None:
    """Why the server is in ERROR, or None when it is not.

    A member of a project sees the fault's first sentence only; Jetstream2 is reported to leave even that out when a
    flavor has run out, and then the server has neither hypervisor nor address.
    """
    if server.status != "ERROR":
        return None
    message = server.fault.message if server.fault else ""
    if _NO_ROOM.match(message) or (_never_placed(server) and (not message or _ABOUT_HOSTS.search(message))):
        return NoCapacity(message or "In ERROR without a hypervisor and without an address.")
    if _BAD_IMAGE.search(message):
        return BadImage(message)
    if quota := quota_named(message):
        return QuotaExceeded(message, quota=quota)
    return ServerFault(message or "In ERROR without a reason.")


def _never_placed(server: Server) -> bool:
    return not server.host_id and not server.addresses and server.launched is None
