"""A derived image on the embedded cloud: a machine with the real guest program becomes an image to start from."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import Conflict
from js2spawner.cloud.records import Image
from js2spawner.devcloud.machine import Machines
from js2spawner.library import properties
from js2spawner.library.builds import Build, Builds
from js2spawner.library.definition import Definition, Derived, Environment, Layer
from js2spawner.library.derived import Patience, Settings, leftovers, papers, saving
from js2spawner.library.derived.launching import BUILDER, PURPOSE
from js2spawner.library.derived.making import build_here
from js2spawner.library.inventorying import record
from js2spawner.library.scratch.tools import CannotBuild
from tests.devcloud.client import Scene, devcloud

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a machine a view of its own"),
    pytest.mark.timeout(600),
]
HURRY = Patience(boot_s=90, silence_s=60, stop_s=60, save_s=60, delete_s=60, look_up_s=5, look_every_s=0.2)
BASE = "Featured-Ubuntu24"
ON_ITS_OWN = """
import sys
from pathlib import Path
from js2spawner.cloud.cloud import Cloud
from js2spawner.library.builds import Builds
from js2spawner.library.definition import Layer
from js2spawner.library.derived import Settings, build
from js2spawner.library.scratch.tools import CannotBuild
from tests.devcloud.test_derived_image import HURRY, definition
slow = definition("tiny", Layer("own", commands=("sleep 300",)))
try:
    build(slow, Builds(Path(sys.argv[1])), Cloud("devcloud", config_file=sys.argv[2]), Settings(patience=HURRY), print)
except CannotBuild as problem:
    print(problem)
"""
PYTHON = "3.11.2"


@dataclass
class Workshop:
    """A cloud with machines, a folder of builds, and what was said."""

    scene: Scene
    cloud: Cloud
    builds: Builds
    folder: Path
    said: list[str] = field(default_factory=list)

    async def build(self, definition: Definition, settings: Settings | None = None) -> Build:
        return await build_here(
            definition, self.builds, self.cloud, settings or Settings(patience=HURRY), self.said.append
        )

    async def image(self, build: Build) -> Image:
        return await self.cloud.images.get(build.cloud_image)

    async def left(self) -> list[str]:
        """What is marked as a build under way, and groups of builds: nothing, but in the middle of one."""
        servers, images = await leftovers.marked(self.cloud, leftovers.builder_id(self.builds))
        groups = (await self.scene.hub.get("/network/v2.0/security-groups"))["security_groups"]
        named = [group["name"] for group in groups if group["name"].startswith("js2-build-")]
        return [*(server.name for server in servers), *(image.name for image in images), *named]


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own: that one is closed to the accounts in a machine.
    with tempfile.TemporaryDirectory(prefix="js2-derived-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
async def workshop(folder: Path) -> AsyncIterator[Workshop]:
    async with devcloud(folder / "cloud", machines=Machines, boot_seconds=0.2) as scene:
        cloud = Cloud("devcloud", config_file=str(scene.running.clouds_yaml))
        try:
            yield Workshop(scene, cloud, Builds(folder / "builds"), folder)
        finally:
            await cloud.close()


def definition(name: str, *layers: Layer, base: str = BASE, smoke: tuple[Path, ...] = ()) -> Definition:
    return Definition(
        name=name,
        title=name.title(),
        description="A small one.",
        inside=("something",),
        owner="nobody",
        base=Derived(base),
        layers=layers,
        smoke=smoke,
        smallest="m3.tiny",
        gpu="no",
        rebuild_after_days=30,
    )


def tree(folder: Path, **files: str | bytes) -> Path:
    """A folder of files; `__` stands for a slash and `_dot_` for a dot."""
    for name, content in files.items():
        file = folder / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def wheel(file: Path) -> str:
    """A wheel of one module; its hash."""
    metadata = "Metadata-Version: 2.1\nName: tinything\nVersion: 1.5\nLicense: MIT\n"
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("tinything.py", "ANSWER = 42\n")
        made.writestr("tinything-1.5.dist-info/METADATA", metadata)
        made.writestr("tinything-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr("tinything-1.5.dist-info/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def offline_layers(folder: Path) -> tuple[Layer, Layer]:
    """An index of wheels in the image itself, and an environment of it: nothing is fetched from anywhere."""
    made = folder / "tinything-1.5-py3-none-any.whl"
    digest = wheel(made)
    index = tree(folder / "index", etc__pip_dot_conf="[global]\nno-index = true\nfind-links = /srv/wheels\n")
    (index / "srv/wheels").mkdir(parents=True)
    made.rename(index / "srv/wheels" / made.name)
    lock = folder / "science.txt"
    lock.write_text(f"# Python {PYTHON}, x86_64: tinything\ntinything==1.5 --hash=sha256:{digest}\n")
    environment = Environment("science", ("tinything",), lock, python=PYTHON)
    return Layer("index", files=index), Layer("science", environments=(environment,))


def borrowed_server() -> str:
    """The environment that runs these tests, as the image's server: a real one would have to be downloaded."""
    return (
        f"mkdir -p /opt/js2/server/bin && cd /opt/js2/server && cp {sys.prefix}/pyvenv.cfg ."
        f" && ln -s {sys.prefix}/lib lib && ln -s {sys.prefix}/share share"
        f" && ln -s $(readlink -f {sys.executable}) bin/python"
    )


