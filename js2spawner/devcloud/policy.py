"""What a role allows: who only reads changes nothing. Anything finer is asked where it is done."""

from __future__ import annotations

from js2spawner.devcloud.calls import Identity
from js2spawner.devcloud.errors import Refusal

_READING = ("GET", "HEAD")
_WRITERS = {"member", "admin"}
_OF_IMAGES = {"create": "add", "update": "modify"}


def check_role(service: str, operation: str, method: str, identity: Identity) -> None:
    """Raises Refusal (403) in the words of a service, which names the rule that said no.

    Args:
        operation: such as `servers.create`, the thing in the plural and what is done to it.
    """
    if method in _READING or service == "identity" or _WRITERS & set(identity.roles):
        return
    things, _, deed = operation.partition(".")
    thing = things.removesuffix("s")
    match service:
        case "compute":
            raise Refusal(403, f"Policy doesn't allow os_compute_api:{things}:{deed} to be performed.")
        case "network":
            raise Refusal(403, f"rule:{deed}_{thing} is disallowed by policy", kind="PolicyNotAuthorized")
        case "image":
            action = f"{_OF_IMAGES.get(deed, deed)}_{thing}"
            raise Refusal(403, f"You are not authorized to complete {action} action.")
        case _:
            raise Refusal(403, f"Policy doesn't allow {thing}:{deed} to be performed.")
