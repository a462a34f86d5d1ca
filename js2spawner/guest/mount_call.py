"""mount(2) by itself, for options that hold a secret: `python -I mount_call.py`, the order as JSON at standard input.

Says the error's number when it does not work. A process of its own, because a server that is away is waited for.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

# linux/mount.h
RDONLY, NOSUID, NODEV = 1, 2, 4


def main() -> int:
    """0 once it is mounted."""
    order = json.loads(sys.stdin.buffer.read())
    texts = [os.fsencode(order[name]) for name in ("source", "place", "kind")]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(*texts, ctypes.c_ulong(order["flags"]), os.fsencode(order["data"])) != 0:
        sys.stdout.write(str(ctypes.get_errno()))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
