"""What a machine writes to its console: kept within bounds, with the signs of a kernel that gave up."""

from __future__ import annotations

import re
from collections.abc import Iterable

HEAD_BYTES = 256 * 1024
TAIL_BYTES = 64 * 1024
END_LINES = 30
_PANIC = re.compile(rb"Kernel panic - not syncing[^\r\n]{0,200}")
# Screen control of firmware, boot loader and systemd: colours, positions (ECMA-48).
_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()][0-9A-B]|[=>c78])")


class Console:
    """Fed by what the machine says. The beginning and the end are kept, so that no amount of talk costs memory."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are looked for in all that is said."""
        self._secrets = {name.encode() for name in secrets}
        self._longest = max((len(name) for name in self._secrets), default=1)
        self._head = bytearray()
        self._tail = bytearray()
        self.told_secret = False
        self.panic = ""
        self.said_anything = False

    def feed(self, data: bytes) -> None:
        before = bytes(self._tail[-max(self._longest, 512) :])
        seen = before + data
        self.said_anything = self.said_anything or bool(data.strip())
        self.told_secret = self.told_secret or any(secret in seen for secret in self._secrets)
        if not self.panic and (found := _PANIC.search(seen)):
            self.panic = _printable(found[0].decode(errors="replace"))
        self._head += data[: max(0, HEAD_BYTES - len(self._head))]
        self._tail += data
        del self._tail[: max(0, len(self._tail) - TAIL_BYTES)]

    def end(self, lines: int = END_LINES) -> str:
        """The last lines, printable; without secrets."""
        shown = bytes(self._tail)
        for secret in self._secrets:
            shown = shown.replace(secret, "…".encode())
        text = _CONTROL.sub("", shown.decode(errors="replace"))
        told = [_printable(line)[:300] for line in re.split(r"[\r\n]+", text)]
        return "\n".join([line for line in told if line][-lines:]) or "(nothing)"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text).strip()
