"""Stands in for nvidia-smi in a machine with a pretended GPU: answers the one query monitoring programs ask.

Standard library only; copied into the machine as the executable `nvidia-smi` beside `gpu.json`, from which it reads.
"""

import json
import sys
import time
from pathlib import Path

STATE = Path(__file__).resolve().parent / "gpu.json"
UNITS = {
    "utilization.gpu": " %",
    "utilization.memory": " %",
    "memory.used": " MiB",
    "memory.total": " MiB",
    "memory.free": " MiB",
}


def answer(arguments: list[str], gpu: dict[str, str]) -> str:
    """The text nvidia-smi would print. Raises ValueError with its sentence for what it cannot answer."""
    options = dict(argument.partition("=")[::2] for argument in arguments)
    if options.keys() & {"-L", "--list-gpus"}:
        return f"GPU 0: {gpu['name']} (UUID: {gpu['uuid']})"
    if "--query-gpu" not in options:
        return (
            f"{gpu['name']}, {gpu['memory.used']}MiB / {gpu['memory.total']}MiB, {gpu['utilization.gpu']}% (pretended)"
        )
    names = [name.strip() for name in options["--query-gpu"].split(",")]
    unknown = [name for name in names if name not in gpu]
    if unknown:
        raise ValueError(f'Field "{unknown[0]}" is not a valid field to query.')
    layout = [word.strip() for word in options.get("--format", "").split(",")]
    if "csv" not in layout:
        raise ValueError('"--format=csv" is required with "--query-gpu".')
    units = {} if "nounits" in layout else UNITS
    row = ", ".join(gpu[name] + units.get(name, "") for name in names)
    return row if "noheader" in layout else ", ".join(names) + "\n" + row


SILENT = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running."
)

if __name__ == "__main__":
    card = json.loads(STATE.read_text())["card"]
    if card == "silent":
        print(SILENT)  # noqa: T201
        sys.exit(9)
    if card == "hangs":
        time.sleep(3600)
    try:
        print(answer(sys.argv[1:], json.loads(STATE.read_text())))  # noqa: T201, this is a command
    except ValueError as problem:
        sys.exit(str(problem))
