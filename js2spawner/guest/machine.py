"""What a life needs of the machine it is lived on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .disks import Disks


@dataclass(frozen=True)
class Machine:
    """`privileged`: we are root, make accounts and mount; otherwise everything runs as ourselves."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    privileged: bool
    disks: Disks
