"""Saves and saved images as pages and scripts get them. Pure: values in, plain dictionaries out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from js2spawner.catalog import Catalog
from js2spawner.fleet.typical import Typical
from js2spawner.instance import Instant
from js2spawner.options import Who
from js2spawner.saved import PREFIX, Allowance, Saved, is_owner, may_change, may_start, plain_gb
from js2spawner.saving import Asked, Checking, Copying, Failed, Ready, Save

STAGES = {
    "save-prepare": "Getting the instance ready",
    "save-copy": "Copying its disk",
    "save-check": "Making sure of the copy",
}
_AT: dict[type, str] = {Asked: "save-prepare", Copying: "save-copy", Checking: "save-check"}


def save_shown(
    save: Save, seconds: Mapping[str, float], typical: Callable[[str], Typical | None], now: Instant
) -> dict[str, Any]:
    """One save: its stages with their times, and how it ended."""
    state = save.state
    until = state.since if save.over else now
    shown: dict[str, Any] = {
        "id": save.id,
        "server": save.server,
        "title": save.words.title,
        "note": save.words.note,
        "state": "ready" if isinstance(state, Ready) else "failed" if isinstance(state, Failed) else "under-way",
        "elapsed_s": round(max(0.0, until - save.begun_at), 1),
        "sentence": "",
        "remedy": "",
        "failure": "",
        "choice": "",
        "stages": [_stage(save, name, seconds, typical(name), now) for name in STAGES],
    }
    match state:
        case Ready(image_id=image_id):
            shown.update(sentence="Saved. You find it among your choices.", choice=f"{PREFIX}{image_id}")
        case Failed(because=why):
            shown.update(sentence=why.sentence, remedy=why.remedy, failure=why.name)
    return shown


def _stage(
    save: Save, name: str, seconds: Mapping[str, float], typical: Typical | None, now: Instant
) -> dict[str, Any]:
    here = _AT.get(type(save.state))
    last = next((each for each in reversed(STAGES) if each in seconds), None)
    if name == here:
        state, took = "begun", now - save.state.since
    elif name in seconds:
        state, took = ("failed" if isinstance(save.state, Failed) and name == last else "done"), seconds[name]
    else:
        state, took = "waiting", None
    return {
        "name": name,
        "title": STAGES[name],
        "state": state,
        "seconds": None if took is None else round(max(0.0, took), 1),
        "typical": {"p50_s": typical.p50_s, "p90_s": typical.p90_s} if typical else None,
    }


def saved_shown(saved: Saved, catalog: Catalog, who: Who) -> dict[str, Any]:
    """One saved image, with what this person may do about it."""
    parent = catalog.image(saved.words.parent)
    allowance = catalog.allowance_for(saved.words.parent)
    change = may_change(saved, who)
    return {
        "id": saved.id,
        "choice": saved.name,
        "title": saved.title,
        "note": saved.words.note,
        "owner": saved.owner,
        "parent": parent.title if parent else saved.words.parent,
        "at": saved.words.saved_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "size": plain_gb(saved.size_gb),
        "size_bytes": saved.image.size_bytes,
        "disk_gb": saved.image.min_disk_gb,
        "group": saved.group,
        "frozen": saved.frozen,
        "may_share": change and not saved.frozen and (allowance.share or who.admin),
        "may_freeze": change and allowance.may_freeze(who) and (saved.frozen or bool(saved.group)),
        "may_delete": change and not saved.frozen,
    }


def listed(everybodys: list[Saved], catalog: Catalog, owner: Who, viewer: Who) -> dict[str, list[dict[str, Any]]]:
    """What `owner` has, and what others share with them, as `viewer` sees it.

    An admin may look at anybody's, and sees what those left who had that name before.
    """
    mine = [each for each in everybodys if belongs_on_page(each, owner, viewer)]
    return {
        "mine": [saved_shown(each, catalog, viewer) for each in mine],
        "shared": [
            saved_shown(each, catalog, viewer)
            for each in everybodys
            if each not in mine and each.group in owner.groups and may_start(each, owner)
        ],
    }


def belongs_on_page(saved: Saved, owner: Who, viewer: Who) -> bool:
    """Whether it is on the owner's page as one of theirs."""
    return is_owner(saved, owner) or (viewer.admin and saved.owner == owner.name)


def allowance_shown(allowance: Allowance, kept_gb: list[float]) -> dict[str, Any]:
    """How much one may keep and has."""
    return {
        "most": allowance.most,
        "most_size": plain_gb(allowance.most_gb),
        "kept": len(kept_gb),
        "kept_size": plain_gb(sum(kept_gb)),
        "share": allowance.share,
    }
