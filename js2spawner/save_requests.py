"""What people ask about saved images, checked before it is done: save, share, freeze, delete.

Whatever is refused is a NotPossible with a sentence for the user; what the cloud refuses stays a CloudError.
"""

from __future__ import annotations

from typing import Any

from js2spawner.catalog import Catalog
from js2spawner.cloud.errors import Conflict
from js2spawner.fleet.saves import Saves
from js2spawner.instance import Running
from js2spawner.options import Who
from js2spawner.saved import Allowance, Saved, checked_words, may_change
from js2spawner.saving import Save


class NotPossible(ValueError):
    """The request cannot be fulfilled; the text is a sentence for the user."""


async def why_not_save(spawner: Any, saves: Saves) -> tuple[str, list[float]]:
    """Why this server cannot be saved now, as a sentence that is empty when it can, and what its owner has, in GB.

    Raises CloudError.
    """
    kept = await kept_gb(saves, spawner.user.name)
    return _why_not(spawner, saves, kept), kept


def _why_not(spawner: Any, saves: Saves, kept: list[float]) -> str:
    record = spawner.record
    if record is None or not isinstance(record.state, Running):
        return "This server is not running, so there is nothing to save."
    if saves.under_way(record.attempt_id):
        return "This server is being saved already."
    return str(spawner.allowance.refuses(kept, _used_gb(spawner, record.plan.flavor)))


async def begin(spawner: Any, saves: Saves, title: object, note: object) -> Save:
    """Begin to save a running server. Raises NotPossible, BadWords, CloudError."""
    named, noted = checked_words(title, note)
    kept = await kept_gb(saves, spawner.user.name)
    # Nothing is awaited from here on: two requests at once must not both find room for one.
    if sentence := _why_not(spawner, saves, kept):
        raise NotPossible(sentence)
    return saves.begin(spawner.record, named, noted, most_gb=spawner.allowance.left_gb(kept))


async def kept_gb(saves: Saves, owner: str) -> list[float]:
    """How large what somebody has is, one by one; what is under way counts as one of no size yet."""
    kept = [saved.size_gb for saved in await saves.images.all() if saved.owner == owner]
    return kept + [0.0 for _ in saves.of_owner(owner)]


def _used_gb(spawner: Any, flavor_name: str) -> float:
    """What the guest says its disk holds; never more than the flavor's disk can."""
    flavor = spawner.hub_fleet.catalog.flavor(flavor_name)
    told = spawner.health.disk_used_gb if spawner.health else 0.0
    return min(told, flavor.disk_gb) if flavor else told


async def changeable(saves: Saves, who: Who, image_id: str) -> Saved:
    """The saved image as the cloud has it now, if this person may change it. Raises NotPossible, CloudError."""
    saved = await saves.images.find(image_id)
    if saved is None or not may_change(saved, who):
        raise NotPossible("There is no such saved image of yours.")
    return saved


async def share(saves: Saves, catalog: Catalog, who: Who, saved: Saved, group: str) -> Saved:
    """Let the members of a group start it, or ("") nobody else. Raises NotPossible, CloudError."""
    _not_frozen(saved)
    if group and not (who.admin or _allowance(catalog, saved).share):
        raise NotPossible("This hub does not let people share what they have saved.")
    if group and group not in who.groups:
        raise NotPossible("You can share it with a group that you are in.")
    return _still_there(await saves.images.share(saved.id, group))


async def freeze(saves: Saves, catalog: Catalog, who: Who, saved: Saved, *, frozen: bool) -> Saved:
    """Make it a group's image, which is not deleted before it is thawed. Raises NotPossible, CloudError."""
    if not _allowance(catalog, saved).may_freeze(who):
        raise NotPossible("Only hosts and admins of this hub can freeze or thaw an image.")
    if frozen and not saved.group:
        raise NotPossible("Share it with a group first: it is frozen for that group.")
    return _still_there(await saves.images.freeze(saved.id, frozen=frozen))


async def delete(saves: Saves, saved: Saved) -> None:
    """Delete it for good. Raises NotPossible, CloudError."""
    _not_frozen(saved)
    try:
        await saves.images.delete(saved)
    except Conflict:
        raise NotPossible(
            "An instance still runs on this image, so the cloud keeps it. Stop that server first."
        ) from None


def _allowance(catalog: Catalog, saved: Saved) -> Allowance:
    return catalog.allowance_for(saved.words.parent)


def _not_frozen(saved: Saved) -> None:
    if saved.frozen:
        raise NotPossible(f"It is frozen for {saved.group}. Thaw it first.")


def _still_there(saved: Saved | None) -> Saved:
    if saved is None:
        raise NotPossible("There is no such saved image any more.")
    return saved
