"""The file of a definition, setting by setting: what `reading` checks and what editors read as images/schema.json."""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Text = Annotated[str, Field(min_length=1, max_length=2000)]
Short = Annotated[str, Field(min_length=1, max_length=200)]

SUITES = {"bookworm": "3.11.2"}
"""Debian's suites that can be built, with the version of their Python: wheels are chosen for it."""


def _matching(pattern: str, demand: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise PydanticCustomError("unfit", "{demand}", {"demand": demand})
        return value

    return AfterValidator(check)


def _requirement(value: str) -> str:
    try:
        asked = Requirement(value)
    except InvalidRequirement:
        asked = None
    if asked is None or asked.url or asked.marker:
        demand = "it must be a name with a version range at most, such as numpy>=2"
        raise PydanticCustomError("unfit", "{demand}", {"demand": demand})
    return value


Name = Annotated[
    str,
    _matching(r"[a-z][a-z0-9-]{0,40}", "it must begin with a letter; then small letters, digits and dashes"),
]
DebianPackage = Annotated[str, _matching(r"[a-z0-9][a-z0-9+.-]+", "it must be the name of a Debian package")]
PythonPackage = Annotated[str, AfterValidator(_requirement)]
PythonVersion = Annotated[str, _matching(r"3\.\d+\.\d+", "it must be a whole version in quotes, such as “3.12.3”")]
Unit = Annotated[
    str,
    _matching(
        r"[\w:.@\\-]+\.(service|socket|timer|mount|automount|path|target|swap)",
        "it must be a systemd unit with its ending, such as fstrim.timer",
    ),
]
Place = Annotated[
    str, _matching(r"(?!.*\.\.)[\w][\w./-]*", "it must be a path below the library's folder, without “..”")
]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Base(_Settings):
    """What an image begins with: `debian` (built on this machine) or `cloud` (launched there, provisioned, saved)."""

    debian: Literal["bookworm"] | None = Field(None, description="Debian's suite; built on this machine.")
    spare_mb: Annotated[int, Field(ge=100, le=50_000)] | None = Field(
        None, description="With debian: free room on the disk as published, in MiB. 300 unless given."
    )
    cloud: Short | None = Field(None, description="Name of an image in Glance; the newest of that name is launched.")
    python: PythonVersion | None = Field(None, description="With cloud: the version of the base's /usr/bin/python3.")


class Environment(_Settings):
    """A Python environment at /opt/js2/NAME. Its lock is locks/IMAGE-NAME.txt, made by `js2 image lock`."""

    packages: Annotated[tuple[PythonPackage, ...], Field(strict=False, min_length=1)] = Field(
        description="What is asked for, from PyPI; the lock holds what that was resolved to."
    )
    left_out: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        (), description="Dependencies that are taken out again."
    )


class Kernel(_Settings):
    """A Jupyter kernel: of the environment it names, or of the program in `argv`."""

    title: Short = Field(description="What the launcher shows.")
    language: Short = Field(description="In small letters: python, R, julia.")
    environment: Name | None = Field(None, description="A Python environment with ipykernel in it.")
    argv: Annotated[tuple[Short, ...], Field(strict=False, min_length=1)] | None = Field(
        None, description="The kernel's command; “{connection_file}” stands for that file."
    )


class ImageFile(_Settings):
    """One image of the library. What a child does not say about owner, smallest, gpu and age is its parent's."""

    title: Short = Field(description="What users choose by.")
    description: Text = Field(description="For whom the image is and what it does, in a sentence or three.")
    inside: Annotated[tuple[Short, ...], Field(strict=False, min_length=1)] = Field(
        description="What is in it, one thing an item, as shown on the choice page."
    )
    owner: Short | None = Field(None, description="Who answers for it.")
    extends: Name | None = Field(None, description="The image of the library that this one adds to.")
    base: Base | None = Field(None, description="What it begins with, when it extends nothing.")
    packages: Annotated[tuple[DebianPackage, ...], Field(strict=False)] = Field((), description="Debian's packages.")
    environments: dict[Name, Environment] = Field({}, description="Python environments; “server” runs JupyterLab.")
    kernels: dict[Name, Kernel] = Field({}, description="Kernels beside the server's own, or in place of it (python3).")
    files: Place | None = Field(None, description="A folder that is laid over the image's root.")
    commands: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        (), description="Run by a shell in the image as root when all else is in place, without a network."
    )
    masked: Annotated[tuple[Unit, ...], Field(strict=False)] = Field((), description="systemd units that never start.")
    smoke: Annotated[tuple[Place, ...], Field(strict=False)] = Field(
        (), description="Notebooks that must run in a booted instance before the image may be published."
    )
    smallest: Short | None = Field(None, description="The smallest flavor it is usable on.")
    gpu: Literal["no", "possible", "required"] | None = Field(None, description="“no” unless given.")
    rebuild_after_days: Annotated[float, Field(gt=0, le=3650)] | None = Field(
        None, description="Age at which it is due for a rebuild; 30 unless given."
    )


def schema() -> dict[str, Any]:
    """The JSON schema of a definition's file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ImageFile.model_json_schema(),
        "title": "An image of the library",
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
