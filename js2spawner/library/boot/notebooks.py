"""Smoke notebooks, run as their user would: put into the home, given their kernel, cell after cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from js2spawner.library.boot.jupyter import Jupyter, NotebookProblem, printable

DEFAULT_KERNEL = "python3"
MAY_FAIL = "raises-exception"
"""The tag of a cell whose failure is meant (nbclient's word for it)."""


async def run_notebook(server: Jupyter, notebook: Path, within_s: float) -> str:
    """Why it failed, with the cell's number, or nothing. `within_s` is for each cell."""
    try:
        told = _read(notebook)
        cells = list(code_cells(told))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as problem:
        return f"{notebook.name} is no notebook that can be read ({type(problem).__name__})"
    if not any(code.strip() for _, code, _ in cells):
        return f"{notebook.name} has no code, and so nothing was tried"
    kernel_name = str(told.get("metadata", {}).get("kernelspec", {}).get("name", DEFAULT_KERNEL))
    try:
        await server.write(notebook.name, told, "notebook")
        async with server.kernel(kernel_name, notebook.name) as kernel:
            for number, code, may_fail in cells:
                outcome = await kernel.run(code, within_s)
                if outcome.error and not may_fail:
                    first = printable(next(iter(code.strip().splitlines()), ""), 80)
                    return f"{notebook.name}, cell {number} ({first}): {outcome.error}"
    except NotebookProblem as problem:
        return f"{notebook.name}: {problem}"
    return ""


def _read(notebook: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(notebook.read_text())
    return told


def code_cells(notebook: dict[str, Any]) -> Iterator[tuple[int, str, bool]]:
    """Number, counted from 1 over all cells as a page shows them; code; whether it may fail."""
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "code":
            source = cell["source"]
            tags = cell.get("metadata", {}).get("tags", [])
            yield number, source if isinstance(source, str) else "".join(source), MAY_FAIL in tags
