"""The ways a cloud says no, each with a name, a sentence and what it means for a retry.

`name` labels metrics and is stable. `sentence` is for the user: no ids, no traceback. `certain` is True
when the request surely had no effect: only then may a create be tried again without looking first.
"""

from __future__ import annotations


class CloudError(Exception):
    """Anything a cloud call can end in. `detail` is the service's own text, for the log and the operator."""

    name = "cloud-error"
    sentence = "The cloud answered in a way this hub does not understand."
    certain = True

    def __init__(self, detail: str = "", *, status: int | None = None, request_id: str = "") -> None:
        super().__init__(detail or self.sentence)
        self.detail = detail
        self.status = status
        self.request_id = request_id


class QuotaExceeded(CloudError):
    """Nova 403 `forbidden` "Quota exceeded for instances: …"; Neutron 409 `OverQuota`. `quota` names which."""

    name = "quota"
    sentence = "The hub's allocation has reached its limit, so no further instance can start right now."

    def __init__(self, detail: str = "", *, quota: str = "", status: int | None = None, request_id: str = "") -> None:
        super().__init__(detail, status=status, request_id=request_id)
        self.quota = quota


class NoCapacity(CloudError):
    """A server in ERROR whose fault begins with "No valid host was found": no hypervisor has room."""

    name = "capacity"
    sentence = "The cloud has no room for this flavor right now."


class BadRequest(CloudError):
    """HTTP 400 that is none of the more specific ones below."""

    name = "bad-request"
    sentence = "The cloud refused the request as malformed."


class BadImage(BadRequest):
    name = "image"
    sentence = "The image is missing in this cloud or cannot be used."


class ImageChanged(BadImage):
    """The image is there, but is not the one that was vouched for: its signature or its pinned hash does not fit."""

    name = "image-changed"
    sentence = "The image in the cloud is not the one that was published, so it is not used."


class ImageNotPublished(BadImage):
    """No version of an image of the library is there to start."""

    name = "image-not-published"
    sentence = "The image has not been published in this cloud yet."


class BadFlavor(BadRequest):
    name = "flavor"
    sentence = "The flavor is missing in this cloud or is not open to this hub."


class BadNetwork(BadRequest):
    name = "network"
    sentence = "The network this hub is configured for is missing in this cloud."


class BadSecurityGroup(BadRequest):
    name = "security-group"
    sentence = "The security group this hub is configured for is missing in this cloud."


class BadKey(BadRequest):
    name = "keypair"
    sentence = "The keypair this hub is configured for is missing in this cloud."


class BadZone(BadRequest):
    name = "zone"
    sentence = "The availability zone this hub is configured for is missing in this cloud."


class Conflict(CloudError):
    """HTTP 409: another task runs on the server, it is locked, or it is not in a state for this action."""

    name = "conflict"
    sentence = "The instance is busy with another operation."


class Gone(CloudError):
    """HTTP 404: no such thing in this project (another project's thing looks the same)."""

    name = "gone"
    sentence = "The instance no longer exists."


class Forbidden(CloudError):
    """HTTP 403 by policy."""

    name = "forbidden"
    sentence = "The hub's credential is not allowed to do this."


class SignInFailed(CloudError):
    """Keystone refused the credential, or a fresh token was refused at once."""

    name = "sign-in"
    sentence = "The hub cannot sign in to the cloud; its operator has to look at the credential."


class Throttled(CloudError):
    """HTTP 429 or 413 with Retry-After: refused before anything was done."""

    name = "throttled"
    sentence = "The cloud asks this hub to slow down."

    def __init__(
        self, detail: str = "", *, retry_after_s: float = 1.0, status: int | None = None, request_id: str = ""
    ) -> None:
        super().__init__(detail, status=status, request_id=request_id)
        self.retry_after_s = retry_after_s


class Unreachable(CloudError):
    """No connection could be made: nothing was sent."""

    name = "unreachable"
    sentence = "The cloud cannot be reached right now."


class NoAnswer(CloudError):
    """The request was sent and no (whole) answer came: it may have worked."""

    name = "no-answer"
    sentence = "The cloud did not answer in time."
    certain = False


class ServerFault(CloudError):
    """HTTP 5xx. A 503 or 504 from a load balancer may hide a success, so this is never certain."""

    name = "server-fault"
    sentence = "The cloud had an internal error."
    certain = False


class BadAnswer(CloudError):
    """An answer that is not what the service's documentation promises, or that is too large to read."""

    name = "bad-answer"
    certain = False


class BadMicroversion(CloudError):
    """HTTP 406: this Nova does not speak the compute microversion we need."""

    name = "microversion"
    sentence = "This cloud's compute service is too old for this hub."


class BadCloudConfig(CloudError):
    """clouds.yaml is missing, has no such entry, or the entry cannot work. Raised before any request."""

    name = "cloud-config"
    sentence = "The hub's clouds.yaml has a mistake; its operator has to look at it."
