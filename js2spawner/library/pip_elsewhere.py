"""pip, looking at "Requires-Python" of packages as another Python would: `python -P pip_elsewhere.py 3.12.3 install …`.

`pip install --python-version` chooses files by that version but refuses packages by the Python it runs on; `pip
download` passes the version on, and has no dry run. A program of its own: it reaches into pip, which is no library.
"""

from __future__ import annotations

import sys
from typing import Any


def main(python: str, words: list[str]) -> int:
    from pip._internal.cli.main import main as pip
    from pip._internal.commands.install import InstallCommand

    version = tuple(int(part) for part in python.split("."))
    make_resolver = InstallCommand.make_resolver

    def make_resolver_elsewhere(*args: Any, **settings: Any) -> Any:
        return make_resolver(*args, **{**settings, "py_version_info": version})

    setattr(InstallCommand, "make_resolver", staticmethod(make_resolver_elsewhere))  # noqa: B010
    return int(pip(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
