"""`make lock`: resolve pyproject.toml and package.json afresh and write constraints.txt and package-lock.json."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The lock: every package `make install` puts into .venv, at one version each. `make lock` writes it anew
# from pyproject.toml. It is a constraints file: it pins what is asked for and asks for nothing itself.
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "setuptools", f"{ROOT}[dev,docs,node]"], check=True)
        freeze = [python, "-m", "pip", "freeze", "--all", "--exclude", "js2spawner", "--exclude", "pip"]
        packages = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
    (ROOT / "constraints.txt").write_text(HEADER + packages)
    # The lock holds no download addresses, so that it serves machines with mirrors of their own.
    npm = ["npm", "install", "--package-lock-only", "--omit-lockfile-registry-resolved", "--no-audit", "--no-fund"]
    subprocess.run(npm, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
