"""Names and metadata of what this hub puts into a cloud: found again by the hub, recognised by a person.

Nova keeps metadata values to 255 characters and tags to 60 without `/` and `,`; everybody on the allocation, and the
instance itself, can read them, so they hold names and ids and never a secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from js2spawner.instance import Idle, Instant, Record

HUB_KEY = "js2_hub"
ATTEMPT_KEY = "js2_attempt"
_END_KEY = "js2_expires"

_UNIX_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def hub_tag(hub_id: str) -> str:
    """The one Nova tag all of this hub's instances carry."""
    return f"js2-hub-{hub_id}"[:60]


def instance_name(record: Record) -> str:
    """What Horizon and Exosphere show, and the instance's hostname: at most 63 characters of a DNS label."""
    who = _label(record.owner.user.split("@")[0], 24)
    which = f"-{_label(record.owner.server, 16)}" if record.owner.server else ""
    return f"js2-{who}{which}-{_label(record.plan.image, 10)}-{record.attempt_id[:6]}"


def metadata(record: Record, hub_id: str) -> dict[str, str]:
    """The instance's metadata."""
    user = record.owner.user
    values = {
        HUB_KEY: hub_id,
        ATTEMPT_KEY: record.attempt_id,
        "js2_user": user,
        "js2_server": record.owner.server,
        "js2_image": record.plan.image,
        "js2_flavor": record.plan.flavor,
        "js2_purpose": "jupyterhub",
        **end_told(record.expires_at),
        "exoCreatorUsername": user,
    }
    return {key: value[:255] for key, value in values.items()}


def end_told(at: Instant) -> dict[str, str]:
    """What the metadata say of when the instance ends."""
    return {_END_KEY: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")}


def end_of(metadata: Mapping[str, str]) -> Instant | None:
    """When the instance ends as its metadata say; None when they say nothing that can be read."""
    try:
        return datetime.fromisoformat(metadata[_END_KEY]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


_WHEN_IDLE: Mapping[Idle, str] = {
    "delete": "deletes it when it is idle",
    "shelve": "shelves it when it is idle",
    "keep": "keeps it, also when it is idle",
}


def description(record: Record) -> str:
    """One sentence for whoever meets the instance in a dashboard."""
    end = _WHEN_IDLE[record.plan.idle]
    return f"JupyterHub server of {record.owner} ({record.plan.image_title}); the hub {end}."[:255]


def saved_name(user: str, save_id: str) -> str:
    """What Horizon and Exosphere show of an image that somebody saved."""
    return f"js2-saved-{_label(user.split('@')[0], 24)}-{save_id[:6]}"


def home_name(user: str) -> str:
    """What Horizon and Exosphere show of somebody's home."""
    return f"js2-home-{_label(user.split('@')[0], 40)}"


def data_name(name: str, attempt_id: str) -> str:
    """The same of a volume with class data, made for one instance."""
    return f"js2-data-{_label(name, 40)}-{attempt_id[:6]}"


def unix_name(user: str) -> str:
    """The account on the instance: the user's own name where Unix allows it, else a readable one of its own."""
    if _UNIX_NAME.fullmatch(user) and user not in _RESERVED:
        return user
    readable = re.sub(r"[^a-z0-9_-]+", "-", user.split("@")[0].lower()).strip("-_0123456789")[:20]
    return f"{readable or 'user'}-{hashlib.sha256(user.encode()).hexdigest()[:6]}"


# Accounts that a system brings along: a user of that name must not become one of them.
_RESERVED = frozenset(
    [
        "root",
        "daemon",
        "bin",
        "sys",
        "sync",
        "games",
        "man",
        "lp",
        "mail",
        "news",
        "uucp",
        "proxy",
        "www-data",
        "backup",
        "list",
        "irc",
        "gnats",
        "nobody",
        "messagebus",
        "systemd-network",
        "systemd-resolve",
        "systemd-timesync",
        "sshd",
        "ubuntu",
        "debian",
        "rocky",
        "centos",
        "exouser",
        "admin",
        "sudo",
        "adm",
    ]
)


def _label(text: str, most: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:most].strip("-") or "x"
