"""Where the real OpenStack is that `make openstack` brought up, and under which names people sign in to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
REMEDY = "no real OpenStack runs here: `make openstack` starts one"


@dataclass(frozen=True, slots=True)
class Place:
    """A clouds.yaml and its entries.

    `member` is what a hub has: an application credential of an unprivileged member.
    """

    clouds_yaml: Path
    prefix: str

    @property
    def member(self) -> str:
        return self.prefix

    @property
    def user(self) -> str:
        """The same member by password: may make application credentials."""
        return f"{self.prefix}-user"

    @property
    def other(self) -> str:
        """A member of another project."""
        return f"{self.prefix}-other"

    @property
    def admin(self) -> str:
        return f"{self.prefix}-admin"

    @property
    def runs(self) -> bool:
        return self.clouds_yaml.exists()

    def entry(self, name: str) -> Mapping[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.clouds_yaml.read_text())
        entry: Mapping[str, Any] = content["clouds"][name]
        return entry


def place() -> Place:
    """By JS2_OPENSTACK_CLOUDS and JS2_OPENSTACK_PREFIX when another cloud than the rig's is meant."""
    return Place(
        Path(os.environ.get("JS2_OPENSTACK_CLOUDS", ROOT / ".openstack" / "clouds.yaml")),
        os.environ.get("JS2_OPENSTACK_PREFIX", "openstack"),
    )
