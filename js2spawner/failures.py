"""Every way a start or a save can fail: a name for metrics, a sentence and a remedy, and what we do about it.

Pure values. A failure never carries an id, a token or a traceback to the user; `detail` is for the operator's log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from js2spawner.cloud.errors import CloudError

Policy = Literal["again", "wait", "elsewhere", "give-up"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One named failure. `policy` says whether a new attempt may help without the user choosing anew.

    "again": at once, in the same place. "wait": in the line, until there is room. "elsewhere": in another region.
    """

    name: str
    sentence: str
    remedy: str
    policy: Policy
    detail: str = ""

    def because(self, detail: str) -> Failure:
        """The same failure with the operator's detail (one bounded line)."""
        return replace(self, detail=" ".join(detail.split())[:500])


_TRY_LATER = "Try again in a few minutes; if it stays so, tell the people who run this hub."
_TELL_OPERATOR = "Tell the people who run this hub: they have to change its configuration."
_CHOOSE_OTHER = "Choose a smaller or different flavor, or try again later."

_ALL = (
    # What the cloud refuses.
    Failure("quota", "The hub's allocation has reached its limit.", _CHOOSE_OTHER, "wait"),
    Failure("capacity", "The cloud has no room for this flavor right now.", _CHOOSE_OTHER, "wait"),
    Failure("image", "The image cannot be used in this cloud.", "Choose another image. " + _TELL_OPERATOR, "give-up"),
    Failure(
        "image-changed",
        "The image in the cloud is not the one that was published, so it is not used.",
        "Choose another image, and tell the people who run this hub.",
        "give-up",
    ),
    Failure(
        "image-not-published",
        "The image has not been published in this cloud yet.",
        "Choose another image, or tell the people who run this hub.",
        "give-up",
    ),
    Failure("flavor", "The flavor is not available in this cloud.", "Choose another flavor.", "give-up"),
    Failure("network", "The hub's network is missing in this cloud.", _TELL_OPERATOR, "give-up"),
    Failure("security-group", "The hub's security group is missing in this cloud.", _TELL_OPERATOR, "give-up"),
    Failure("cloud-config", "This hub's cloud is not set up correctly.", _TELL_OPERATOR, "give-up"),
    Failure("sign-in", "The hub cannot sign in to the cloud.", _TELL_OPERATOR, "give-up"),
    Failure("refused", "The cloud refused to create the instance.", _TELL_OPERATOR, "give-up"),
    Failure("unreachable", "The cloud cannot be reached right now.", _TRY_LATER, "elsewhere"),
    Failure("create-lost", "The cloud never confirmed that it created the instance.", _TRY_LATER, "again"),
    # What goes wrong on the way.
    Failure("build-error", "The cloud failed while building the instance.", _TRY_LATER, "again"),
    Failure("build-slow", "The cloud took too long to build the instance.", _TRY_LATER, "again"),
    Failure(
        "vanished", "The instance disappeared: somebody or something deleted it in the cloud.", "Start again.", "again"
    ),
    Failure("boot-silent", "The instance was built, but its system never reported to the hub.", _TRY_LATER, "again"),
    Failure(
        "quarantined", "The instance's proof of identity was shown twice, so it was set aside.", "Start again.", "again"
    ),
    Failure("assign-slow", "The instance did not take its assignment in time.", _TRY_LATER, "again"),
    Failure(
        "account",
        "The instance could not make your account.",
        "Choose another image, or tell the people who run this hub.",
        "give-up",
    ),
    Failure(
        "gpu",
        "The instance's GPU does not answer.",
        "Start again; a broken card is rare and often another one is picked.",
        "again",
    ),
    Failure(
        "notebook",
        "JupyterLab did not start on the instance.",
        "Choose another image, or tell the people who run this hub.",
        "again",
    ),
    Failure(
        "notebook-slow",
        "JupyterLab took too long to start on the instance.",
        "Choose a larger flavor or try again.",
        "again",
    ),
    Failure("no-route", "JupyterLab runs, but the hub cannot reach the instance.", _TELL_OPERATOR, "again"),
    # What goes wrong with a home; nothing of it is ever lost by any of these.
    Failure(
        "home-busy",
        "Your home is in use by another server of yours.",
        "Stop that server first, or start this one without your home.",
        "give-up",
    ),
    Failure(
        "home-held",
        "Your home is attached to an instance that this hub does not run.",
        "Tell the people who run this hub: somebody has to detach it in the cloud.",
        "give-up",
    ),
    Failure("home-slow", "The cloud took too long to attach your home.", _TRY_LATER, "again"),
    Failure(
        "home-missing",
        "Your home has been deleted in the cloud.",
        "Tell the people who run this hub: they may have a copy. A new start makes an empty one.",
        "give-up",
    ),
    Failure(
        "home-elsewhere",
        "Your home is in another region, and homes cannot move.",
        "Choose that region, or start without your home.",
        "give-up",
    ),
    Failure("home-broken", "The cloud shows your home as broken.", "Tell the people who run this hub.", "give-up"),
    Failure(
        "home-unreadable",
        "The file system of your home cannot be used; nothing was changed on it.",
        "Tell the people who run this hub: they can restore a copy.",
        "give-up",
    ),
    Failure("home-quota", "The hub's allocation has no room for another home.", _TELL_OPERATOR, "give-up"),
    Failure("home-refused", "The cloud refused to attach your home.", _TRY_LATER, "again"),
    # What happens in the line.
    Failure("limit", "You have as many servers as you may have at once.", "Stop one of them first.", "give-up"),
    Failure("line-full", "So many wait already that your turn would not come.", _TRY_LATER, "give-up"),
    Failure("line-slow", "Your turn in the line did not come in time.", _CHOOSE_OTHER, "give-up"),
    Failure(
        "too-large", "This flavor is larger than all the hub's allocation holds.", "Choose a smaller flavor.", "give-up"
    ),
    Failure(
        "no-return",
        "The cloud could not bring your instance back from the shelf.",
        "A new one is started; your home is as you left it.",
        "again",
    ),
    Failure(
        "no-shelf",
        "The cloud could not put the instance on the shelf, so it was deleted.",
        "Start again; your home is as you left it.",
        "give-up",
    ),
    Failure("shelved", "The instance was put on the shelf.", "Start it again to have it back.", "give-up"),
    # Ends that are nobody's fault.
    Failure("stopped", "The server was stopped.", "Start again whenever you like.", "give-up"),
    Failure("cancelled", "The start was stopped before it was finished.", "Start again whenever you like.", "give-up"),
    Failure("unclaimed", "Nobody came back for this instance after the hub restarted.", "Start again.", "give-up"),
    Failure("replaced", "Another choice was started in its place.", "", "give-up"),
    Failure("expired", "The instance reached its end.", "Start again.", "give-up"),
    Failure("powered-off", "The instance was switched off from inside or in the cloud.", "Start again.", "give-up"),
    # What goes wrong with saving an instance as an image; the instance itself goes on.
    Failure(
        "save-silent",
        "The instance did not get ready to be saved in time.",
        "Try again; one of an older image cannot be saved.",
        "give-up",
    ),
    Failure("save-busy", "The cloud is busy with this instance.", "Try again in a minute.", "give-up"),
    Failure(
        "save-quota",
        "The hub's allocation has no room for another image.",
        "Delete saved images, or tell the people who run this hub.",
        "give-up",
    ),
    Failure("save-refused", "The cloud refused to copy the instance.", _TELL_OPERATOR, "give-up"),
    Failure("save-lost", "The cloud never confirmed the copy.", _TRY_LATER, "give-up"),
    Failure("save-failed", "The cloud could not finish the copy.", _TRY_LATER, "give-up"),
    Failure("save-slow", "The cloud took too long to copy the instance.", _TRY_LATER, "give-up"),
    Failure(
        "save-too-large",
        "The copy is larger than what you may keep, so it was deleted.",
        "Start on a flavor with a smaller disk, or delete other saved images.",
        "give-up",
    ),
    Failure(
        "save-interrupted",
        "The instance restarted or lost its hub while it was copied, so the copy cannot be trusted and was deleted.",
        "Save it again.",
        "give-up",
    ),
    Failure("save-stopped", "The server was stopped before its copy was finished.", "", "give-up"),
    Failure("save-cancelled", "You stopped the copy.", "Save it again whenever you like.", "give-up"),
    Failure("options", "This choice is not possible.", "Choose again.", "give-up"),
    Failure("hub", "The hub itself had an error.", "Tell the people who run this hub.", "give-up"),
)

FAILURES = {failure.name: failure for failure in _ALL}

# The cloud's error names (cloud.errors) that a start meets under another name here.
_FROM_CLOUD = {
    "bad-request": "refused",
    "keypair": "cloud-config",
    "zone": "cloud-config",
    "microversion": "cloud-config",
    "forbidden": "refused",
    "conflict": "refused",
    "throttled": "unreachable",
    "no-answer": "create-lost",
    "server-fault": "create-lost",
    "gone": "refused",
    "bad-answer": "unreachable",
    "cloud-error": "refused",
}


def failure(name: str, detail: str = "") -> Failure:
    """The failure of that name. KeyError for a name that is not in the family: a mistake in our own code."""
    found = FAILURES[name]
    return found.because(detail) if detail else found


def failure_of(error: CloudError) -> Failure:
    """What a refused cloud call means for a start."""
    name = error.name if error.name in FAILURES else _FROM_CLOUD.get(error.name, "refused")
    return failure(name, error.detail or str(error))
