"""The program an instance starts at boot: `python -I agent.py [options]`; `--help` lists them."""

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Run the agent from wherever this folder was copied to; the result is the exit status."""
    folder = Path(__file__).resolve().parent
    # Last, so that no neighbour of the folder can stand in for a module of the standard library.
    sys.path.append(str(folder.parent))
    command = importlib.import_module(f"{folder.name}.command")
    return int(command.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
