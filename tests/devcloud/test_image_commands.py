"""`js2 image` against a cloud: what people type, what they are told, and how it ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha512
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from js2spawner.cli import main
from js2spawner.cloud.errors import QuotaExceeded
from js2spawner.library import baked, scratch
from js2spawner.library.builds import DISK, BootReport, Build, Builds
from js2spawner.library.commands.in_cloud import told
from js2spawner.library.converting import CannotPublish
from js2spawner.library.reading import read
from js2spawner.library.signing import SigningKey
from tests.devcloud.client import Scene
from tests.unit.library.written import Library


@dataclass
class Desk:
    """Somebody with a library, a folder of builds and a cloud."""

    scene: Scene
    folder: Path

    @property
    def builds(self) -> Builds:
        return Builds(self.folder / "builds")

    async def image(self, command: str, *arguments: str, as_json: bool = True, cloud: bool = True) -> Any:
        result = await self.result(command, *arguments, *(["--json"] if as_json else []), cloud=cloud)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if as_json else result.stdout

    async def refused(self, command: str, *arguments: str) -> str:
        result = await self.result(command, *arguments)
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.output
        return str(result.stderr)

    async def result(self, command: str, *arguments: str, cloud: bool = True) -> Result:
        words = ["image", command, *arguments, "--builds", str(self.builds.folder)]
        if command in ("list", "publish", "rebuild"):
            words += ["--library", str(self.folder / "images")]
        if cloud:
            words += ["--cloud", "devcloud", "--clouds-yaml", str(self.scene.running.clouds_yaml)]
        return await asyncio.to_thread(CliRunner().invoke, main, words)

    def built(self, number: int = 1) -> Build:
        definition = read(self.folder / "images", "small")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made_with = baked.digest(definition)
        build = Build("small", f"2026112{number}T000000Z-1a2b3c4d", definition.key, "scratch", now, made_with=made_with)
        data = b"disk %d" % number
        build = replace(
            build, disk_sha512=sha512(data).hexdigest(), boot=BootReport(now, "tcg", {}, smoke=definition.smoke_key)
        )
        self.builds.save(build)
        (self.builds.place(build) / DISK).write_bytes(data)
        return build


@pytest.fixture
def desk(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("JS2_IMAGE_KEYS", "OS_CLOUD"):
        monkeypatch.delenv(name, raising=False)
    library = Library(tmp_path / "images")
    (library.folder / "more.yaml").unlink()
    return Desk(scene, tmp_path)


async def test_the_life_of_an_image_from_the_command_line(desk: Desk) -> None:
    first, second = desk.built(1), desk.built(2)
    told = await desk.image("publish", "small", first.id, "--promote", "--format", "qcow2")
    assert (told["build"], told["how"], told["promoted"]) == (first.id, "uploaded", True)
    again = await desk.image("publish", "small", first.id)
    assert (again["how"], again["promoted"]) == ("was there", True)
    key = desk.builds.folder / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "js2 image promote small" in await desk.image("publish", "small", "--format", "qcow2", as_json=False)
    assert await _standing(desk) == {first.id: "current", second.id: "waiting"}
    assert (await desk.image("promote", "small"))["changed"]
    assert not (await desk.image("promote", "small"))["changed"]
    assert await _standing(desk) == {first.id: "before", second.id: "current"}
    assert (await desk.image("rollback", "small"))["build"] == first.id
    assert await _standing(desk) == {first.id: "current", second.id: "withdrawn"}
    pruned = await desk.image("prune", "small", "--dry-run")
    assert [fate["delete"] for fate in pruned["cloud"]] == [False, False]
    [rebuilt] = (await desk.image("rebuild"))["images"]
    assert (rebuilt["due"], "withdrawn" in rebuilt["note"]) == ("", True)


async def _standing(desk: Desk) -> dict[str, str]:
    [image] = (await desk.image("list"))["images"]
    assert {version["signature"] for version in image["versions"]} == {"signed"}
    return {version["build"]: version["standing"] for version in image["versions"]}


async def test_what_is_listed_without_a_cloud_is_what_is_here(desk: Desk) -> None:
    desk.built()
    assert "versions" not in (await desk.image("list", cloud=False))["images"][0]


async def test_whoever_has_no_key_sees_that_nobody_vouches(desk: Desk) -> None:
    desk.built()
    await desk.image("publish", "small", "--format", "qcow2")
    (desk.builds.folder / "signing.pub").unlink()
    [image] = (await desk.image("list"))["images"]
    assert image["versions"][0]["signature"] == "signed with a key that is not known here"
    assert "name a file of them with --keys" in await desk.refused("promote", "small")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("publish", "small", "nonsense"),
            "There is no build nonsense of small; there are: 20261121T000000Z-1a2b3c4d.",
        ),
        (("publish", "nothing"), "there is no image “nothing”"),
        (("publish", "small", "--key", "/nowhere/key"), "The key /nowhere/key cannot be read"),
        (("promote", "small", "--keys", "/nowhere/keys"), "The public keys in /nowhere/keys cannot be read"),
        (("rollback", "small"), "There is no promoted version of small in this cloud"),
        (("promote", "small"), "No signed version of small is in this cloud; run js2 image publish small"),
    ],
)
async def test_a_refusal_is_one_sentence_with_what_to_do(desk: Desk, arguments: tuple[str, ...], sentence: str) -> None:
    desk.built()
    SigningKey.make(desk.builds.folder / "signing.key")
    assert sentence in await desk.refused(*arguments)


async def test_an_image_without_a_build_says_how_to_make_one(desk: Desk) -> None:
    assert "js2 image build small" in await desk.refused("publish", "small")


async def test_a_cloud_that_clouds_yaml_does_not_have_is_told(desk: Desk) -> None:
    desk.built()
    result = await desk.result("publish", "small", "--cloud", "elsewhere", cloud=False)
    assert result.exit_code == 1
    assert "clouds.yaml has a mistake" in result.stderr


async def test_what_is_due_is_said_and_nothing_done_in_a_dry_run(desk: Desk) -> None:
    desk.built()
    [outcome] = (await desk.image("rebuild", "--dry-run"))["images"]
    assert (outcome["due"], outcome["build"]) == ("never published", "")
    assert not (desk.builds.folder / "signing.key").exists()
    assert (await desk.image("list"))["images"][0]["versions"] == []


async def test_a_rebuild_takes_up_a_tested_build_and_promotes_it(desk: Desk) -> None:
    build = desk.built()
    [outcome] = (await desk.image("rebuild", "small", "--format", "qcow2"))["images"]
    assert (outcome["build"], outcome["failure"]) == (build.id, "")
    assert await _standing(desk) == {build.id: "current"}
    assert (await desk.image("rebuild"))["images"][0]["due"] == ""


async def test_a_rebuild_that_fails_ends_with_1_and_says_why(desk: Desk) -> None:
    # What cannot be mended by building it again; a damaged disk can, and that is done at once.
    build = desk.built()
    (desk.builds.place(build) / ".upload").touch()
    result = await desk.result("rebuild", "--json")
    assert result.exit_code == 1
    [outcome] = json.loads(result.stdout)["images"]
    assert "cannot be converted" in outcome["failure"]


async def test_a_rebuild_builds_anew_what_it_cannot_take_up_as_its_disk_is_damaged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every run of a timer would fail with "build it again" until the definition changes.
    damaged = desk.built(1)
    (desk.builds.place(damaged) / DISK).write_bytes(b"other")
    monkeypatch.setattr(scratch, "build", lambda *_args, **_options: desk.built(2))
    result = await desk.result("rebuild", "--json", "--format", "qcow2")
    assert "not the disk that was built" in result.stderr
    [outcome] = json.loads(result.stdout)["images"]
    assert (result.exit_code, outcome["failure"]) == (0, "")
    assert await _standing(desk) == {outcome["build"]: "current"}


async def test_a_build_of_another_definition_or_tested_with_other_notebooks_is_not_published(desk: Desk) -> None:
    desk.built()
    notebook = desk.folder / "images" / "notebooks" / "python.ipynb"
    before = notebook.read_text()
    notebook.write_text(before.replace('"1"', '"2"'))
    assert "tested with other smoke notebooks" in await desk.refused("publish", "small", "--format", "qcow2")
    notebook.write_text(before)
    definition = desk.folder / "images" / "small.yaml"
    definition.write_text(definition.read_text() + "packages: [tmux]\n")
    assert "js2 image build small" in await desk.refused("publish", "small", "--format", "qcow2")
    await desk.image("publish", "small", "--format", "qcow2", "--untested")


async def test_a_definition_that_is_broken_does_not_keep_the_others_from_their_turn(desk: Desk) -> None:
    build = desk.built()
    (desk.folder / "images" / "broken.yaml").write_text("title: 5\n")
    result = await desk.result("rebuild", "--json", "--format", "qcow2")
    assert result.exit_code == 1
    broken, good = json.loads(result.stdout)["images"]
    assert (broken["image"], "broken.yaml:1" in broken["failure"]) == ("broken", True)
    assert (good["build"], good["failure"]) == (build.id, "")


def test_the_clouds_own_words_stand_behind_the_name_of_a_refusal() -> None:
    quota = QuotaExceeded("Image storage quota exceeded", quota="images")
    assert told(quota).endswith("(Image storage quota exceeded).")
    assert told(PermissionError(13, "Permission denied", "/x")) == "/x cannot be used: Permission denied."
    assert told(CannotPublish("As it is.")) == "As it is."
