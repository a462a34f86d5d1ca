"""Being saved: as long as the hub has this disk copied, nothing lies on it that would open anything of this server.

The channel's credential is in memory only then: the agent's own, and a file in tmpfs. It returns to the disk when the
hub says so, when the hub has been silent for too long, and when this agent ends or was started anew; every report says
whether it is away, so a hub that is told otherwise throws the copy away. A reboot by power loss in these minutes
is the price: the credential is lost with it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .account import Account
from .identity import CREDENTIAL, Identity
from .rundir import RunDir
from .system import SYSTEM_PATH

log = logging.getLogger("js2")

LEAST_S, MOST_S = 10.0, 7200.0
CLEANING_S = 20.0
_KEPT = "credential"
_SAVE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Where Jupyter keeps what it needs while it runs (keys of kernels, a cookie's secret) when it is not told otherwise.
# Our servers are told otherwise; one that a user started by hand was not.
LEFTOVERS = Path(".local", "share", "jupyter", "runtime")


class Saving:
    """The credential's place: on the disk, or in memory for as long as the hub orders it."""

    def __init__(
        self,
        identity: Identity,
        run_dir: RunDir,
        attempt_id: str,
        clock: Callable[[], float],
        sync: Callable[[], None] = os.sync,
    ) -> None:
        self._identity = identity
        self._run_dir = run_dir
        self._attempt_id = attempt_id
        self._clock = clock
        self._sync = sync
        self._save_id = ""
        self._until = 0.0
        self._settled = ""
        self._told = ""
        self._away = False
        self.account: Account | None = None
        kept = run_dir.kept(_KEPT)
        if kept is not None and kept.get("attempt") == attempt_id and CREDENTIAL.fullmatch(str(kept.get("credential"))):
            # An earlier agent of this boot died while the instance was saved: the save is spoilt, and the hub hears so.
            self.credential = str(kept["credential"])
            self._away = True
            self.be_ordinary()
        else:
            run_dir.drop(_KEPT)
            self.credential = identity.credential(attempt_id)

    def obey(self, answer: Mapping[str, Any]) -> None:
        """Do what the answer to a report says."""
        told = answer.get("save")
        if answer.get("order") != "save" or not isinstance(told, dict):
            self.be_ordinary()
            return
        save_id, within_s = told.get("id"), told.get("within_s")
        if not isinstance(save_id, str) or not _SAVE_ID.fullmatch(save_id) or save_id == self._save_id:
            return
        if isinstance(within_s, bool) or not isinstance(within_s, int | float):
            return
        self._begin(save_id, min(max(float(within_s), LEAST_S), MOST_S))

    def word(self) -> str:
        """The save for which nothing is on the disk now, for the next report; empty when there is none."""
        self._told = self._settled if self._settled == self._save_id else ""
        return self._told

    def has_news(self) -> bool:
        """Whether the next report says something else than the last one; also lets go when the hub is silent."""
        if self._save_id and self._clock() >= self._until:
            log.info("the hub has not said for long that this instance is still saved; going on as usual")
            self.be_ordinary()
        return bool(self._save_id) and self._settled == self._save_id != self._told

    def be_ordinary(self) -> None:
        """Back to normal: the credential on the disk, so that a reboot comes back.

        A disk that is full keeps it waiting in memory; the answer to the next report tries again.
        """
        self._save_id = ""
        if not self._away:
            return
        try:
            self._identity.put_back(self._attempt_id, self.credential)
        except OSError as problem:
            log.info("the channel's credential cannot be put back on the disk (%s); trying again", problem.strerror)
            return
        self._away = False
        self._run_dir.drop(_KEPT)
        log.info("no longer being saved")

    def _begin(self, save_id: str, within_s: float) -> None:
        try:
            self._run_dir.keep(_KEPT, {"attempt": self._attempt_id, "credential": self.credential})
            # First of all: whatever interrupts us from here on, it is to be put back.
            self._away = True
            self._identity.forget()
        except OSError as problem:
            log.info("this instance cannot be saved (%s)", problem.strerror)
            self.be_ordinary()
            return
        log.info("being saved: the channel's credential is in memory only")
        self._save_id, self._until = save_id, self._clock() + within_s
        # Writing everything out may take long, and reports must go on.
        threading.Thread(target=self._settle, args=(save_id,), daemon=True).start()

    def _settle(self, save_id: str) -> None:
        if self.account is not None:
            clean(self.account)
        self._sync()
        self._settled = save_id


def clean(account: Account) -> None:
    """Remove what servers that were not ours left. As the user: no path of theirs may lead root anywhere."""
    program = shutil.which("rm", path=SYSTEM_PATH)
    if program is None:
        return
    try:
        subprocess.run(
            [program, "-rf", "--", str(Path(account.home) / LEFTOVERS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": SYSTEM_PATH},
            cwd="/",
            timeout=CLEANING_S,
            check=False,
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=account.groups if account.switch else None,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        log.info("leftovers could not be removed (%s)", type(problem).__name__)