async def test_a_definition_becomes_an_image_and_a_build_of_that_image_finds_it_all(workshop: Workshop) -> None:
    files = tree(workshop.folder / "files", opt__greeting="hello from the definition\n" * 5000)
    notebook = workshop.folder / "smoke.ipynb"
    cell = {"cell_type": "code", "source": "import os\nassert os.getuid() != 0", "metadata": {}, "outputs": []}
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    own = Layer("own", files=files, commands=("cp /opt/greeting /srv/copy", borrowed_server()), masked=("noise.timer",))
    made = await workshop.build(definition("tiny", *offline_layers(workshop.folder), own, smoke=(notebook,)))

    image = await workshop.image(made)
    assert image.status == "active"
    assert image.properties[properties.IMAGE] == "tiny"
    assert image.properties[properties.BUILD] == made.id
    assert not {PURPOSE, BUILDER, properties.PROMOTED_AT} & image.properties.keys()
    assert await workshop.left() == []
    assert workshop.builds.newest("tiny") == made
    software = record.read(workshop.builds.place(made) / record.NAME)
    assert [(each.version, each.licence) for each in software if each.name == "tinything"] == [("1.5", "MIT")]
    assert any("smoke.ipynb" in line for line in workshop.said)

    look = (
        "grep -q 'hello from the definition' /opt/greeting && cmp /opt/greeting /srv/copy",
        "/opt/js2/science/bin/python -c 'import tinything; assert tinything.ANSWER == 42'",
        "test -f /opt/js2/guest/agent.py && test -x /opt/js2/start-guest && test ! -e /var/tmp/js2-build/x",
        'test "$(readlink /etc/systemd/system/noise.timer)" = /dev/null',
        "test -L /etc/systemd/system/multi-user.target.wants/js2-guest.service",
    )
    again = await workshop.build(definition("second", Layer("look", commands=look), base=image.name))
    assert json.loads((workshop.builds.place(again) / papers.BASE).read_text())["id"] == image.id


async def test_nothing_that_opens_or_names_the_building_machine_is_in_the_image(workshop: Workshop) -> None:
    made = await workshop.build(definition("tiny", Layer("own", commands=("echo x > /root/.bash_history",))))
    disk = workshop.scene.cloud.settings.directory / "images" / made.cloud_image
    assert list((disk / "root/.js2").glob("*")) == []
    assert not (disk / "root/.bash_history").exists()
    assert (disk / "etc/machine-id").read_text() == ""


async def test_a_step_that_fails_is_named_with_its_own_words_and_nothing_is_left(workshop: Workshop) -> None:
    broken = definition("tiny", Layer("own", commands=("true", "echo no room for this >&2; exit 7")))
    with pytest.raises(CannotBuild, match=r"step “own: command 2.*status 7: no room for this"):
        await workshop.build(broken)
    assert await workshop.left() == []
    assert workshop.builds.of("tiny") == []
    names = [image.name for image in await workshop.cloud.images.list()]
    assert not [name for name in names if name.startswith("js2-tiny")]


async def test_a_base_that_vanished_is_told_before_anything_is_made(workshop: Workshop) -> None:
    with pytest.raises(CannotBuild, match="no usable image named 'Featured-Gone'"):
        await workshop.build(definition("tiny", Layer("own"), base="Featured-Gone"))
    assert await workshop.left() == []


async def test_a_file_that_is_changed_while_a_build_goes_on_is_not_in_it(workshop: Workshop) -> None:
    files = tree(workshop.folder / "files", opt__greeting="as it was")
    slow = Layer("own", files=files, commands=("sleep 3", "grep 'as it was' /opt/greeting"))
    building = asyncio.ensure_future(workshop.build(definition("tiny", slow)))
    before = definition("tiny", slow).key
    await _until_building(workshop)
    tree(files, opt__greeting="as it is now")
    assert (await building).definition == before


async def test_an_instance_that_somebody_deletes_ends_the_build(workshop: Workshop) -> None:
    building = asyncio.ensure_future(workshop.build(definition("tiny", Layer("own", commands=("sleep 300",)))))
    await _until_building(workshop)
    (server, *_), _ = await leftovers.marked(workshop.cloud, leftovers.builder_id(workshop.builds))
    await workshop.cloud.compute.delete_server(server.id)
    with pytest.raises(CannotBuild, match="somebody deleted the instance"):
        await building
    assert await workshop.left() == []


