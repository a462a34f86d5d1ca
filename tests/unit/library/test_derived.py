"""A derived image, as far as it needs no cloud: its steps, what its instance boots with, its book."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from js2spawner.cloud.records import Image
from js2spawner.guest import seed as seeds
from js2spawner.handshake import desk
from js2spawner.handshake.desk import Verdict
from js2spawner.handshake.messages import BuildStep, report_from
from js2spawner.library.builds import Builds
from js2spawner.library.definition import Definition, Derived, Environment, Gpu, Kernel, Layer
from js2spawner.library.derived import booting, bundle, launching, leftovers, making, papers, plan
from js2spawner.library.derived.book import BuilderBook, StepBroken
from js2spawner.library.derived.bundle import Blob, Do
from js2spawner.library.derived.settings import Patience, Settings
from js2spawner.library.pruning import unrecorded
from js2spawner.library.scratch.tools import CannotBuild
from js2spawner.library.software import Package
from js2spawner.library.steps import Steps
from tests.unit.handshake import books

PATIENCE = Patience()
NOBODY: Gpu = "no"


def definition(*layers: Layer, smoke: tuple[Path, ...] = ()) -> Definition:
    base = Derived("Featured-Ubuntu24")
    return Definition("tiny", "Tiny", "Small.", ("x",), "me", base, layers, smoke, "m3.tiny", NOBODY, 30)


def environment(folder: Path, name: str, left_out: tuple[str, ...] = ()) -> Environment:
    lock = folder / f"{name}.txt"
    pins = "".join(f"{package}==1.0 --hash=sha256:{'a' * 64}\n" for package in ("one", "two"))
    lock.write_text(f"# Python 3.12.3, x86_64: one two\n{pins}")
    return Environment(name, ("one", "two"), lock, left_out, "3.12.3")


def files(folder: Path, **content: str) -> Path:
    for name, text in content.items():
        file = folder / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def kinds(tasks: list[plan.Task]) -> list[str]:
    return [f"{task.name}: {task.steps[-1]['kind']}" for task in tasks]


def sent(steps: list[Do]) -> dict[str, bytes]:
    """What the pieces of these steps put together, by name."""
    found: dict[str, bytes] = {}
    for step in (each for each in steps if each["kind"] == "piece"):
        assert step["offset"] == len(found.get(step["name"], b""))
        found[step["name"]] = found.get(step["name"], b"") + base64.b64decode(step["data"])
    return found


def unpacked(tasks: list[plan.Task], name: str) -> dict[str, tarfile.TarInfo]:
    (task,) = [task for task in tasks if task.name == name]
    (data,) = sent(list(task.steps)).values()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:xz") as archive:
        return {member.name: member for member in archive}


def test_each_layer_has_its_packages_environments_files_and_commands_in_this_order(tmp_path: Path) -> None:
    first = Layer("first", packages=("git",), environments=(environment(tmp_path, "server"),), commands=("true",))
    second = Layer("second", files=files(tmp_path / "tree", opt__x="x"), commands=("a", "b"))
    assert kinds(plan.making(definition(first, second), PATIENCE)) == [
        "first: Debian packages: packages",
        "first: environment server: environment",
        "first: command 1: command",
        "second: files: unpack",
        "second: command 1: command",
        "second: command 2: command",
        "guest program: command",
    ]


def test_a_lock_is_sent_without_what_is_left_out_and_with_its_hashes(tmp_path: Path) -> None:
    layer = Layer("own", environments=(environment(tmp_path, "science", left_out=("two",)),))
    task = plan.making(definition(layer), PATIENCE)[0]
    (lock,) = sent(list(task.steps)).values()
    assert lock.decode().split() == ["one==1.0", f"--hash=sha256:{'a' * 64}"]
    assert task.steps[-1]["pip"] is True
    assert task.steps[-1]["python"] == "3.12.3"


def test_units_are_enabled_and_masked_as_links(tmp_path: Path) -> None:
    tree = files(tmp_path / "tree", etc__systemd__system__tool_dot_service="[Install]\nWantedBy=multi-user.target\n")
    tasks = plan.making(definition(Layer("own", files=tree, masked=("noise.timer",))), PATIENCE)
    laid = unpacked(tasks, "own: files")
    enabled = laid["etc/systemd/system/multi-user.target.wants/tool.service"]
    assert enabled.linkname == "/etc/systemd/system/tool.service"
    assert laid["etc/systemd/system/noise.timer"].linkname == "/dev/null"


def test_an_environment_that_is_made_anew_gets_back_what_earlier_layers_laid_into_it(tmp_path: Path) -> None:
    tree = files(tmp_path / "tree", opt__js2__server__share__settings="s", opt__other="o")
    kernel = Kernel("mine", "Mine", "python", argv=("x", "{connection_file}"))
    first = Layer("first", environments=(environment(tmp_path, "server"),), files=tree, kernels=(kernel,))
    second = Layer("second", environments=(environment(tmp_path, "server"),))
    laid = unpacked(plan.making(definition(first, second), PATIENCE), "second: files")
    assert "opt/js2/server/share/settings" in laid
    assert "opt/js2/server/share/jupyter/kernels/mine/kernel.json" in laid
    assert "opt/other" not in laid


def test_the_guest_program_is_baked_in_with_a_starter_unless_the_definition_has_its_own(tmp_path: Path) -> None:
    laid = unpacked(plan.making(definition(Layer("own")), PATIENCE), "guest program")
    starters = {"opt/js2/start-guest", "etc/systemd/system/js2-guest.service"}
    assert starters < laid.keys()
    assert laid["opt/js2/start-guest"].mode & 0o111
    assert {"opt/js2/guest/agent.py", "opt/js2/guest/labextension/js2-lease/package.json"} < laid.keys()
    own = files(tmp_path / "t", opt__js2__start_guest="#!/bin/sh\n").rename(tmp_path / "own")
    (own / "opt/js2/start_guest").rename(own / "opt/js2/start-guest")
    laid = unpacked(plan.making(definition(Layer("own", files=own)), PATIENCE), "guest program")
    assert starters & laid.keys() == {"etc/systemd/system/js2-guest.service"}


def test_smoke_notebooks_and_the_server_are_tried_on_an_instance_of_the_image(tmp_path: Path) -> None:
    notebook = tmp_path / "use.ipynb"
    notebook.write_text("{}")
    whole = definition(Layer("own", environments=(environment(tmp_path, "server"),)), smoke=(notebook,))
    assert kinds(plan.trying(whole, PATIENCE)) == ["notebook server: command", "smoke notebook use.ipynb: smoke"]


def test_an_archive_is_the_same_for_the_same_files_whenever_and_by_whomever_they_were_written(tmp_path: Path) -> None:
    trees = [files(tmp_path / name, etc__b="2", etc__a="1") for name in ("one", "two")]
    (trees[0] / "etc/a").touch()
    assert bundle.archive(trees[0]) == bundle.archive(trees[1])


def test_pieces_fit_into_a_message_and_make_the_file_again() -> None:
    data = bytes(range(256)) * 1000
    pieces = list(Blob("big", data).pieces())
    assert b"".join(base64.b64decode(piece["data"]) for piece in pieces) == data
    for number, piece in enumerate(pieces):
        assert len(json.dumps(BuildStep("x" * 64, number, 999, 3600.0, piece).to_json())) < 64 * 1024


def boot_text(**changes: Any) -> str:
    given = {"url": "https://10.0.0.5:8710", "authority_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n" + "A" * 900}
    return booting.boot_text(attempt_id="build-1", ticket="T" * 43, **{**given, "with_program": True, **changes})


def test_a_base_without_the_guest_program_boots_with_it_and_both_readers_understand_the_text() -> None:
    text = boot_text()
    by_guest = seeds.assemble(lambda name: text.encode() if name == "user_data" else b'{"uuid": "id-1"}')
    assert (by_guest.attempt, by_guest.hub_host, by_guest.hub_port) == ("build-1", "10.0.0.5", 8710)
    by_cloud_init = yaml.safe_load(text)
    (program,) = by_cloud_init["write_files"]
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(program["content"])), mode="r:xz") as archive:
        assert {"guest/building.py", "guest/provision.py", "guest/channel.py"} <= set(archive.getnames())
    assert program["path"].startswith("/run/")
    assert "guest/building.py" in by_cloud_init["runcmd"][0][-1]


def test_a_base_that_holds_the_guest_program_is_told_no_more_than_any_instance() -> None:
    assert list(yaml.safe_load(boot_text(with_program=False))) == ["hostname", "js2"]


def test_a_text_that_nova_would_refuse_is_told_before_anything_is_made() -> None:
    with pytest.raises(CannotBuild, match="does not fit into user-data"):
        boot_text(authority_pem="A" * 40_000)


async def told(book: BuilderBook, step: BuildStep | None, stage: str, **more: Any) -> None:
    body = books.report_json(**{"stage": stage, "assignment": step.id if step else "", **more})
    await book.report("build-1", report_from(json.dumps(body).encode()))


@pytest.fixture
def book() -> BuilderBook:
    return BuilderBook("build-1", books.TICKET, lambda _line: None)


async def begun(book: BuilderBook, kind: str = "command") -> tuple[asyncio.Task[Any], BuildStep]:
    work = asyncio.create_task(book.carry_out({"kind": kind}, 60, 3))
    await asyncio.sleep(0)
    step = book.assignment("build-1")
    assert step is not None
    return work, step


async def test_a_step_is_given_until_its_end_is_told_and_then_to_nobody(book: BuilderBook) -> None:
    work, step = await begun(book)
    await told(book, None, "building", detail="still at it")
    assert book.assignment("build-1") == step
    await told(book, step, "building", result="done\n")
    assert book.assignment("build-1") is None
    assert (await work).result == "done\n"


async def test_the_end_of_an_earlier_step_told_again_is_no_news(book: BuilderBook) -> None:
    work, first = await begun(book)
    await told(book, first, "building")
    await work
    work, second = await begun(book)
    await told(book, first, "failed", problem="build", detail="late")
    assert book.assignment("build-1") == second
    assert not work.done()
    await told(book, second, "building")
    await work


async def test_what_a_step_failed_with_is_told_in_its_own_words(book: BuilderBook) -> None:
    work, step = await begun(book)
    await told(book, step, "failed", problem="build", detail="pip ended with status 1.", result="noise\nno wheel\n")
    said: list[str] = []
    words = r"step “environment, after 0 s”: pip ended with status 1: noise / no wheel"
    with pytest.raises(StepBroken, match=words), Steps(said.append).step("environment"):
        await work
    assert said == []


async def test_a_guest_program_that_knows_no_steps_is_named_as_too_old(book: BuilderBook) -> None:
    work, step = await begun(book)
    await told(book, step, "failed", problem="account", detail="The hub's assignment is malformed: 'user' is missing.")
    with pytest.raises(CannotBuild, match="too old to build on"):
        await work


async def test_only_the_instance_that_was_launched_is_heard(book: BuilderBook) -> None:
    hello = books.hello(attempt_id="build-1")
    assert desk.admit(book.expected("build-1"), hello, books.HOME) is Verdict.EARLY
    book.launched(books.SERVER_ID, (books.HOME,))
    assert desk.admit(book.expected("build-1"), hello, books.ELSEWHERE) is Verdict.STRANGER
    assert desk.admit(book.expected("build-1"), hello, books.HOME) is Verdict.ADMIT
    assert book.expected("another") is None


async def test_an_instance_that_restarts_or_whose_ticket_two_have_seen_is_not_built_on(book: BuilderBook) -> None:
    await book.admitted("build-1", "hash", books.hello(boot_id="one"))
    assert not book.broken
    await book.admitted("build-1", "hash", books.hello(boot_id="two"))
    assert "restarted" in book.broken
    fresh = BuilderBook("build-1", books.TICKET, lambda _line: None)
    fresh.quarantine("build-1", "The ticket was shown by two parties.")
    expected = fresh.expected("build-1")
    assert expected is not None
    assert expected.quarantined


def test_what_an_instance_says_it_holds_is_printable_and_has_licences_as_spdx_names_them() -> None:
    told = [
        Package("deb", "x\x1b[2J", "1\u202e", "GPL-2+ AND Expat"),
        Package("pypi", "y", "2", "MIT License"),
        Package("pypi", "y", "2", "MIT"),
    ]
    assert papers.with_licences(told) == (
        Package("deb", "x [2J", "1", "GPL-2.0-or-later AND MIT"),
        Package("pypi", "y", "2", "MIT"),
    )


def image(name: str, age_days: float, status: str = "active", **properties: str) -> Image:
    created = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=age_days)
    return Image(f"{name}-{age_days}", name, status, "public", 1, 0, 0, created, "", properties)


def test_the_newest_usable_image_of_the_name_is_the_base() -> None:
    there = [
        image("Featured-Ubuntu24", 9),
        image("Featured-Ubuntu24", 3),
        image("Featured-Ubuntu24", 1, "queued"),
        image("Featured-Ubuntu24", 2, js2_purpose="image-build"),
        image("Featured-Ubuntu22", 0),
    ]
    found = launching.newest(there, "Featured-Ubuntu24")
    assert found is not None
    assert found.id == "Featured-Ubuntu24-3"


def test_nobody_on_the_allocation_takes_the_place_of_the_clouds_own_base() -> None:
    public = image("Featured-Ubuntu24", 9)
    private = replace(image("Featured-Ubuntu24", 1), visibility="private")
    assert launching.newest([private, public], "Featured-Ubuntu24") == public
    assert launching.newest([private], "Featured-Ubuntu24") == private


def test_two_first_builds_at_once_are_one_builders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = leftovers.builder_id(Builds(tmp_path))
    # The other one looked a moment before.
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert leftovers.builder_id(Builds(tmp_path)) == first
    assert [file.name for file in tmp_path.iterdir()] == [".builder-id"]


async def test_a_finished_image_says_whose_it_is_until_a_record_does_and_bears_no_mark_of_a_build(
    tmp_path: Path,
) -> None:
    class Cloud:
        """Glance, as far as one image takes it."""

        name = "none"

        @property
        def images(self) -> Cloud:
            return self

        async def update(self, _id: str, *, put: dict[str, str], remove: list[str]) -> Image:
            left = {key: value for key, value in saved.properties.items() if key not in remove}
            return replace(saved, properties={**left, **put})

    saved = image("saved", 1, js2_purpose="image-build", js2_builder="us", js2_signature="of the base")
    builds = Builds(tmp_path)
    now, cloud = datetime.now(UTC), Cloud()
    work = making._Making(definition(Layer("own")), builds, cloud, Settings(), Steps(print), now)  # type: ignore[arg-type]
    done = await work._finished(saved, launching.Ground(image("base", 2), "flavor", "network"))
    told = {key: value for key, value in done.properties.items() if key.startswith("js2_")}
    assert not {"js2_purpose", "js2_builder", "js2_signature"} & told.keys()
    assert told["js2_built_as"] == saved.id
    assert [fate.id for fate in unrecorded([done], leftovers.builder_id(builds), (), now + timedelta(days=99))] == [
        saved.id
    ]


def test_only_an_instant_that_has_passed_makes_something_expired() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert leftovers.expired(image("x", 0, js2_expires="2026-01-01T11:59:00+00:00"), now)
    for told_there in ("2026-01-01T12:01:00+00:00", "2026-01-01T11:00:00", "yesterday", ""):
        assert not leftovers.expired(image("x", 0, js2_expires=told_there), now)


@pytest.mark.parametrize(
    ("bind", "url", "words"),
    [("host.example.org", "", "--handshake-bind"), ("10.0.0.5:99999", "", "--handshake-bind"),
     ("10.0.0.5", "http://10.0.0.5:80", "--handshake-url"), ("10.0.0.5", "https://10.0.0.5", "--handshake-url")],
)  # fmt: skip
def test_an_option_of_another_shape_is_named(bind: str, url: str, words: str) -> None:
    with pytest.raises(CannotBuild, match=words):
        Settings.of(bind, url, "", "")


def test_the_certificate_is_for_the_address_that_instances_use() -> None:
    assert Settings.of("0.0.0.0:8711", "https://10.0.0.5:8711/", "", "").host == "10.0.0.5"
    assert Settings.of("10.0.0.5:8711", "", "", "").host == "10.0.0.5"
