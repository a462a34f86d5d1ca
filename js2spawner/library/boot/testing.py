"""What became of a boot test, as the record that is kept with the build. Everything here blocks, for minutes."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from js2spawner.library.boot.emulator import accelerator, missing
from js2spawner.library.boot.machine import Hardware, MachineEnded
from js2spawner.library.boot.trial import Lost, Patience, Trial
from js2spawner.library.builds import BootReport, OfNoUse
from js2spawner.library.definition import Definition

Say = Callable[[str], None]
FreeBytes = Callable[[Path], int]

ROOM_BYTES = 2 * 1000**3
"""What a machine may write to its disk while it is tested; QEMU stops one without a word when there is no more room."""


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class CannotTest(Exception):
    """The text says what this machine lacks for a test, and what to do."""


class NoDisk(CannotTest, OfNoUse):
    """There is nothing to test."""


@dataclass(frozen=True, slots=True)
class Tested:
    """One boot: its report, processor seconds of this machine until the notebook listened, what it said of itself."""

    report: BootReport
    cpu_s: float
    facts: dict[str, Any]


def test(definition: Definition, disk: Path, *, say: Say, times: int) -> BootReport:
    """Boot `disk` and try everything once; then boot it again until there are `times` boots, for medians.

    Raises CannotTest when this machine cannot boot anything. What is wrong with the image is in the report.
    """
    check_machine(disk)
    tried = definition.smoke_key
    first = try_once(disk, say, definition.smoke)
    more = [] if first.report.failures else [boot_once(disk, say) for _ in range(times - 1)]
    return replace(together([first.report, *(each.report for each in more)]), smoke=tried)


def check_machine(disk: Path, free: FreeBytes = free_bytes) -> None:
    """Raises CannotTest."""
    if lacking := missing():
        raise CannotTest(f"Booting an image needs more of Debian: apt-get install {' '.join(lacking)}")
    if not disk.is_file():
        raise NoDisk(f"There is no disk at {disk}; build the image anew.")
    folder = Path(tempfile.gettempdir())
    if (there := free(folder)) < ROOM_BYTES:
        raise CannotTest(
            f"Too little room in {folder}: a boot needs up to {ROOM_BYTES / 1e9:.0f} GB and {there / 1e9:.1f} GB are"
            " free; make room, or name another folder with TMPDIR."
        )


def try_once(disk: Path, say: Say, notebooks: Sequence[Path]) -> Tested:
    """The whole test."""
    trial = Trial(disk.resolve(), say)
    return _done(trial, trial.whole(notebooks))


def boot_once(disk: Path, say: Say, hardware: Hardware | None = None, patience: Patience | None = None) -> Tested:
    """Only a boot, for its times."""
    trial = Trial(disk.resolve(), say, hardware or Hardware(), patience or Patience())
    return _done(trial, trial.boots())


def together(reports: Sequence[BootReport]) -> BootReport:
    """One report of several boots: medians, and every failure."""
    names = {name: None for report in reports for name in report.seconds}
    known = {name: [report.seconds[name] for report in reports if name in report.seconds] for name in names}
    seconds = {name: round(median(values), 2) for name, values in known.items()}
    failures = tuple(dict.fromkeys(failure for report in reports for failure in report.failures))
    return BootReport(reports[0].at, reports[0].accelerator, seconds, failures)


def _done(trial: Trial, course: Any) -> Tested:
    """Raises CannotTest."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        asyncio.run(course)
    except (Lost, MachineEnded) as problem:
        trial.failures.append(str(problem))
    except subprocess.SubprocessError as problem:
        trial.failures.append(f"no config drive could be made ({type(problem).__name__})")
    except OSError as problem:
        # Ours and not the image's: no room, no port, a program that is gone.
        told = f"{problem.strerror or problem}" + (f" ({problem.filename})" if problem.filename else "")
        raise CannotTest(f"The boot test cannot be done on this machine: {told}.") from None
    report = BootReport(at, accelerator(), dict(trial.course.seconds), tuple(trial.failures))
    return Tested(report, trial.course.cpu_s, dict(trial.facts))
