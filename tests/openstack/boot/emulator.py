"""Whether guests of this machine run on its processor or in software."""

from __future__ import annotations

import os
from pathlib import Path

KVM = Path("/dev/kvm")


def accelerator(cpuinfo: Path = Path("/proc/cpuinfo"), kvm: Path = KVM) -> str:
    """`kvm` where the processor virtualises, else `tcg`.

    The device alone proves nothing: where KVM runs without the processor's help, it interprets a guest's kernel one
    instruction at a time. Seen there: Debian's kernel did not get past its first messages in ten minutes, which takes
    TCG a second.
    """
    flags = {flag for line in cpuinfo.read_text().splitlines() if line.startswith("flags") for flag in line.split()}
    helps = bool({"vmx", "svm"} & flags)
    return "kvm" if helps and os.access(kvm, os.R_OK | os.W_OK) else "tcg"
