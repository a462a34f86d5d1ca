"""`js2 image rebuild` with this machine's own builder and QEMU, and the embedded cloud. Minutes, as root."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import js2spawner.guest
from js2spawner.cli import main
from js2spawner.library import boot, pruning
from js2spawner.library.builds import BootReport, Builds
from js2spawner.library.definition import Definition
from js2spawner.library.scratch.tools import NEEDED
from tests.devcloud.client import Scene, devcloud
from tests.openstack.place import ROOT

pytestmark = [
    pytest.mark.boot,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="builds an image, which takes root"),
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="building images takes tools that are not here"),
]


@dataclass(frozen=True)
class Timer:
    """What a timer would run, for a library of `minimal` alone."""

    folder: Path
    scene: Scene

    @property
    def builds(self) -> Builds:
        return Builds(self.folder / "builds")

    async def runs(self, *words: str) -> Mapping[str, Any]:
        [outcome] = (await self.image("rebuild", *words))["images"]
        assert outcome["failure"] == ""
        return dict(outcome)

    async def versions(self) -> Mapping[str, str]:
        [image] = (await self.image("list"))["images"]
        return {version["build"]: f"{version['signature']}, {version['standing']}" for version in image["versions"]}

    async def image(self, command: str, *words: str) -> Any:
        places = ["--builds", str(self.builds.folder), "--library", str(self.folder / "images")]
        cloud = ["--cloud", "devcloud", "--clouds-yaml", str(self.scene.running.clouds_yaml)]
        done = await asyncio.to_thread(CliRunner().invoke, main, ["image", command, *words, *places, *cloud, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
async def timer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Timer]:
    for name in ("JS2_IMAGE_KEYS", "OS_CLOUD"):
        monkeypatch.delenv(name, raising=False)
    # Not pytest's own folder, which it keeps: here are disks.
    folder = ROOT / ".images" / f".rebuild-{os.getpid()}"
    shutil.copytree(ROOT / "images", folder / "images")
    for definition in (folder / "images").glob("*.yaml"):
        if definition.name != "minimal.yaml":
            definition.unlink()
    # Who edits the guest program while this goes on makes nothing due.
    guest = Path(shutil.copytree(Path(js2spawner.guest.__file__).parent, folder / "guest"))
    monkeypatch.setattr(js2spawner.guest, "__file__", str(guest / "__init__.py"))
    (folder / "builds").mkdir()
    (ROOT / ".images" / "cache").mkdir(exist_ok=True)
    (folder / "builds" / "cache").symlink_to(ROOT / ".images" / "cache")
    try:
        async with devcloud(folder / "cloud") as scene:
            yield Timer(folder, scene)
    finally:
        shutil.rmtree(folder)


async def test_what_is_due_is_built_booted_published_and_promoted_and_what_was_before_it_pruned(
    timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await timer.runs()
    assert first["due"] == "never published"
    built = timer.builds.newest("minimal")
    assert built is not None
    assert (built.id, built.boot and built.boot.passed) == (first["build"], True)
    assert await timer.versions() == {first["build"]: "signed, current"}
    assert (await timer.runs())["due"] == ""

    (timer.folder / "images" / "files" / "minimal" / "etc" / "motd").write_text("Changed\n")
    # Neither another machine, as one was seen to boot, nor the hour for which starts may hold the version before.
    monkeypatch.setattr(boot, "test", _passed)
    monkeypatch.setattr(pruning, "STARTS_MAY_HOLD", timedelta(0))
    second = await timer.runs("--keep", "1")
    assert (second["due"], second["pruned"]) == ("its definition changed", 2)
    assert await timer.versions() == {second["build"]: "signed, current"}
    assert [build.id for build in timer.builds.of("minimal")] == [second["build"]]


def _passed(definition: Definition, *_: object, **_more: object) -> BootReport:
    return BootReport("2026-11-25T00:00:00+00:00", "tcg", {}, smoke=definition.smoke_key)
