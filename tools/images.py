"""`make images`: build every image of the library that needs no cloud, and boot each. NAMES restrict it to some.

Takes root on Debian. What building and booting need beside the project is installed first.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

import install

JS2 = install.VENV / "bin" / "js2"
# Program, and the package of Debian that has it.
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "sfdisk": "fdisk",
    "mke2fs": "e2fsprogs",
    "extlinux": "extlinux",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "genisoimage": "genisoimage",
    "zstd": "zstd",
}


def main(names: Sequence[str]) -> None:
    try:
        install_tools()
        made = subprocess.run(
            [JS2, "image", "build", "--json", *names], stdout=subprocess.PIPE, check=True, env=without_cloud()
        )
        built = json.loads(made.stdout)
        for build in built["builds"]:
            subprocess.run([JS2, "image", "test", build["image"]], check=True)
    except install.CannotInstall as problem:
        sys.exit(f"make images: {problem}")
    except subprocess.CalledProcessError as problem:
        sys.exit(f"make images: this failed, see above: {' '.join(map(str, problem.cmd))}")


def without_cloud() -> dict[str, str]:
    """Nobody who has a cloud in their environment means to launch instances there by this."""
    return {name: value for name, value in os.environ.items() if name != "OS_CLOUD"}


def install_tools() -> None:
    missing = sorted({package for program, package in NEEDED.items() if not shutil.which(program)})
    if missing:
        install.apt_install(missing, otherwise=f"building and booting images needs more: {' '.join(missing)}")


if __name__ == "__main__":
    main(sys.argv[1:])
