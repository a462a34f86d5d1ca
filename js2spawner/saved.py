"""Saved images: what people keep of a running instance. Pure: values, limits, rights, and the proof that one is ours.

The cloud keeps them, as images with properties, and everybody on the allocation can write properties. So each carries
two marks that only this hub can make: one from the beginning of the copy, without which an unfinished image is not
taken for a save of ours, and a seal over the finished image's id and all that is said of it. Without it, nobody's.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from js2spawner.cloud.records import Image
from js2spawner.fleet.names import ATTEMPT_KEY, HUB_KEY
from js2spawner.library.properties import KIND, PROMOTED_AT, SAVED, SIGNATURE, TITLE, VALUE_AT_MOST

if TYPE_CHECKING:
    from js2spawner.options import Who

PREFIX = "saved:"
"""Before Glance's id in a choice: no name of a catalog can look like that."""

SAVE, NOTE, PARENT, SAVED_AT = "js2_save", "js2_note", "js2_parent", "js2_saved_at"
OWNER, OWNER_ID = "js2_owner", "js2_owner_id"
GROUP, FROZEN, BEGUN, SEAL = "js2_group", "js2_frozen", "js2_begun", "js2_seal"
_TOLD = (HUB_KEY, SAVE, OWNER, OWNER_ID, TITLE, NOTE, PARENT, SAVED_AT, ATTEMPT_KEY)

_GLANCE_ID = re.compile(r"[0-9a-fA-F-]{36}")

TITLE_AT_MOST = 60
NOTE_AT_MOST = 240
# Glance's database may keep no more than three bytes a character.
_LAST_CHARACTER = "\uffff"
_GB = 1e9


def saved_id(choice: object) -> str:
    """Glance's id in a choice of a saved image; empty for any other choice, and for what cannot be an id."""
    if not isinstance(choice, str) or not choice.startswith(PREFIX):
        return ""
    named = choice.removeprefix(PREFIX)
    return named if _GLANCE_ID.fullmatch(named) else ""


class BadWords(ValueError):
    """A name or a note that cannot be kept; the message is a sentence for the user. `field` says which."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def checked_words(title: object, note: object) -> tuple[str, str]:
    """The name and the note of a save, spaces put right. Raises BadWords."""
    named = _line(title, "title", "name", TITLE_AT_MOST)
    if not named:
        raise BadWords("title", "Give it a name.")
    return named, _line(note if note is not None else "", "note", "note", NOTE_AT_MOST)


def _line(value: object, where: str, word: str, most: int) -> str:
    if not isinstance(value, str):
        raise BadWords(where, f"The {word} must be text.")
    line = " ".join(value.split())
    if len(line) > most:
        raise BadWords(where, f"The {word} may have {most} characters; it has {len(line)}.")
    if not line.isprintable() or any(character > _LAST_CHARACTER for character in line):
        raise BadWords(where, f"The {word} holds a character the cloud cannot keep, an emoji perhaps; leave it out.")
    return line


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of a save from its beginning on: none of it changes later.

    `owner` is what the owner was called, `owner_id` who they are: a name may be another's one day.
    """

    save_id: str
    owner: str
    owner_id: str
    title: str
    note: str
    parent: str
    saved_at: datetime
    attempt_id: str

    def properties(self, hub_id: str) -> dict[str, str]:
        at = self.saved_at.astimezone(UTC).isoformat(timespec="seconds")
        owner = (self.owner, self.owner_id)
        values = (hub_id, self.save_id, *owner, self.title, self.note, self.parent, at, self.attempt_id)
        return dict(zip(_TOLD, values, strict=True))


