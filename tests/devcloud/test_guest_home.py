"""The guest program without root: a folder stands for the home's disk, and leaving is done in order all the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from js2spawner.guest.disks import SHOWN
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.messages import HomeMount, Orders, SeedWish
from tests.devcloud.guests import SOMEBODY, Instance, instance
from tests.devcloud.test_guest_agent import environment, listening
from tests.unit.handshake import books

# No report is due for as long as a test lasts, so that only a word brings one.
SETTINGS = HandshakeSettings(poll_s=20.0, report_s=120.0, early_retry_s=0.1)
VOLUME = "3f1b7a52-94c0-4d1e-8e55-0123456789ab"


@pytest.fixture
async def here(free_port: Callable[[], int]) -> AsyncIterator[Instance]:
    async with instance(free_port, SETTINGS) as made:
        (made.folder / "by-id").mkdir()
        (made.folder / "volume").mkdir()
        (made.folder / "by-id" / f"virtio-{VOLUME[:SHOWN]}").symlink_to(made.folder / "volume")
        shutil.chown(made.folder / "volume", SOMEBODY, SOMEBODY)
        made.options = ("--disks", str(made.folder / "by-id"))
        yield made


async def in_a_home(here: Instance, *options: str, seed: SeedWish | None = None) -> Path:
    """A server that listens, in a home that is a folder."""
    home = HomeMount("volume", VOLUME, may_format=True, seed=seed)
    here.book.given = here.assignment(*options, home=home)
    here.boot()
    await here.book.until(listening(here))
    return here.folder / "volume"


async def word(here: Instance, orders: Orders) -> None:
    here.book.orders = orders
    here.book.word = True
    await here.book.change()


async def test_the_server_is_at_home_in_the_folder_and_a_word_makes_it_leave(here: Instance) -> None:
    home = await in_a_home(here, "--stubborn-child")
    assert here.stages() == ["account", "home", "notebook", "listening"]
    assert ((await environment(here))["HOME"], (await environment(here))["cwd"]) == (str(home), str(home))
    await word(here, Orders(leave_within_s=20.0))
    await here.book.until(lambda: here.book.reports[-1].stage == "left", 60.0)
    assert here.book.reports[-1].home.state == "clean"
    assert here.stubs() == []
    await word(here, Orders(stop=True))
    assert await here.ended() == 0


async def test_a_new_agent_after_it_left_starts_no_server(here: Instance) -> None:
    await in_a_home(here)
    await word(here, Orders(leave_within_s=20.0))
    await here.book.until(lambda: here.book.reports[-1].stage == "left", 60.0)
    here.kill_agent()
    here.book.reports.clear()
    here.boot()
    await here.book.until(lambda: bool(here.book.reports))
    assert [(report.stage, report.home.state) for report in here.book.reports] == [("left", "clean")]
    assert here.stubs() == []


async def test_materials_that_cannot_be_fetched_are_told_and_the_server_is_there(here: Instance) -> None:
    await in_a_home(here, seed=SeedWish("git", "https://127.0.0.1:1/course"))
    told = here.book.reports[-1]
    assert told.detail.startswith("The materials for your home could not be fetched")
    assert "127.0.0.1:1/course" not in told.detail
    shown = json.loads((here.run_dir / "public" / "home.json").read_text())
    assert shown["notices"][-1] == told.detail
    assert shown["state"] == "mounted"
    assert json.loads((here.run_dir / "public" / "gpus.json").read_text()) == {"gpus": []}


async def test_a_hub_that_knows_no_word_is_served_as_ever(here: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    here.settings = HandshakeSettings(poll_s=3.0, report_s=0.3, early_retry_s=0.1)
    monkeypatch.setattr(books.MemoryBook, "has_word", lambda _book, _attempt: False)
    await here.server.stop()
    here.server = type(here.server)(
        here.book, bind_address=books.HOME, port=here.server.port, authority=here.authority, settings=here.settings
    )
    await here.server.start()
    await in_a_home(here)
    here.book.orders = Orders(leave_within_s=20.0)
    await here.book.until(lambda: here.book.reports[-1].stage == "left", 60.0)


async def test_a_disk_that_is_none_is_a_problem_in_one_sentence(here: Instance) -> None:
    (here.folder / "volume").rmdir()
    (here.folder / "volume").write_text("")
    link = next((here.folder / "by-id").iterdir())
    link.unlink()
    link.symlink_to("/dev/null")
    (here.folder / "by-id" / f"virtio-{VOLUME[:SHOWN]}-2").symlink_to(here.folder)
    (here.folder / "by-id" / f"scsi-0QEMU_{VOLUME}").symlink_to(here.run_dir.parent / "guest")
    here.book.given = here.assignment(home=HomeMount("volume", VOLUME, may_format=True))
    here.boot()
    await here.book.until(lambda: bool(here.book.reports) and here.book.reports[-1].stage == "failed")
    told = here.book.reports[-1]
    assert (told.problem, told.detail) == ("home", "Your home cannot be used: two disks bear its serial number.")
