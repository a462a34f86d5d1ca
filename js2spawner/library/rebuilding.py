"""Whatever is due: built, booted, published and promoted, and what is old deleted. One image after another.

A step that an earlier run finished is not done again: a young build of the same definition is taken up where it was
left. What fails is told, and the next image has its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from js2spawner.library.builds import Build, Builds, OfNoUse
from js2spawner.library.converting import CannotPublish
from js2spawner.library.definition import Definition
from js2spawner.library.due import why_due
from js2spawner.library.published import Version, promoted

Say = Callable[[str], None]


class Workshop(Protocol):
    """The steps of a rebuild. Each blocks, and raises what `problems` of `rebuild` names."""

    def versions(self, name: str) -> Sequence[Version]:
        """What is in the cloud, newest build first."""

    def build(self, definition: Definition) -> Build: ...

    def test(self, definition: Definition, build: Build) -> Build:
        """The build with the report of its boot test, if it can be booted here."""

    def publish(self, definition: Definition, build: Build) -> str:
        """Publish and promote in one step; the id in the cloud."""

    def prune(self, name: str) -> int:
        """How many versions and builds went."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image. `due` empty: nothing had to be done; `note` says why if that is no matter of course."""

    image: str
    due: str = ""
    note: str = ""
    build: str = ""
    cloud_image: str = ""
    pruned: int = 0
    failure: str = ""


def rebuild(
    definitions: Iterable[Definition],
    builds: Builds,
    workshop: Workshop,
    now: Callable[[], datetime],
    *,
    say: Say,
    problems: tuple[type[Exception], ...],
    told: Callable[[Exception], str],
    dry_run: bool = False,
) -> Iterator[Outcome]:
    """Do what is due of each image. `told` words a problem that ends the work on one image."""
    for definition in definitions:
        course = _Course(definition, builds, workshop, now(), say)
        try:
            with builds.alone(f"rebuild of {definition.name}"):
                course.look()
                if course.outcome.due and not dry_run:
                    course.go()
        except problems as problem:
            course.outcome = replace(course.outcome, failure=told(problem))
        yield course.outcome


def _why(definition: Definition, versions: Sequence[Version], now: datetime) -> Outcome:
    usable = [version for version in versions if version.usable]
    newest = next(iter(usable), None)
    due = why_due(definition, newest, now, never="never published")
    if due or newest is None:
        return Outcome(definition.name, due)
    if newest.withdrawn:
        # Building the same again would bring back what somebody went back from.
        note = "the newest version was withdrawn; change the definition, or promote it again"
    elif newest.promoted_at is None:
        note = f"version {newest.build} waits to be promoted"
    else:
        note = "" if promoted(usable)[0] is newest else f"an older version than {newest.build} was promoted"
    return Outcome(definition.name, "", note=note)


@dataclass
class _Course:
    """The steps of one image; `outcome` says after each of them what was reached."""

    definition: Definition
    builds: Builds
    workshop: Workshop
    now: datetime
    say: Say
    outcome: Outcome = field(init=False)

    def __post_init__(self) -> None:
        self.outcome = Outcome(self.definition.name)

    def look(self) -> None:
        self.outcome = _why(self.definition, self.workshop.versions(self.definition.name), self.now)

    def go(self) -> None:
        definition, workshop = self.definition, self.workshop
        self.say(f"{definition.name} is due: {self.outcome.due}.")
        build = _taken_up(definition, self.builds, self.now)
        if build is None:
            self._release(workshop.build(definition))
        else:
            self.say(f"{definition.name}: taking up build {build.id}.")
            try:
                self._release(build)
            except OfNoUse as problem:
                # It would be taken up by every run from now on.
                self.say(f"{definition.name}: {problem} That is done now.")
                self._release(workshop.build(definition))
        self.outcome = replace(self.outcome, pruned=workshop.prune(definition.name))

    def _release(self, build: Build) -> None:
        definition, workshop = self.definition, self.workshop
        self.outcome = replace(self.outcome, build=build.id)
        if build.boot is None or build.boot.smoke != definition.smoke_key:
            build = workshop.test(definition, build)
        if build.boot is not None and not build.boot.passed:
            raise CannotPublish(f"Build {build.id} failed its boot test: {'; '.join(build.boot.failures)}")
        self.outcome = replace(self.outcome, cloud_image=workshop.publish(definition, build))


def _taken_up(definition: Definition, builds: Builds, now: datetime) -> Build | None:
    """A build that an interrupted run left, if it is what would be built now and has not failed."""
    newest = builds.newest(definition.name)
    if newest is None or why_due(definition, newest, now) or (newest.boot is not None and not newest.boot.passed):
        return None
    if newest.kind == "derived" and (newest.boot is None or newest.boot.smoke != definition.smoke_key):
        # Such a build is tried while it is made, and not again.
        return None
    return newest