@dataclass(frozen=True, slots=True)
class Saved:
    """One finished save. `parent` is the catalog's image it comes from, `group` who else may start it.

    `frozen`: the group counts on it, so it is neither changed nor deleted before it is thawed.
    """

    image: Image
    region: str
    words: Words
    group: str
    frozen: bool

    @property
    def id(self) -> str:
        return self.image.id

    @property
    def name(self) -> str:
        """What stands in a choice."""
        return f"{PREFIX}{self.image.id}"

    @property
    def owner(self) -> str:
        return self.words.owner

    @property
    def title(self) -> str:
        return self.words.title

    @property
    def size_gb(self) -> float:
        return self.image.size_bytes / _GB


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An image of a save that began and was not sealed: under way, or left behind."""

    image: Image
    region: str
    words: Words


@dataclass(frozen=True, slots=True)
class Key:
    """What only this hub knows, and what it proves with it."""

    secret: bytes = field(repr=False)
    hub_id: str

    def begin(self, words: Words) -> dict[str, str]:
        """The properties a copy begins with. An image inherits its parent's, so all of ours are said anew."""
        told = words.properties(self.hub_id)
        marked = {KIND: SAVED, BEGUN: self._mark("begun", told), SEAL: "", GROUP: "", FROZEN: ""}
        return {**told, **marked, SIGNATURE: "", PROMOTED_AT: ""}

    def seal(self, image: Image, words: Words, *, group: str = "", frozen: bool = False) -> dict[str, str]:
        """The properties that make a finished image somebody's save, or change who may use it."""
        changes = {GROUP: group, FROZEN: "yes" if frozen else ""}
        return {**changes, SEAL: self._sealed(image, {**words.properties(self.hub_id), **changes})}

    def read(self, image: Image, region: str) -> Saved | Unfinished | None:
        """What an image is to this hub. None: not ours, or changed behind our back."""
        properties = image.properties
        words = _words(properties)
        if words is None or properties.get(KIND) != SAVED or properties.get(HUB_KEY) != self.hub_id:
            return None
        told = {name: properties.get(name, "") for name in (*_TOLD, GROUP, FROZEN)}
        if seal := properties.get(SEAL):
            good = image.status == "active" and _same(seal, self._sealed(image, told))
            return Saved(image, region, words, told[GROUP], told[FROZEN] == "yes") if good else None
        begun = self._mark("begun", {name: told[name] for name in _TOLD})
        return Unfinished(image, region, words) if _same(properties.get(BEGUN, ""), begun) else None

    def _sealed(self, image: Image, told: Mapping[str, str]) -> str:
        # Glance gives an id once and never other data under it; where it tells a checksum, that is held to as well.
        return self._mark("saved", {**told, "id": image.id, "checksum": image.checksum})

    def _mark(self, what: str, told: Mapping[str, str]) -> str:
        text = json.dumps([what, sorted(told.items())])
        return hmac.digest(self.secret, text.encode(), "sha256").hex()


def _same(one: str, other: str) -> bool:
    # What is no text in UTF-8 can come from a cloud's JSON; it must not keep all others from being listed.
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def _words(properties: Mapping[str, str]) -> Words | None:
    try:
        values = [properties[name] for name in _TOLD]
        at = datetime.fromisoformat(properties[SAVED_AT])
    except (KeyError, ValueError):
        return None
    if any(len(value) > VALUE_AT_MOST for value in values) or at.tzinfo is None:
        return None
    return Words(
        save_id=properties[SAVE],
        owner=properties[OWNER],
        owner_id=properties[OWNER_ID],
        title=properties[TITLE],
        note=properties[NOTE],
        parent=properties[PARENT],
        saved_at=at,
        attempt_id=properties[ATTEMPT_KEY],
    )


# ---- who may do what ------------------------------------------------------------------------------------------------


def is_owner(saved: Saved, who: Who) -> bool:
    """Whether it is this very person's, and not somebody's who had the name before."""
    return bool(who.id) and who.id == saved.words.owner_id


def may_start(saved: Saved, who: Who) -> bool:
    """The owner, the members of the group it is shared with, admins."""
    return who.admin or is_owner(saved, who) or (bool(saved.group) and saved.group in who.groups)


def may_change(saved: Saved, who: Who) -> bool:
    """Share and delete: the owner and admins."""
    return who.admin or is_owner(saved, who)


# ---- how much may be kept -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a profile allows each person: how many saves, how large together, sharing, and who may freeze."""

    most: int
    most_gb: float
    share: bool
    freezers: tuple[str, ...]

    def may_freeze(self, who: Who) -> bool:
        return who.admin or not who.groups.isdisjoint(self.freezers)

    def refuses(self, kept: Iterable[float], used_gb: float) -> str:
        """Why one more may not be saved now, as a sentence; empty when it may.

        `kept` are the sizes in GB of what this person has or is saving, `used_gb` what is used on the instance's disk.
        """
        sizes = list(kept)
        if self.most == 0:
            return "Servers of this image cannot be saved on this hub."
        if len(sizes) >= self.most:
            return f"You may keep {_images(self.most)}, and you have {len(sizes)}. Delete one first."
        if sum(sizes) + used_gb > self.most_gb:
            return (
                f"You may keep {plain_gb(self.most_gb)} in all. You have {plain_gb(sum(sizes))}, and this instance "
                f"holds {plain_gb(used_gb)}. Delete a saved image, or files on the instance."
            )
        return ""

    def left_gb(self, kept: Iterable[float]) -> float:
        """How large one more may become."""
        return max(0.0, self.most_gb - sum(kept))


NOTHING_KEPT = Allowance(most=0, most_gb=0, share=False, freezers=())


def plain_gb(size_gb: float) -> str:
    """A size as a person says it."""
    if size_gb < 0.095:
        return f"{size_gb * 1000:.0f} MB"
    return f"{size_gb:.1f} GB" if size_gb < 9.95 else f"{size_gb:.0f} GB"


def _images(count: int) -> str:
    return "1 saved image" if count == 1 else f"{count} saved images"
