"""Which homes this hub has seen, in a file of its state directory.

The cloud is the record of what exists. This is only how a home that vanished there is told from one that never was,
and in which region to ask first; a lost file is made anew from what the clouds hold.
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

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


@dataclass(frozen=True, slots=True)
class Entry:
    """One home as it was last seen."""

    kind: Kind
    id: str
    region: str
    formatted: bool = False
    size_gb: int = 0


class HomeLedger:
    """Entries by kind and person. Without a file it is kept in memory only."""

    def __init__(self, file: Path | None, log: Log) -> None:
        self._file = file
        self._log = log
        self._entries: dict[str, Entry] = {}
        self._regions: set[str] = set()
        self._writing = asyncio.Lock()
        self._read = file is None

    async def load(self) -> None:
        """Read the file, once. One that cannot be read counts as empty: the clouds are asked."""
        async with self._writing:
            if not self._read:
                assert self._file is not None
                self._entries, self._regions = await asyncio.to_thread(self._load, self._file)
                self._read = True

    def get(self, kind: Kind, user_id: str) -> Entry | None:
        return self._entries.get(f"{kind}:{user_id}")

    def has_seen(self, kind: Kind, region: str) -> bool:
        """Whether the homes of this kind there were looked through before."""
        return f"{kind}:{region}" in self._regions

    async def note(self, user_id: str, home: Home) -> None:
        """This home is that person's."""
        entry = _entry(home)
        if self._entries.get(f"{home.kind}:{user_id}") != entry:
            self._entries[f"{home.kind}:{user_id}"] = entry
            await self._write()

    async def note_region(self, kind: Kind, region: str, chosen: Iterable[Home]) -> None:
        """These are all homes of the kind that are in use in that region.

        What is not among them stays noted: it may have been deleted behind the hub's back, and its owner is to be told.
        """
        before = (dict(self._entries), set(self._regions))
        self._regions.add(f"{kind}:{region}")
        for home in chosen:
            self._entries[f"{kind}:{home.user_id}"] = _entry(home)
        if before != (self._entries, self._regions):
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
            }
            try:
                await asyncio.to_thread(_replace, self._file, json.dumps(content, indent=1))
            except OSError as error:
                self._log.warning("%s cannot be written: %s", self._file, error.strerror or error)

    def _load(self, file: Path) -> tuple[dict[str, Entry], set[str]]:
        try:
            content = json.loads(file.read_text())
            homes = {str(key): Entry(**entry) for key, entry in content["homes"].items()}
            return homes, {str(region) for region in content["regions"]}
        except FileNotFoundError:
            return {}, set()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._log.warning("%s cannot be read (%s): the homes are looked up in the clouds", file, error)
            return {}, set()


def _entry(home: Home) -> Entry:
    return Entry(home.kind, home.id, home.region, home.formatted, home.size_gb)


def _replace(file: Path, content: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
    fresh.replace(file)
