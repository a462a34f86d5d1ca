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
from js2spawner.saved import Allowance, Saved, checked_words, is_owner, may_change
from js2spawner.saving import Save


class NotPossible(ValueError):
    """The request cannot be fulfilled; the text is a sentence for the user."""


async def why_not_save(spawner: Any, saves: Saves) -> tuple[str, list[float]]:
    """Why this server cannot be saved now, as a sentence that is empty when it can, and what its owner has, in GB.

    Raises CloudError.
    """
    kept = await kept_gb(saves, spawner.who())
    return _why_not(spawner, saves, kept), kept


def _why_not(spawner: Any, saves: Saves, kept: list[float]) -> str:
    record = spawner.record
    if record is None or not isinstance(record.state, Running):
        return "This server is not running, so there is nothing to save."
    if saves.may_be_found_of(record):
        return "The hub has just started and looks for what was being saved. Try again in a minute."
    if saves.under_way(record.attempt_id):
        return "This server is being saved already."
    return str(spawner.allowance.refuses(kept, _used_gb(spawner)))


async def begin(spawner: Any, saves: Saves, title: object, note: object) -> Save:
    """Begin to save a running server. Raises NotPossible, BadWords, CloudError."""
    named, noted = checked_words(title, note)
    who = spawner.who()
    kept = await kept_gb(saves, who)
    # Nothing is awaited from here on: two requests at once must not both find room for one.
    if sentence := _why_not(spawner, saves, kept):
        raise NotPossible(sentence)
    left_gb = spawner.allowance.left_gb(kept)
    return saves.begin(spawner.record, named, noted, owner_id=who.id, most_gb=_at_most_gb(spawner, left_gb))


async def kept_gb(saves: Saves, who: Who) -> list[float]:
    """How large what somebody has is, one by one; of what is under way, how large it may become."""
    kept = [saved.size_gb for saved in await saves.images.all() if is_owner(saved, who)]
    return kept + [save.most_gb for save in saves.of_owner(who.id)]


def _used_gb(spawner: Any) -> float:
    """What the guest says its disk holds; never more than the flavor's disk can."""
    return _at_most_gb(spawner, spawner.health.disk_used_gb if spawner.health else 0.0)


def _at_most_gb(spawner: Any, size_gb: float) -> float:
    """No more than the disk of the server's flavor can hold, so that one save does not take what others may need."""
    flavor = spawner.hub_fleet.catalog.flavor(spawner.record.plan.flavor)
    return min(size_gb, flavor.disk_gb) if flavor else size_gb


async def changeable(saves: Saves, who: Who, image_id: str) -> Saved:
    """The saved image as the cloud has it now, if this person may change it. Raises NotPossible, CloudError."""
    saved = await saves.images.find(image_id)
    if saved is None or not may_change(saved, who):
        raise NotPossible("There is no such saved image of yours.")
    return saved


async def share(saves: Saves, catalog: Catalog, who: Who, saved: Saved, group: str, groups: frozenset[str]) -> Saved:
    """Let the members of a group of `groups` start it, or ("") nobody else. Raises NotPossible, CloudError."""
    if group and not (who.admin or _allowance(catalog, saved).share):
        raise NotPossible("This hub does not let people share what they have saved.")
    if group and group not in groups:
        raise NotPossible("You can share it with a group that you are in.")
    return _still_there(await saves.images.share(saved.id, group, only_if=_not_frozen))


async def freeze(saves: Saves, catalog: Catalog, who: Who, saved: Saved, *, frozen: bool) -> Saved:
    """Make it a group's image, which is not deleted before it is thawed. Raises NotPossible, CloudError."""
    if not _allowance(catalog, saved).may_freeze(who):
        raise NotPossible("Only hosts and admins of this hub can freeze or thaw an image.")
    only_if = _shared if frozen else _anyhow
    return _still_there(await saves.images.freeze(saved.id, frozen=frozen, only_if=only_if))


async def delete(saves: Saves, saved: Saved) -> None:
    """Delete it for good. Raises NotPossible, CloudError."""
    try:
        await saves.images.delete(saved, only_if=_not_frozen)
    except Conflict:
        raise NotPossible(
            "An instance still runs on this image, so the cloud keeps it. Stop that server first."
        ) from None


def _allowance(catalog: Catalog, saved: Saved) -> Allowance:
    return catalog.allowance_for(saved.words.parent)


def _not_frozen(saved: Saved) -> None:
    if saved.frozen:
        raise NotPossible(f"It is frozen for {saved.group}. Thaw it first.")


def _shared(saved: Saved) -> None:
    if not saved.group:
        raise NotPossible("Share it with a group first: it is frozen for that group.")


def _anyhow(_saved: Saved) -> None:
    """Thawing asks for nothing."""


def _still_there(saved: Saved | None) -> Saved:
    if saved is None:
        raise NotPossible("There is no such saved image any more.")
    return saved
