"""The program that stands by: imports the notebook server, waits, and becomes somebody's server.

`python preload.py`, by the agent only, under the Python of the server's environment; standard input is the socket
to the agent. `docs/security.md`, "Pre-import", says what it may do while it is still root's.
"""

import sys

# This folder's, where modules are named as we like: nothing may be taken from here for one of the standard library.
if __name__ == "__main__":
    del sys.path[0]

import importlib
from pathlib import Path


def main() -> int:
    """Stand by; the result is the exit status. When the call comes, this process runs the server to its end."""
    folder = Path(__file__).resolve().parent
    # Last, and for one line only: the server it becomes shall find nothing of ours on its path.
    sys.path.append(str(folder.parent))
    becoming = importlib.import_module(f"{folder.name}.becoming")
    sys.path.remove(str(folder.parent))
    return int(becoming.stand_by(sys.stdin.fileno()))


if __name__ == "__main__":
    sys.exit(main())
