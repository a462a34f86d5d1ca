"""Running other programs for a build, so that nothing of them is left however it ends.

Programs get the kernel's word that they die with us (PR_SET_PDEATHSIG), and those in the image run in mount, PID and
network namespaces of their own: what they mounted or started is gone when they are.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

DEADLINE_S = 3600.0
"""For one program; the slowest, mmdebstrap with R's packages, took five minutes."""

KEPT_BYTES = 16 * 1024**2
"""Of what one program prints the end is kept: this much, or twice that at most. The longest list of packages takes a
thousandth of it."""

_CHUNK = 64 * 1024

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOSTNAME = "js2"

# Program, and the package of Debian that has it.
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "sfdisk": "fdisk",
    "mke2fs": "e2fsprogs",
    "tune2fs": "e2fsprogs",
    "extlinux": "extlinux",
    "qemu-img": "qemu-utils",
    "zstd": "zstd",
    "setpriv": "util-linux",
    "taskset": "util-linux",
    "unshare": "util-linux",
    "tar": "tar",
}

_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_ALONE = (*_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL")

# Arguments: the root, how many folders to show inside, pairs of those (from, to), then the command. What it writes to
# /tmp and /run is forgotten with it; the name of the building machine is none of its business.
_ENTER = """
set -eu
root=$1 shown=$2
shift 2
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mkdir "$root/dev/shm"
echo "$BUILD_HOSTNAME" > /proc/sys/kernel/hostname
unset BUILD_HOSTNAME
while [ "$shown" -gt 0 ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shown=$((shown - 1))
    shift 2
done
exec chroot "$root" "$@"
"""


class CannotBuild(Exception):
    """The text says what stands in the way of a build, and what to do."""


class StepFailed(CannotBuild):
    """The same of one step. The text ends with the step's own words, `output` holds them all."""

    output: str

    def at(self, step: str, seconds: float) -> StepFailed:
        """The same with the name of the step, which failed after so long."""
        raise NotImplementedError


class ToolFailed(StepFailed):
    """A program of ours or of the image ended badly. The text ends with its own words, `output` holds them all."""

    def __init__(self, program: str, how: str, output: str) -> None:
        self.program, self.how, self.output = program, how, output
        words = _last_words(output)
        super().__init__(f"{program} {how}" + (f": {words}" if words else ""))

    def at(self, step: str, seconds: float) -> ToolFailed:  # noqa: ARG002 - the words are what helps
        return ToolFailed(f"step “{step}”: {self.program}", self.how, self.output)


@dataclass(frozen=True, slots=True)
class System:
    """The tree of files that becomes an image. `epoch` is what its programs take for the time they stamp on things."""

    root: Path
    epoch: int

    def run(
        self, *command: str, shown: Mapping[Path, str] | None = None, settings: Mapping[str, str] | None = None
    ) -> str:
        """Run a command as the image's root, without a network; what it printed. Raises ToolFailed.

        `shown` are folders of this machine and where the command finds them; `settings` go into its environment.
        """
        pairs = [word for here, there in (shown or {}).items() for word in (str(here), there)]
        enter = ["--net", "--uts", "--ipc", "sh", "-c", _ENTER, "sh", str(self.root), str(len(pairs) // 2), *pairs]
        environment = {
            "PATH": SYSTEM_PATH,
            "LC_ALL": "C.UTF-8",
            "HOME": "/root",
            "DEBIAN_FRONTEND": "noninteractive",
            # Python's order of sets reaches the bytecode it writes.
            "PYTHONHASHSEED": "0",
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "BUILD_HOSTNAME": HOSTNAME,
            **(settings or {}),
        }
        return _run([*_ALONE, *enter, *command], environment, program=command[0])


def run(*command: str | Path, settings: Mapping[str, str] | None = None, told: str | None = None) -> str:
    """Run a program of this machine; what it printed. `told` is its standard input. Raises ToolFailed."""
    words = [str(word) for word in command]
    return _run([*_WITH_US, *words], {**machine_environment(), **(settings or {})}, program=words[0], told=told)


def run_alone(*command: str | Path, settings: Mapping[str, str] | None = None) -> str:
    """The same for a program that mounts things: nothing of that is seen outside, or left. Raises ToolFailed."""
    words = [str(word) for word in command]
    environment = {**machine_environment(), **(settings or {})}
    return _run([*_ALONE, "--mount-proc", *words], environment, program=words[0])


def machine_environment() -> dict[str, str]:
    """Ours, with its proxies and mirrors, but nothing that would keep a Python in the image from writing bytecode."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def check_machine() -> None:
    """Raises CannotBuild where no build is possible at all."""
    if os.geteuid() != 0:
        raise CannotBuild("Building an image takes root; run it as root, for instance with sudo.")
    missing = {package for program, package in NEEDED.items() if not shutil.which(program)}
    if missing:
        raise CannotBuild(f"Building an image needs more of Debian: apt-get install {' '.join(sorted(missing))}")
    if find_spec("pip") is None:
        raise CannotBuild("Building an image needs pip in the environment js2 runs from: python -m ensurepip")


def _run(command: Sequence[str], environment: Mapping[str, str], *, program: str, told: str | None = None) -> str:
    name = Path(program).name
    with tempfile.TemporaryFile() as standard_input:
        standard_input.write((told or "").encode())
        standard_input.seek(0)
        process = subprocess.Popen(  # noqa: S603 - words of ours and of definitions, which run as root anyway
            command,
            env=dict(environment),
            stdin=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    with process:
        try:
            output, in_time = _listened(process)
        except BaseException:
            process.kill()
            raise
    if not in_time:
        raise ToolFailed(name, f"took more than {DEADLINE_S:.0f} s", output)
    if process.returncode:
        raise ToolFailed(name, f"failed with status {process.returncode}", output)
    return output


def _listened(process: subprocess.Popen[bytes]) -> tuple[str, bool]:
    """What it prints until it ends, and whether it did so in time; else it is killed."""
    assert process.stdout is not None
    until, kept, lost = time.monotonic() + DEADLINE_S, bytearray(), 0
    while select.select([process.stdout], [], [], max(until - time.monotonic(), 0.0))[0]:
        chunk = os.read(process.stdout.fileno(), _CHUNK)
        if not chunk:
            break
        kept += chunk
        if len(kept) > 2 * KEPT_BYTES:
            lost += len(kept) - KEPT_BYTES
            del kept[:-KEPT_BYTES]
    try:
        process.wait(max(until - time.monotonic(), 0.0))
        in_time = True
    except subprocess.TimeoutExpired:
        process.kill()
        in_time = False
    output = kept.decode(errors="replace")
    return (f"[{lost} bytes before this were not kept]\n{output}" if lost else output), in_time


def _last_words(output: str) -> str:
    """What a person needs of it: lines that call themselves errors (of apt, mmdebstrap, pip), or the last three."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "ERROR:", "dpkg: error"))]
    return " / ".join((errors or lines)[-3:])[-800:]
