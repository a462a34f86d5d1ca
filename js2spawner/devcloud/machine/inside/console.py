"""The console log of a machine: what a serial port would have shown, the end of it when it is long."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT_BYTES = 1 << 20


class Console:
    """Appends to a file that never grows beyond `LIMIT_BYTES`: when it would, the older half goes."""

    def __init__(self, path: Path) -> None:
        # Opened once, since the path does not exist in the machine's own view of the files.
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def write(self, data: bytes) -> None:
        data = data[-LIMIT_BYTES // 2 :]
        size = os.fstat(self._file).st_size
        if size + len(data) > LIMIT_BYTES:
            rest = os.pread(self._file, LIMIT_BYTES // 2 - len(data), size - LIMIT_BYTES // 2 + len(data))
            os.ftruncate(self._file, 0)
            os.write(self._file, rest[rest.find(b"\n") + 1 :])
        os.write(self._file, data)

    def line(self, text: str) -> None:
        self.write(text.encode(errors="replace") + b"\n")
