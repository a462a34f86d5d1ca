"""What the subcommands of `js2 image` share: options, how they answer, and how they end."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

names = click.argument("names", metavar="[NAME]...", nargs=-1)
name = click.argument("name", metavar="NAME")

library_option = click.option(
    "--library",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default="images",
    show_default=True,
    envvar="JS2_IMAGE_LIBRARY",
    help="Folder of the definitions.",
)
builds_option = click.option(
    "--builds",
    type=click.Path(path_type=Path, file_okay=False),
    default=".images",
    show_default=True,
    envvar="JS2_IMAGE_BUILDS",
    help="Folder where builds are kept.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")


def cloud_options_with(told: str, *, envvar: str | None = "OS_CLOUD", required: bool = False) -> Callable[[F], F]:
    """`--cloud` (`told` says what it is for), `--region` and `--clouds-yaml`."""

    def options(command: F) -> F:
        for option in (
            click.option("--clouds-yaml", type=click.Path(path_type=Path, dir_okay=False), help="Another clouds.yaml."),
            click.option("--region", help="A region of that cloud (default: the entry's own)."),
            click.option("--cloud", envvar=envvar, required=required, help=told),
        ):
            command = option(command)
        return command

    return options


cloud_options = cloud_options_with("The entry in clouds.yaml.", required=True)


def answer(result: object, as_json: bool, lines: list[str]) -> None:
    """One JSON object for a program, lines for a person."""
    click.echo(json.dumps(result, default=str) if as_json else "\n".join(lines))


def progress(text: str) -> None:
    """A line about what is being done; never on standard output, which holds the answer."""
    click.echo(text, err=True)


def of_file(problem: OSError) -> str:
    """What this machine refused, in one sentence."""
    return f"{problem.filename or 'A file'} cannot be used: {problem.strerror or problem}."


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Told to end (SIGTERM), a command ends as by Ctrl-C: what it started ends too, and what is half-made goes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
