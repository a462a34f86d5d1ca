from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from js2spawner.library import baked
from js2spawner.library import properties as named
from js2spawner.library.builds import BootReport, Build, Builds, OfNoUse, new_id
from js2spawner.library.definition import Definition, FromScratch
from js2spawner.library.published import Version, versions
from js2spawner.library.rebuilding import Outcome, rebuild

from .in_glance import KEY, T0, image, signed

NOW = T0 + timedelta(days=10)
BASE = Definition(
    "minimal", "JupyterLab", "Little.", (), "us", FromScratch("bookworm", 300), (), (), "m3.tiny", "no", 30
)
PASSED = BootReport("2026-11-11T00:00:00+00:00", "tcg", {})


class Broken(Exception):
    pass


@dataclass
class Bench:
    """A workshop that notes its steps; `broken` are those that fail."""

    builds: Builds
    there: list[Version] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    broken: tuple[str, ...] = ()
    of_no_use: tuple[str, ...] = ()
    report: BootReport = PASSED

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name in self.broken:
            raise Broken(f"{name} does not work")
        if self.steps.count(name) == 1 and name in self.of_no_use:
            raise OfNoUse("Its disk is gone; build it again.")

    def versions(self, name: str) -> list[Version]:
        return [version for version in self.there if version.image.properties[named.IMAGE] == name]

    def build(self, definition: Definition) -> Build:
        self._step(f"build {definition.name}")
        return self.kept(definition)

    def kept(self, definition: Definition, **changes: object) -> Build:
        build = Build(
            definition.name,
            new_id(NOW, definition.key),
            definition.key,
            "scratch",
            NOW.isoformat(),
            made_with=baked.digest(definition),
        )
        self.builds.save(replace(build, **changes))  # type: ignore[arg-type]
        return build

    def test(self, definition: Definition, build: Build) -> Build:
        self._step(f"test {definition.name}")
        return replace(build, boot=self.report)

    def publish(self, definition: Definition, build: Build) -> str:
        self._step(f"publish {definition.name}")
        return f"id-{build.id}"

    def prune(self, name: str) -> int:
        self._step(f"prune {name}")
        return 1

    def run(self, *definitions: Definition, dry_run: bool = False) -> list[Outcome]:
        return list(
            rebuild(
                definitions or (BASE,),
                self.builds,
                self,
                lambda: NOW,
                say=lambda _: None,
                problems=(Broken, OfNoUse, RuntimeError),
                told=str,
                dry_run=dry_run,
            )
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Builds(tmp_path))


def there(definition: Definition = BASE, *, age_days: float = 1, **more: str) -> list[Version]:
    told = {
        named.DEFINITION: definition.key,
        named.MADE_WITH: baked.digest(definition),
        named.BUILT_AT: (NOW - timedelta(days=age_days)).isoformat(),
        **more,
    }
    return versions([signed(image("b1", properties=told), promoted=None if more else T0)], "minimal", KEY.keys)


ALL = ["build minimal", "test minimal", "publish minimal", "prune minimal"]


def test_what_was_never_published_goes_all_the_way(bench: Bench):
    [outcome] = bench.run()
    assert bench.steps == ALL
    assert (outcome.due, outcome.pruned, outcome.failure) == ("never published", 1, "")
    assert outcome.cloud_image == f"id-{outcome.build}"


def test_a_young_version_of_the_same_definition_is_left_alone(bench: Bench):
    bench.there = there()
    assert bench.run() == [Outcome("minimal")]
    assert bench.steps == []


@pytest.mark.parametrize(
    ("version", "due"),
    [
        (there(replace(BASE, base=FromScratch("bookworm", 400))), "its definition changed"),
        (there(age_days=31), "31 days old, at most 30 are allowed"),
    ],
)
def test_a_changed_definition_and_old_age_are_reasons(bench: Bench, version: list[Version], due: str):
    bench.there = version
    assert bench.run(dry_run=True)[0].due == due
    assert bench.steps == []
    bench.run()
    assert bench.steps == ALL


def test_nobody_is_given_again_what_was_withdrawn(bench: Bench):
    bench.there = there(**{named.WITHDRAWN_AT: NOW.isoformat()})
    [outcome] = bench.run()
    assert (outcome.due, "withdrawn" in outcome.note) == ("", True)
    assert bench.steps == []


def test_a_version_that_waits_to_be_promoted_is_told_and_left(bench: Bench):
    bench.there = there(**{named.UNTESTED: "yes"})
    assert "waits to be promoted" in bench.run()[0].note
    assert bench.steps == []


def test_a_build_that_an_interrupted_run_left_is_taken_up(bench: Bench):
    bench.kept(BASE)
    bench.run()
    assert bench.steps == ALL[1:]
    bench.steps.clear()
    bench.kept(BASE, boot=PASSED)
    bench.run()
    assert bench.steps == ALL[2:]


@pytest.mark.parametrize("step", ["test minimal", "publish minimal"])
def test_a_build_that_is_gone_or_damaged_is_built_anew_instead_of_taken_up_for_ever(bench: Bench, step: str):
    bench.kept(BASE)
    bench.of_no_use = (step,)
    [outcome] = bench.run()
    assert bench.steps == [*ALL[1 : ALL.index(step) + 1], *ALL]
    assert outcome.failure == ""


def test_a_new_build_that_is_of_no_use_either_is_a_failure(bench: Bench):
    bench.of_no_use = ("publish minimal",)
    [outcome] = bench.run()
    assert bench.steps == ALL[:3]
    assert "gone" in outcome.failure


def test_a_build_that_was_tested_with_other_notebooks_is_tested_again(bench: Bench):
    bench.kept(BASE, boot=replace(PASSED, smoke="others"))
    bench.run()
    assert bench.steps == ALL[1:]
    bench.steps.clear()
    bench.kept(BASE, kind="derived", boot=replace(PASSED, smoke="others"))
    bench.run()
    assert bench.steps == ALL


def test_a_build_with_the_guest_program_of_before_an_upgrade_is_not_taken_up(bench: Bench):
    bench.kept(BASE, boot=PASSED, made_with="before")
    bench.run()
    assert bench.steps == ALL


def test_a_build_that_failed_its_boot_test_is_built_again(bench: Bench):
    bench.kept(BASE, boot=replace(PASSED, failures=("silent",)))
    bench.run()
    assert bench.steps == ALL


def test_what_does_not_boot_is_not_published(bench: Bench):
    bench.report = replace(PASSED, failures=("no notebook", "no reboot"))
    [outcome] = bench.run()
    assert "no notebook; no reboot" in outcome.failure
    assert bench.steps == ALL[:2]


def test_one_that_fails_does_not_keep_the_others_from_their_turn(bench: Bench):
    bench.broken = ("build minimal",)
    outcomes = bench.run(BASE, replace(BASE, name="r"))
    assert [outcome.failure for outcome in outcomes] == ["build minimal does not work", ""]
    assert bench.steps[-1] == "prune r"


def test_a_failure_says_how_far_it_came(bench: Bench):
    bench.broken = ("prune minimal",)
    [outcome] = bench.run()
    assert outcome.cloud_image
    assert outcome.failure == "prune minimal does not work"


def test_two_rebuilds_of_an_image_do_not_meet(bench: Bench):
    with bench.builds.alone("rebuild of minimal"):
        [outcome] = bench.run()
    assert "under way" in outcome.failure
    assert bench.steps == []
