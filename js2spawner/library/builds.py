"""Builds that exist on this machine: one folder each, with the disk and a record of how it came about.

BUILDS/<image>/<build id>/   build.json  disk.qcow2  bom.cdx.json  licences.txt
BUILDS/cache/                archives of layers, by key
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from js2spawner.library import lasting

RECORD = "build.json"
DISK = "disk.qcow2"
BILL = "bom.cdx.json"
LICENCES = "licences.txt"


class Busy(RuntimeError):
    """Another process is at the same; the message says at what, and what to do."""


class OfNoUse(Exception):
    """What was built is gone, damaged, or lies elsewhere: nothing comes of this build, and only a new one helps."""


@dataclass(frozen=True, slots=True)
class BootReport:
    """What a boot test found: seconds after power-on for each stage, and what failed (empty: passed).

    `smoke` is the key of the smoke notebooks that ran (`Definition.smoke_key`).
    """

    at: str
    accelerator: str
    seconds: Mapping[str, float]
    failures: tuple[str, ...] = ()
    smoke: str = ""

    @property
    def passed(self) -> bool:
        return not self.failures


@dataclass(frozen=True, slots=True)
class Build:
    """One build of one definition. `at` is when it began, ISO 8601 in UTC; `seconds` how long each step took.

    `disk_sha512` is of the disk that lies here (qcow2). A derived build lies in `cloud`, under the id `cloud_image`.
    `made_with` names the guest program in it and the builder (`baked.digest`).
    """

    image: str
    id: str
    definition: str
    kind: Literal["scratch", "derived"]
    at: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    disk_sha512: str = ""
    disk_bytes: int = 0
    virtual_bytes: int = 0
    cloud: str = ""
    cloud_image: str = ""
    packages: int = 0
    made_with: str = ""
    boot: BootReport | None = None

    @property
    def began(self) -> datetime:
        return datetime.fromisoformat(self.at)


def new_id(now: datetime, definition_key: str) -> str:
    """A name for a build that sorts by time and says what it is made from: 20261124T213000Z-1a2b3c4d."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{definition_key[:8]}"


class Builds:
    """The folder of all builds. Everything here blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def place(self, build: Build) -> Path:
        return self.folder / build.image / build.id

    def of(self, image: str) -> list[Build]:
        """All finished builds of an image, newest first."""
        found = [self._read(record) for record in (self.folder / image).glob(f"*/{RECORD}")]
        return sorted((each for each in found if each is not None), key=lambda build: build.id, reverse=True)

    def newest(self, image: str) -> Build | None:
        return next(iter(self.of(image)), None)

    def save(self, build: Build) -> None:
        """Write the record, whole or not at all. The folder is there only once a build is finished."""
        folder = self.place(build)
        folder.mkdir(parents=True, exist_ok=True)
        half_made = folder / f".{RECORD}"
        half_made.write_text(json.dumps(asdict(build), indent=2) + "\n")
        lasting.put(half_made, folder / RECORD)

    def keep_output(self, image: str, output: str) -> str:
        """Keep all that a failed program said; where that is, or why it is nowhere. What failed is told either way."""
        log = self._output(image)
        try:
            log.write_text(output)
        except OSError as problem:
            # The very disk that the build found full may be full still.
            return f"not kept: {problem.strerror}"
        return str(log)

    def forget_output(self, image: str) -> None:
        """A build went well: what an earlier one said is of no use any more."""
        self._output(image).unlink(missing_ok=True)

    def _output(self, image: str) -> Path:
        return self.folder / f"failed-{image}.log"

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Hold `what` ("build of minimal") against other processes. Raises Busy at once when one holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / f".{what.replace(' ', '-')}.lock"
        with lock.open("a+") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.seek(0)
                raise Busy(f"The {what} is under way in process {held.read().strip() or '?'}; wait for it.") from None
            held.truncate(0)
            held.write(f"{os.getpid()}\n")
            held.flush()
            yield

    @staticmethod
    def _read(record: Path) -> Build | None:
        try:
            told: dict[str, Any] = json.loads(record.read_text())
            boot = told.get("boot")
            known = {name: told[name] for name in (each.name for each in fields(Build)) if name in told}
            if boot:
                known["boot"] = BootReport(**{**boot, "failures": tuple(boot.get("failures", ()))})
            build = Build(**known)
        except (OSError, ValueError, TypeError):
            return None
        # A folder that was copied or renamed is not what its record says: whoever deletes that build means another.
        return build if (record.parent.parent.name, record.parent.name) == (build.image, build.id) else None
