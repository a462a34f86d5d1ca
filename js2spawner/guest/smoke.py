"""Runs one notebook, cell by cell: `python -I smoke.py NOTEBOOK`, by the Python of the server's environment.

With jupyter_client, which every notebook server needs; nothing that writes notebooks in other forms is wanted.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

START_S = 180
CELL_S = 1800


def cells(notebook: Mapping[str, Any]) -> list[tuple[int, str, bool]]:
    """Its cells of code: their number among all cells, their text, and whether they may fail (`raises-exception`)."""
    found = []
    for number, cell in enumerate(notebook.get("cells", []), 1):
        source = cell.get("source", "")
        text = source if isinstance(source, str) else "".join(source)
        tags = cell.get("metadata", {}).get("tags", [])
        if cell.get("cell_type") == "code" and text.strip():
            found.append((number, text, "raises-exception" in tags))
    return found


def main(argv: Sequence[str]) -> int:
    """0 when every cell ran; 1 with the words of the one that did not."""
    with open(argv[0], encoding="utf-8") as file:  # noqa: PTH123
        notebook = json.load(file)
    kernel = notebook.get("metadata", {}).get("kernelspec", {}).get("name") or "python3"
    manager = importlib.import_module("jupyter_client.manager")
    running, client = manager.start_new_kernel(kernel_name=kernel, startup_timeout=START_S)
    try:
        for number, text, may_fail in cells(notebook):
            answer = client.execute_interactive(text, allow_stdin=False, timeout=CELL_S)["content"]
            if answer["status"] != "ok" and not may_fail:
                told = "\n".join(answer.get("traceback", [])) or answer.get("evalue", "")
                sys.stdout.write(f"cell {number} failed:\n{re.sub(chr(27) + '[[0-9;]*m', '', told)}\n")
                return 1
    finally:
        client.stop_channels()
        running.shutdown_kernel(now=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
