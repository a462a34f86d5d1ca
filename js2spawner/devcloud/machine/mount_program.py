"""Stands in for mount, umount and resize2fs in a machine: writes down what is wished, and the machine's guard does it.

Standard library only; copied into the machine under each of these names. Nothing in a machine may mount, root included.
What has no part in that (a list of mounts, a device that is not mounted) is done here, or by the program it stands for.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

WISHES = "/run/devcloud/wishes.sock"
ORIGINALS = Path("/run/devcloud/programs")
NFS = ("nfs", "nfs4")
VALUED = {"-t": "kind", "--types": "kind", "-o": "options", "--options": "options"}
# mount(8): a bit for each kind of failure.
FAILED, USAGE = 32, 1


def wish(asked: dict[str, object]) -> str:
    """Empty, or the guard's words for what was wrong."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as guard:
        try:
            guard.connect(WISHES)
            guard.send(json.dumps(asked).encode())
            return str(json.loads(guard.recv(16 * 1024))["error"])
        except PermissionError:
            return "must be superuser to use mount"
        except (OSError, ValueError):
            return "permission denied"


def parsed(arguments: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Options with a value, those without, and the rest."""
    valued: dict[str, str] = {}
    plain: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if name in VALUED:
            valued[VALUED[name]] = value if equals else next(waiting, "")
        elif argument[:2] in VALUED and len(argument) > 2 and not argument.startswith("--"):
            valued[VALUED[argument[:2]]] = argument[2:]
        elif argument.startswith("-"):
            plain.append(argument)
        else:
            rest.append(argument)
    return valued, plain, rest


def mount(arguments: list[str]) -> tuple[int, str]:
    valued, plain, rest = parsed(arguments)
    if not rest:
        print_mounts()
        return 0, ""
    if len(rest) != 2:
        return USAGE, "mount: bad usage"
    source, target = rest
    options = [option for option in valued.get("options", "").split(",") if option]
    options += ["ro"] * bool({"-r", "--read-only"} & set(plain))
    kind = valued.get("kind", "ext4")
    kind = "nfs" if kind in NFS else "ext4" if kind == "auto" else kind
    place = str(Path(target).absolute())
    error = wish({"do": "mount", "kind": kind, "source": source, "target": place, "options": options})
    return (FAILED, f"mount{'.nfs' if kind == 'nfs' else ''}: {target}: {error}.") if error else (0, "")


def umount(arguments: list[str]) -> tuple[int, str]:
    _, plain, rest = parsed(arguments)
    lazy = bool({"-l", "--lazy"} & set(plain))
    if not rest:
        return USAGE, "umount: bad usage"
    for target in rest:
        error = wish({"do": "umount", "target": str(Path(target).absolute()), "lazy": lazy})
        if error:
            return FAILED, f"umount: {target}: {error}."
    return 0, ""


def resize2fs(arguments: list[str]) -> tuple[int, str]:
    """One that is not mounted is grown by the program itself."""
    devices = [argument for argument in arguments if argument.startswith("/")]
    if devices and is_mounted(devices[0]):
        error = wish({"do": "resize", "source": str(Path(devices[0]).resolve())})
        return (1, f"resize2fs: {devices[0]}: {error}") if error else (0, "")
    done = subprocess.run([ORIGINALS / "resize2fs", *arguments], check=False)  # noqa: S603, as it was called
    return done.returncode, ""


def is_mounted(device: str) -> bool:
    number = Path(device).stat().st_rdev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    return any(line.split()[2] == wanted for line in Path("/proc/self/mountinfo").read_text().splitlines())


def print_mounts() -> None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        source, target, kind, options, *_ = line.split()
        print(f"{source} on {target} type {kind} ({options})")  # noqa: T201, this is a command


PROGRAMS = {"mount": mount, "umount": umount, "resize2fs": resize2fs}

if __name__ == "__main__":
    status, sentence = PROGRAMS[Path(sys.argv[0]).name](sys.argv[1:])
    if sentence:
        print(sentence, file=sys.stderr)  # noqa: T201
    sys.exit(status)
