"""A library's folder as people write it: definitions, locks and notebooks, all right unless a test changes them."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

ROOT = dedent(
    """\
    title: Small
    description: As small as it gets.
    inside: [JupyterLab]
    owner: Somebody
    base: {debian: bookworm}
    environments:
      server: {packages: [jupyterlab>=4]}
    smoke: [notebooks/python.ipynb]
    smallest: m3.tiny
    """
)
CHILD = dedent(
    """\
    title: More
    description: With more in it.
    inside: [JupyterLab, NumPy]
    extends: small
    packages: [tmux]
    environments:
      science: {packages: [numpy]}
    kernels:
      science: {title: Science, language: python, environment: science}
    smoke: [notebooks/science.ipynb]
    """
)
HASH = "0" * 64


class Library:
    """`small`, and `more` that extends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("small.yaml", ROOT)
        self.write("more.yaml", CHILD)
        self.lock("small-server", "jupyterlab>=4", {"jupyterlab": "4.4.1"})
        self.lock("more-science", "numpy", {"numpy": "2.3.0"})
        self.notebook("python", "python3")
        self.notebook("science", "science")

    def write(self, place: str, text: str) -> Path:
        file = self.folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def change(self, place: str, before: str, after: str) -> None:
        text = (self.folder / place).read_text()
        assert text.count(before) == 1, f"“{before}” stands {text.count(before)} times in {place}"
        self.write(place, text.replace(before, after))

    def lock(self, name: str, asked: str, pins: dict[str, str], python: str = "3.11.2") -> Path:
        rows = [f"{package}=={version} --hash=sha256:{HASH}" for package, version in pins.items()]
        return self.write(f"locks/{name}.txt", "\n".join([f"# Python {python}, x86_64: {asked}", *rows]) + "\n")

    def notebook(self, name: str, kernel: str) -> None:
        cells = [{"cell_type": "code", "id": "a", "source": ["1"], "metadata": {}, "outputs": []}]
        content = {"cells": cells, "metadata": {"kernelspec": {"name": kernel}}, "nbformat": 4, "nbformat_minor": 5}
        self.write(f"notebooks/{name}.ipynb", json.dumps(content))