async def test_an_interrupted_build_takes_everything_away_before_it_ends(workshop: Workshop) -> None:
    building = asyncio.ensure_future(workshop.build(definition("tiny", Layer("own", commands=("sleep 300",)))))
    await _until_building(workshop)
    building.cancel()
    # Impatience is no reason to leave an instance behind that costs money.
    await asyncio.sleep(0)
    building.cancel()
    with suppress(asyncio.CancelledError):
        await building
    assert building.cancelled()
    assert await workshop.left() == []


async def test_sigterm_ends_a_build_and_not_its_cleaning_up(workshop: Workshop) -> None:
    arguments = [str(workshop.builds.folder), str(workshop.scene.running.clouds_yaml)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ON_ITS_OWN, *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        await _until_building(workshop)
        process.terminate()
        said, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "The build was ended; what it had made in the cloud is taken away." in said.decode()
    assert await workshop.left() == []


async def test_a_smoke_notebook_that_fails_on_the_started_image_leaves_no_image(workshop: Workshop) -> None:
    notebook = workshop.folder / "smoke.ipynb"
    cell = {"cell_type": "code", "source": "import no_such_library", "metadata": {}, "outputs": []}
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    own = Layer("own", commands=(borrowed_server(),))
    with pytest.raises(CannotBuild, match=r"smoke notebook smoke.ipynb.*No module named 'no_such_library'"):
        await workshop.build(definition("tiny", own, smoke=(notebook,)))
    assert await workshop.left() == []
    assert not [each for each in await workshop.cloud.images.list() if each.name.startswith("js2-tiny")]


async def test_what_a_killed_builder_left_is_taken_away_by_its_next_build_of_anything(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        """A process that is killed goes no further and cleans nothing up."""
        raise CannotBuild("killed")

    with monkeypatch.context() as patched:
        patched.setattr(leftovers, "remove_all_of", killed)
        patched.setattr(saving, "finish", killed)
        with pytest.raises(CannotBuild, match="killed"):
            await workshop.build(definition("tiny", Layer("own")))
    servers, images = await leftovers.marked(workshop.cloud, leftovers.builder_id(workshop.builds))
    assert (len(servers), len(images)) == (1, 1)
    await workshop.build(definition("other", Layer("own")))
    assert await workshop.left() == []


async def test_what_another_process_is_building_right_now_is_left_alone(workshop: Workshop) -> None:
    with workshop.builds.alone("build of other"):
        slow = definition("other", Layer("own", commands=("sleep 300",)))
        building = asyncio.ensure_future(workshop.build(slow))
        await _until_building(workshop)
        await workshop.build(definition("tiny", Layer("own")))
        assert any(name.startswith("js2-build-other-") for name in await workshop.left())
        building.cancel()
        with suppress(asyncio.CancelledError):
            await building


@pytest.mark.parametrize(
    "operation",
    ["compute.servers.create", "compute.servers.os-stop", "compute.servers.createImage", "image.images.update"],
)
async def test_an_answer_that_was_lost_is_looked_up_and_nothing_is_asked_for_twice(
    workshop: Workshop, operation: str
) -> None:
    rule = {"name": "lost", "match": {"operation": operation}, "when": {"count": 1}}
    seen = await workshop.scene.nobody.call("POST", "/devcloud/faults", {**rule, "effect": {"lose": "after"}})
    assert seen.status == 200, seen.body
    made = await workshop.build(definition("tiny", Layer("own")))
    assert [armed.struck for armed in workshop.scene.cloud.faults.armed] == [1]
    images = [each for each in await workshop.cloud.images.list() if each.name.startswith("js2-tiny")]
    assert [each.id for each in images] == [made.cloud_image]
    assert PURPOSE not in images[0].properties
    assert await workshop.left() == []


async def test_an_instance_that_never_speaks_is_given_up_and_deleted(workshop: Workshop) -> None:
    # It is told to reach us where nobody listens.
    mute = Settings(url="https://127.0.0.1:9", patience=replace(HURRY, boot_s=3))
    with pytest.raises(CannotBuild, match=r"did not say hello within 3 s.*--handshake-url"):
        await workshop.build(definition("tiny", Layer("own")), mute)
    assert any(line.startswith("console: ") for line in workshop.said)
    assert await workshop.left() == []


async def _console(workshop: Workshop, server_id: str) -> str:
    """The end of a console; nothing before there is a machine to have one."""
    try:
        return await workshop.cloud.compute.console_log(server_id, lines=3)
    except Conflict:
        return ""


async def _until_building(workshop: Workshop) -> None:
    """Until an instance is in the middle of its steps: its console says so."""
    async with asyncio.timeout(60):
        while True:
            servers, _ = await leftovers.marked(workshop.cloud, leftovers.builder_id(workshop.builds))
            for server in servers:
                if "command" in await _console(workshop, server.id):
                    return
            await asyncio.sleep(0.1)
