"""What a base without our guest program is booted with, as its own Python runs it, against the real counter."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.messages import BuildStep
from js2spawner.handshake.server import HandshakeServer
from js2spawner.library.derived import booting
from js2spawner.library.derived.book import BuilderBook, StepBroken
from tests.devcloud.guests import instance
from tests.unit.handshake import books

ATTEMPT = "build-1"


@dataclass
class Base:
    """A machine of somebody else's: a config drive, and what its cloud-init would have written."""

    folder: Path
    book: BuilderBook
    process: subprocess.Popen[bytes]

    @property
    def console(self) -> str:
        return (self.folder / "console").read_text()


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[Base]:
    book = BuilderBook(ATTEMPT, books.TICKET, lambda _line: None)
    book.launched(books.SERVER_ID, (books.HOME,))
    authority = books.authority(tmp_path)
    settings = HandshakeSettings(poll_s=3.0, report_s=0.3)
    server = HandshakeServer(book, bind_address=books.HOME, port=0, authority=authority, settings=settings)
    await server.start()
    text = booting.boot_text(
        url=server.url, authority_pem=authority.ca_pem, attempt_id=ATTEMPT, ticket=books.TICKET, with_program=True
    )
    drive = tmp_path / "drive/openstack/latest"
    drive.mkdir(parents=True)
    (drive / "meta_data.json").write_text(json.dumps({"uuid": books.SERVER_ID}))
    (drive / "user_data").write_text(text)
    (program,) = yaml.safe_load(text)["write_files"]
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(program["content"])), mode="r:xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with (tmp_path / "console").open("wb") as console:
        process = subprocess.Popen(
            ["/usr/bin/python3", "-I", str(tmp_path / "guest/building.py"), str(tmp_path / "kept"),
             "--config-drive", str(tmp_path / "drive")],
            cwd="/", stdin=subprocess.DEVNULL, stdout=console, stderr=console,
        )  # fmt: skip
    try:
        yield Base(tmp_path, book, process)
    finally:
        process.kill()
        process.wait()
        await server.stop()


async def test_it_says_hello_and_carries_out_steps_with_nothing_but_the_systems_python(base: Base) -> None:
    report = await base.book.carry_out({"kind": "command", "text": "echo from the machine"}, 60, 2)
    assert (report.stage, report.result) == ("building", "from the machine")
    with pytest.raises(StepBroken, match="status 4"):
        await base.book.carry_out({"kind": "command", "text": "exit 4"}, 60, 2)


async def test_it_keeps_nothing_but_in_its_folder_and_ends_when_the_build_does(
    base: Base, eventually: Callable[..., Awaitable[None]]
) -> None:
    await base.book.carry_out({"kind": "command", "text": "true"}, 60, 2)
    assert (base.folder / "kept/state/credential.json").stat().st_mode & 0o077 == 0
    assert base.process.poll() is None
    base.process.terminate()
    await eventually(lambda: base.process.poll() is not None)
    assert base.process.returncode == 0
    for secret in (books.TICKET, json.loads((base.folder / "kept/state/credential.json").read_text())["credential"]):
        assert secret not in base.console


async def test_a_guest_program_without_root_makes_no_image(free_port: Callable[[], int]) -> None:
    settings = HandshakeSettings(poll_s=3.0, report_s=0.3, early_retry_s=0.1)
    async with instance(free_port, settings) as here:
        here.book.given = BuildStep("1", 1, 1, 60, {"kind": "command", "text": f"touch {here.folder}/done"})  # type: ignore[assignment]
        here.boot()
        await here.book.until(lambda: bool(here.book.reports) and here.book.reports[-1].stage == "failed")
        assert here.book.reports[-1].problem == "build"
        assert not (here.folder / "done").exists()
