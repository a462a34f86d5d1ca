"""While the hub has the disk copied, the credential is on no disk; afterwards, and after any mishap, it is back."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from js2spawner.guest.account import Account
from js2spawner.guest.identity import Identity
from js2spawner.guest.rundir import RunDir
from js2spawner.guest.saving import LEFTOVERS, Saving, clean

ATTEMPT = "attempt-1"
ORDER = {"order": "save", "save": {"id": "save-1", "within_s": 100}}
NONE = {"order": "none"}


class Guest:
    """One agent's life: the disk and the memory stay, the agent may be started anew."""

    def __init__(self, tmp_path: Path) -> None:
        self.now = 0.0
        self.disk, self.memory = tmp_path / "state", tmp_path / "run"
        self.written = threading.Event()
        self.written.set()
        self.start()

    def start(self) -> None:
        self.saving = Saving(Identity(self.disk), RunDir(self.memory), ATTEMPT, lambda: self.now, sync=self._sync)

    def _sync(self) -> None:
        assert self.written.wait(20)

    def on_disk(self) -> str:
        try:
            return str(json.loads((self.disk / "credential.json").read_text())["credential"])
        except FileNotFoundError:
            return ""

    def quiet(self) -> str:
        """What the next report says once everything is written out."""
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.daemon:
                thread.join(20)
        return self.saving.word()


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


def test_by_order_the_credential_leaves_the_disk_and_comes_back(guest: Guest) -> None:
    credential = guest.saving.credential
    assert guest.on_disk() == credential
    guest.saving.obey(ORDER)
    assert guest.quiet() == "save-1"
    assert all(credential not in each.read_text() for each in guest.disk.rglob("*") if each.is_file())
    guest.saving.obey(NONE)
    assert guest.on_disk() == credential
    assert guest.saving.word() == ""
    assert list(guest.memory.glob("secret/*")) == []


def test_quiet_is_said_only_when_all_is_written_to_the_disk(guest: Guest) -> None:
    guest.written.clear()
    guest.saving.obey(ORDER)
    assert guest.saving.word() == ""
    assert not guest.saving.has_news()
    guest.written.set()
    assert guest.quiet() == "save-1"


def test_that_it_is_quiet_is_news_once(guest: Guest) -> None:
    guest.saving.obey(ORDER)
    for thread in [each for each in threading.enumerate() if each.daemon]:
        thread.join(20)
    assert guest.saving.has_news()
    guest.saving.word()
    assert not guest.saving.has_news()


def test_the_same_order_again_changes_nothing(guest: Guest) -> None:
    guest.saving.obey(ORDER)
    guest.now = 50.0
    guest.saving.obey(ORDER)
    guest.now = 101.0
    guest.saving.has_news()
    assert guest.on_disk() == guest.saving.credential


def test_a_hub_that_is_silent_for_too_long_lets_go(guest: Guest) -> None:
    guest.saving.obey(ORDER)
    assert guest.quiet() == "save-1"
    guest.now = 101.0
    guest.saving.has_news()
    assert (guest.saving.word(), guest.on_disk()) == ("", guest.saving.credential)


def test_an_agent_that_dies_meanwhile_keeps_its_credential_and_does_not_vouch_for_the_copy(guest: Guest) -> None:
    credential = guest.saving.credential
    guest.saving.obey(ORDER)
    assert guest.quiet() == "save-1"
    guest.start()
    assert (guest.saving.credential, guest.on_disk(), guest.saving.word()) == (credential, credential, "")


def test_an_agent_that_is_stopped_meanwhile_leaves_the_credential_for_the_next_boot(guest: Guest) -> None:
    guest.saving.obey(ORDER)
    guest.saving.be_ordinary()
    assert guest.on_disk() == guest.saving.credential


def test_a_disk_that_is_full_keeps_the_credential_waiting_until_there_is_room(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.saving.obey(ORDER)
    with monkeypatch.context() as full:
        full.setattr(Identity, "put_back", no_room)
        guest.saving.obey(NONE)
        guest.start()  # an agent that is started anew goes on waiting, with the credential it had
    assert guest.on_disk() == ""
    guest.saving.obey(NONE)
    assert guest.on_disk() == guest.saving.credential
    assert list(guest.memory.glob("secret/*")) == []


def test_an_instance_whose_credential_cannot_be_taken_off_its_disk_is_not_quiet(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Identity, "forget", no_room)
    guest.saving.obey(ORDER)
    assert (guest.quiet(), guest.on_disk()) == ("", guest.saving.credential)


def no_room(*_given: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"id": "../etc", "within_s": 9},
        {"id": "s"},
        {"id": "s", "within_s": "long"},
        {"id": "s", "within_s": True},
    ],
)
def test_an_order_that_is_none_changes_nothing(guest: Guest, told: object) -> None:
    guest.saving.obey({"order": "save", "save": told})
    assert guest.on_disk() == guest.saving.credential


def test_the_time_is_bounded_whatever_the_hub_says(guest: Guest) -> None:
    guest.saving.obey({"order": "save", "save": {"id": "save-1", "within_s": 1e9}})
    guest.now = 7201.0
    guest.saving.has_news()
    assert guest.on_disk() == guest.saving.credential


def test_what_a_server_of_the_user_s_own_left_is_removed_and_a_link_leads_nowhere(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home / LEFTOVERS, elsewhere):
        folder.mkdir(parents=True)
        (folder / "kernel-1.json").write_text("key")
    account = Account("alice", os.geteuid(), os.getegid(), (), str(home), "/bin/sh", switch=False)
    clean(account)
    assert not (home / LEFTOVERS).exists()
    (home / LEFTOVERS).symlink_to(elsewhere)
    clean(account)
    assert (elsewhere / "kernel-1.json").exists()
