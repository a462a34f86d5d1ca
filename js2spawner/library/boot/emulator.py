"""Whether machines started here run on the processor or in software, and what starting them needs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

KVM = Path("/dev/kvm")
NEEDED = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "genisoimage": "genisoimage"}
"""Programs, and the packages of Debian that have them."""


def accelerator(cpuinfo: Path = Path("/proc/cpuinfo"), kvm: Path = KVM) -> Literal["kvm", "tcg"]:
    """`kvm` where the processor virtualises, else `tcg`.

    The device alone proves nothing: where KVM runs without the processor's help, it interprets a guest's kernel one
    instruction at a time. Seen there: Debian's kernel did not get past its first messages in ten minutes, which takes
    TCG a second.
    """
    flags = {flag for line in cpuinfo.read_text().splitlines() if line.startswith("flags") for flag in line.split()}
    helps = bool({"vmx", "svm"} & flags)
    return "kvm" if helps and os.access(kvm, os.R_OK | os.W_OK) else "tcg"


def missing() -> list[str]:
    """Debian's packages that this machine lacks for booting images."""
    return sorted({package for program, package in NEEDED.items() if not shutil.which(program)})
