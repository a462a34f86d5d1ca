"""Which homes this hub has seen, in a file of its state directory.

The cloud is the record of what exists. This is only how a home that vanished there is told from one that never was,
in which region to ask first, and where one may have been made without an answer to tell; a lost file is made anew from
what the clouds hold.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from js2spawner.homes import Home, Kind
from js2spawner.instance import Instant

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


@dataclass(frozen=True, slots=True)
class Entry:
    """One home as it was last seen."""

    kind: Kind
    id: str
    region: str
    formatted: bool = False
    size_gb: int = 0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A create that was sent to that region, and of which nobody knows (yet) whether it made a home."""

    region: str
    since: Instant


class HomeLedger:
    """Entries by kind and person. Without a file it is kept in memory only."""

    def __init__(self, file: Path | None, log: Log) -> None:
        self._file = file
        self._log = log
        self._entries: dict[str, Entry] = {}
        self._doubts: dict[str, Doubt] = {}
        self._regions: set[str] = set()
        self._writing = asyncio.Lock()
        self._read = file is None

    async def load(self) -> None:
        """Read the file, once. One that cannot be read counts as empty: the clouds are asked."""
        async with self._writing:
            if not self._read:
                assert self._file is not None
                self._entries, self._doubts, self._regions = await asyncio.to_thread(self._load, self._file)
                self._read = True

    def get(self, kind: Kind, user_id: str) -> Entry | None:
        return self._entries.get(f"{kind}:{user_id}")

    def has_seen(self, kind: Kind, region: str) -> bool:
        """Whether the homes of this kind there were looked through before."""
        return f"{kind}:{region}" in self._regions

    async def note(self, user_id: str, home: Home) -> None:
        """This home is that person's."""
        key, entry = f"{home.kind}:{user_id}", _entry(home)
        doubt = self._doubts.pop(key, None)
        if doubt is not None or self._entries.get(key) != entry:
            self._entries[key] = entry
            await self._write()

    async def note_region(self, kind: Kind, region: str, chosen: Iterable[Home]) -> list[tuple[Entry, Entry]]:
        """These are all homes of the kind that are in use in that region.

        What is not among them stays noted: it may have been deleted behind the hub's back, and its owner is to be told.
        So does a home in another region, unless it is empty and the one here is not. Returns such pairs: the home that
        counts, and the other.
        """
        before = (dict(self._entries), dict(self._doubts), set(self._regions))
        self._regions.add(f"{kind}:{region}")
        doubles: list[tuple[Entry, Entry]] = []
        for home in chosen:
            key, here = f"{kind}:{home.user_id}", _entry(home)
            known = self._entries.get(key)
            if known is None or known.region == region:
                self._entries[key] = here
            elif here.formatted and not known.formatted:
                self._entries[key] = here
                doubles.append((here, known))
            else:
                doubles.append((known, here))
            self._doubts.pop(key, None)
        if before != (self._entries, self._doubts, self._regions):
            await self._write()
        return doubles

    def doubt(self, kind: Kind, user_id: str) -> Doubt | None:
        """Where a home of the kind may have been made for that person, and is not yet noted."""
        return self._doubts.get(f"{kind}:{user_id}")

    async def begin_create(self, kind: Kind, user_id: str, doubt: Doubt) -> None:
        """From now on one may have been made there, until it is noted or `settle` says that it was not.

        Written down before the create is sent: whoever sends it may be cancelled, or die, before the answer comes.
        """
        self._doubts[f"{kind}:{user_id}"] = doubt
        await self._write()

    async def settle(self, kind: Kind, user_id: str) -> None:
        """No home came of that create."""
        if self._doubts.pop(f"{kind}:{user_id}", None) is not None:
            await self._write()

    async def forget(self, kind: Kind, user_id: str, home_id: str = "") -> None:
        """That person has no home of the kind any more (or not this one)."""
        entry = self._entries.get(f"{kind}:{user_id}")
        if entry is not None and home_id in ("", entry.id):
            del self._entries[f"{kind}:{user_id}"]
            await self._write()

    async def _write(self) -> None:
        if self._file is None:
            return
        async with self._writing:
            content = {
                "regions": sorted(self._regions),
                "homes": {key: asdict(entry) for key, entry in sorted(self._entries.items())},
                "doubts": {key: asdict(doubt) for key, doubt in sorted(self._doubts.items())},
            }
            try:
                await asyncio.to_thread(_replace, self._file, json.dumps(content, indent=1))
            except OSError as error:
                self._log.warning("%s cannot be written: %s", self._file, error.strerror or error)

    def _load(self, file: Path) -> tuple[dict[str, Entry], dict[str, Doubt], set[str]]:
        try:
            content = json.loads(file.read_text())
            homes = {str(key): Entry(**entry) for key, entry in content["homes"].items()}
            doubts = {str(key): Doubt(**doubt) for key, doubt in content.get("doubts", {}).items()}
            return homes, doubts, {str(region) for region in content["regions"]}
        except FileNotFoundError:
            return {}, {}, set()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._log.warning("%s cannot be read (%s): the homes are looked up in the clouds", file, error)
            return {}, {}, set()


def _entry(home: Home) -> Entry:
    return Entry(home.kind, home.id, home.region, home.formatted, home.size_gb)


def _replace(file: Path, content: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
    fresh.replace(file)
