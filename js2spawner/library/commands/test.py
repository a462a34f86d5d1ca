"""`js2 image test`: boot a build, run its smoke notebooks, look for what must not be in it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click

from js2spawner.library import boot, reading
from js2spawner.library.builds import DISK, BootReport, Builds, Busy
from js2spawner.library.commands import common
from js2spawner.library.releasing import why_stale
from js2spawner.located_yaml import FileError


@click.command()
@common.name
@common.library_option
@common.builds_option
@click.option("--times", type=click.IntRange(1, 50), default=1, show_default=True, help="Boots, for medians.")
@common.json_option
def test(name: str, library: Path, builds: Path, times: int, as_json: bool) -> None:
    """Boot the newest build of NAME in QEMU and try everything its users will.

    It is given to a user by a hub's own handshake; the smoke notebooks run; root looks for secrets, keys, logs and
    histories; the disk has to grow, and a reboot to come back. The result is kept with the build, and `publish`
    asks for it.
    """
    kept = Builds(builds)
    try:
        definition = reading.read(library, name)
        build = kept.newest(name)
        if build is None:
            raise click.ClickException(f"There is no build of {name} in {builds}; make one: js2 image build {name}")
        if build.kind != "scratch":
            raise click.ClickException(
                f"Build {build.id} lies in the cloud {build.cloud} and can be booted only there."
            )
        if stale := why_stale(definition, replace(build, boot=None)):
            raise click.ClickException(stale)
        with kept.alone(f"test of {name}"), common.ending_in_order():
            report = boot.test(definition, kept.place(build) / DISK, say=common.progress, times=times)
            kept.save(replace(build, boot=report))
    except (FileError, boot.CannotTest, Busy) as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:
        raise click.ClickException(common.of_file(problem)) from None
    answer = {"image": name, "build": build.id, "passed": report.passed, **asdict(report)}
    common.answer(answer, as_json, _lines(f"{name} {build.id}", report))
    if not report.passed:
        raise click.exceptions.Exit(1)


def _lines(title: str, report: BootReport) -> list[str]:
    times = [f"  {stage:<20} {seconds:7.1f} s" for stage, seconds in report.seconds.items()]
    failures = [f"  failed: {failure}" for failure in report.failures]
    return [f"{title}: {'passed' if report.passed else 'FAILED'} ({report.accelerator})", *times, *failures]
