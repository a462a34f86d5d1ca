"""The user's home while this instance has it: found, made sound, mounted before anything of theirs runs, let go of.

Root meets here what a user left behind. It mounts without set-uid programs and devices, opens the home's top folder by
a descriptor that follows no link, and changes owners without following any; whatever is put into the home is put there
by a process that is the user.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import disks, ext4, mounts, processes, shares, vitals
from .account import Account
from .assignment import HomeWish
from .disks import Disk, NoDisk
from .ext4 import Unusable
from .machine import Machine
from .rundir import RunDir
from .shell import Program, Shell, StepFailed
from .system import CannotRun

log = logging.getLogger("js2")

PREPARE_S = 540.0
FILL_S = 300.0
FREE_PATIENCE_S = 30.0
SKELETON = Path("/etc/skel")
LOST = "lost+found"
HOLDERS_GRACE_S = 2.0
LEAST_UNMOUNT_S = 5.0
USAGE_TIMEOUT_S = 2.0
# Below the first nothing much can be saved any more; below the second it is worth a word.
FULL_BYTES = 64 * disks.MIB
NEARLY_FULL = 0.05
_KEPT = "home"


class HomeProblem(Exception):
    """The home cannot be had; the message is one sentence for its user."""


class Home:
    """One home, of one server's life. Without a wish for one it is what the instance's own disk has."""

    def __init__(self, run_dir: RunDir, machine: Machine, shell: Shell) -> None:
        self._run_dir = run_dir
        self._disks = machine.disks
        self._clock = machine.clock
        self._sleep = machine.sleep
        self._shell = shell
        self._place = Path("/")
        self._wish: HomeWish | None = None
        self._folder = False
        self._state = "none"
        self._formatted = False
        self._repaired = False
        self._note = ""
        self._usage = (0.0, 0.0, 0.0)
        self._read_only = False
        self._asking: threading.Thread | None = None
        self.is_new = False

    def open(self, owner: Account, wish: HomeWish | None, meanwhile: Callable[[], None]) -> Account:
        """Have the home there, as the owner's; the account with the place where it is. Raises HomeProblem.

        `meanwhile` is called again and again while it is waited for. What an earlier agent of this boot did stands.
        """
        self._place = Path(owner.home)
        if wish is None:
            return owner
        if self._place == Path("/"):
            raise HomeProblem("Your home cannot be used: this image gives its account no place for one.")
        self._wish = wish
        until = self._clock() + PREPARE_S
        try:
            if wish.source.kind == "share":
                self._mount_share(owner, wish, until)
            else:
                disk = self._disks.wait_for(wish.source.serial, meanwhile)
                if disk.is_folder:
                    owner = self._take_folder(owner, disk, until)
                else:
                    self._mount_volume(owner, wish, disk, meanwhile, until)
        except (NoDisk, Unusable, CannotRun, StepFailed) as problem:
            raise HomeProblem(f"Your home cannot be used: {str(problem).rstrip('.')}.") from problem
        except OSError as problem:
            raise HomeProblem(f"Your home cannot be used ({problem.strerror}).") from problem
        self._state = "mounted"
        self._run_dir.keep(_KEPT, {"formatted": self._formatted, "repaired": self._repaired, "note": self._note})
        return owner

    def let_go(self, until: float) -> None:
        """Have everything written out and unmount it by `until`, whoever still uses it."""
        if self._state != "mounted":
            return
        if self._folder:
            self._written_out(until)
            self._state = "clean"
            return
        device = self._device()
        holders = functools.partial(processes.holding, self._place)
        processes.end(holders, self._clock, self._sleep, HOLDERS_GRACE_S, HOLDERS_GRACE_S)
        self._written_out(until - LEAST_UNMOUNT_S)
        if mounts.let_go(self._place, max(LEAST_UNMOUNT_S, until - self._clock())):
            self._state = "clean" if device is None or disks.is_free(device) else "busy"
        else:
            mounts.let_go_lazily(self._place)
            self._state = "busy"
        log.info("home: %s", self._state)

    def left_before(self, state: str) -> None:
        """An earlier agent of this boot let go of it, and this is what came of that."""
        self._state = state

    def look(self) -> None:
        """Find out how full it is; the figures of before stay when its file system does not answer."""
        if self._wish is None or self._wish.source.kind != "share":
            self._ask_usage()
            return
        # The server of a share may be away, and then whoever asks is kept waiting.
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._ask_usage, daemon=True)
            self._asking.start()
        self._asking.join(USAGE_TIMEOUT_S)

    @property
    def usage_gb(self) -> tuple[float, float]:
        """Used, and in all, of the file system that the home is on."""
        return self._usage[:2]

    def report(self) -> Mapping[str, Any]:
        """The `home` of a report (docs/handshake.md)."""
        used, total, _ = self._usage if self._state == "mounted" else (0.0, 0.0, 0.0)
        return {
            "state": self._state,
            "used_gb": used,
            "total_gb": total,
            "formatted": self._formatted,
            "repaired": self._repaired,
        }

    def notices(self) -> list[str]:
        """What its user should know, a sentence each."""
        told = [self._note] if self._note else []
        if self._state != "mounted":
            return told
        if self._read_only:
            told.append(
                "Your home can only be read since its disk failed: keep new work elsewhere and stop the server."
            )
        used, total, left = self._usage
        if total and left * vitals.GIB < FULL_BYTES:
            told.append(f"Your home is full ({used:.1f} of {total:.1f} GB): delete something, or nothing can be saved.")
        elif left < total * NEARLY_FULL:
            told.append(f"Your home is nearly full: {left:.1f} of {total:.1f} GB are left.")
        return told

    def _ask_usage(self) -> None:
        with contextlib.suppress(OSError):
            self._usage = vitals.usage(self._place)
            self._read_only = bool(os.statvfs(self._place).f_flag & os.ST_RDONLY)

    def _device(self) -> Path | None:
        mount = mounts.at(self._place)
        is_disk = self._wish is not None and self._wish.source.kind == "volume"
        return Path(mount.source) if is_disk and mount is not None else None

    def _written_out(self, until: float) -> None:
        """sync(2), as long as there is time: a share whose server is away would never end it."""
        writing = threading.Thread(target=os.sync, daemon=True)
        writing.start()
        writing.join(max(0.0, until - self._clock()))

    # ---- where it comes from

    def _take_folder(self, owner: Account, disk: Disk, until: float) -> Account:
        """Where machines have no disks of their own the home is the folder that stands for one."""
        self._folder = True
        with _opened(Path(owner.home)) as before:
            self._move_in(owner, disk.path, before, until)
        self._place = disk.path
        return dataclasses.replace(owner, home=str(disk.path))

    def _mount_volume(
        self, owner: Account, wish: HomeWish, disk: Disk, meanwhile: Callable[[], None], until: float
    ) -> None:
        if not owner.switch:
            raise Unusable("this guest program is no root and may mount nothing")
        if self._is_there(disk):
            return
        self._wait_until_free(disk.path, meanwhile)
        prepared = ext4.prepare(disk.path, wish.may_format, self._shell, until)
        self._formatted, self._repaired, self._note = prepared.formatted, prepared.repaired, prepared.note
        with _opened(self._place) as before:
            ext4.mount(disk.path, self._place)
            with self._or_unmounted():
                self._move_in(owner, self._place, before, until)

    def _mount_share(self, owner: Account, wish: HomeWish, until: float) -> None:
        if not owner.switch:
            raise Unusable("this guest program is no root and may mount nothing")
        if self._is_there(None):
            return
        with _opened(self._place) as before:
            shares.mount(wish.source, self._place)
            with self._or_unmounted():
                self._move_in(owner, self._place, before, until)

    @contextlib.contextmanager
    def _or_unmounted(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            mounts.let_go(self._place, LEAST_UNMOUNT_S)
            raise

    def _is_there(self, disk: Disk | None) -> bool:
        """Whether an earlier agent of this boot mounted it. Raises Unusable when something else is mounted there."""
        mount = mounts.at(self._place)
        if mount is None:
            return False
        kept = self._run_dir.kept(_KEPT) or {}
        number = disk.path.stat().st_rdev if disk is not None else 0
        ours = f"{os.major(number)}:{os.minor(number)}" == mount.device if disk is not None else mount.is_share or kept
        if not ours:
            raise Unusable("something else is mounted in its place")
        self._formatted, self._repaired = kept.get("formatted") is True, kept.get("repaired") is True
        self._note = str(kept.get("note", ""))
        return True

    def _wait_until_free(self, device: Path, meanwhile: Callable[[], None]) -> None:
        """An agent that died may have left a check of the disk running."""
        until = self._clock() + FREE_PATIENCE_S
        while not disks.is_free(device):
            if self._clock() >= until:
                raise Unusable("its disk is in use by something else on this instance")
            meanwhile()
            self._sleep(disks.LOOK_EVERY_S)

    # ---- what is in it

    def _move_in(self, owner: Account, place: Path, before: int, until: float) -> None:
        """Make it the owner's; a new one gets what the image has in that home, and the skeleton."""
        names = {entry.name for entry in place.iterdir()}
        self.is_new = not names - {LOST}
        self._own(owner, place, until)
        # Whoever looks at their home has no use for it; e2fsck makes it again when it finds something.
        with contextlib.suppress(OSError):
            os.rmdir(place / LOST)  # noqa: PTH106, relative to nothing a user may change while nobody of theirs runs
        if self.is_new:
            self._fill(owner, f"/proc/self/fd/{before}", place, until)
            if SKELETON.is_dir():
                self._fill(owner, str(SKELETON), place, until)
            # cp gave it the mode of what was copied.
            with _opened(place) as top, contextlib.suppress(PermissionError):
                os.fchmod(top, 0o700)

    def _own(self, owner: Account, place: Path, until: float) -> None:
        with _opened(place) as top:
            seen = os.fstat(top)
            if seen.st_uid not in (0, owner.uid):
                self._change_owner(seen.st_uid, owner, place, until)
            # The top folder last: done by halves, it is done again at the next start.
            try:
                if seen.st_uid != owner.uid:
                    os.fchown(top, owner.uid, owner.gid)
                os.fchmod(top, (seen.st_mode & 0o755) | 0o700)
            except PermissionError:
                # A share whose server lets no root in; then it has to be theirs already.
                log.info("the home's owner cannot be set here")
        if not self._is_theirs(owner, place):
            raise Unusable("it belongs to another account, and that cannot be changed here")

    def _change_owner(self, old: int, owner: Account, place: Path, until: float) -> None:
        """Files of an account that had another number in another image. Links are changed and never followed."""
        argv = ("chown", "--recursive", "-P", "--no-dereference", f"--from={old}", f"{owner.uid}:{owner.gid}")
        self._shell.run(Program((*argv, "--", str(place))), until, "chown")

    def _is_theirs(self, owner: Account, place: Path) -> bool:
        status, _ = self._shell.finish(self._as(owner, ("test", "-w", str(place)), "/"), self._clock() + 20.0, "test")
        return status == 0

    def _fill(self, owner: Account, source: str, place: Path, until: float) -> None:
        """Copy a folder's content to where nothing is in its way, as its owner. What cannot be copied is left out."""
        cp = shutil.which("cp") or "cp"
        argv = (cp, "--archive", "--no-clobber", "--one-file-system", "--", ".", str(place))
        try:
            self._shell.finish(self._as(owner, argv, source), min(until, self._clock() + FILL_S), "cp")
        except StepFailed as problem:
            log.info("not all of the image's files came into the new home: %s", problem)

    @staticmethod
    def _as(owner: Account, argv: tuple[str, ...], place: str) -> Program:
        user = owner if owner.switch else None
        return Program(
            argv,
            {"HOME": owner.home, "LC_ALL": "C"},
            uid=user.uid if user else 0,
            gid=user.gid if user else 0,
            groups=owner.groups,
            place=place,
        )


@contextlib.contextmanager
def _opened(place: Path) -> Iterator[int]:
    """A folder's descriptor, which stays what it is when something is mounted over the folder."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
