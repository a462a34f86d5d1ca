"""Writes docs/library.md from the definitions in images/ and, of images that were built here, what their builds hold.

`.venv/bin/python tools/library_page.py`. What an image's newest build holds is kept in the page by whoever built it:
where there is no build, that part stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader

from js2spawner.library import locks
from js2spawner.library.builds import Builds
from js2spawner.library.definition import Definition, Derived, Environment
from js2spawner.library.inventorying import record
from js2spawner.library.reading import read_all
from js2spawner.library_shown import KIND_TITLES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "library.md"
_BUILT = re.compile(r"<!-- built: (?P<name>[a-z0-9-]+) -->\n(?P<text>.*?)<!-- end of built: (?P=name) -->", re.DOTALL)


def main() -> None:
    definitions = read_all(ROOT / "images")
    kept = built_parts(PAGE.read_text()) if PAGE.exists() else {}
    here = {each.name: built for each in definitions if (built := _built(each, Builds(ROOT / ".images")))}
    PAGE.write_text(page(definitions, {**kept, **here}))


def page(definitions: Iterable[Definition], built: Mapping[str, str]) -> str:
    """The whole page; `built` is what `built_parts` found in it, by image."""
    in_order = sorted(definitions, key=lambda each: (isinstance(each.base, Derived), len(each.layers), each.name))
    images = [_image(each) for each in in_order]
    return _templates().get_template("library_page.md.jinja").render(images=images, built=built)


def built_parts(text: str) -> dict[str, str]:
    """What a page says of builds, by image."""
    return {found["name"]: found["text"] for found in _BUILT.finditer(text)}


def _image(definition: Definition) -> dict[str, Any]:
    environments = [_environment(each) for each in definition.environments]
    own = definition.layers[-1]
    kernels = ", ".join(dict.fromkeys(kernel.title for layer in definition.layers for kernel in layer.kernels))
    base = definition.base
    return {
        "name": definition.name,
        "title": definition.title,
        # As MkDocs makes it of a heading.
        "anchor": re.sub(r"[^a-z0-9-]+", "-", definition.title.lower()).strip("-"),
        "description": definition.description,
        "inside": definition.inside,
        "made_from": f"the cloud's {base.image}" if isinstance(base, Derived) else f"Debian {base.suite}",
        "extends": [layer.name for layer in definition.layers[:-1]],
        "smallest": definition.smallest,
        "gpu": {"no": "no", "possible": "can use one", "required": "needs one"}[definition.gpu],
        "rebuild_after": f"{definition.rebuild_after_days:g} days",
        "asked_debian": own.packages,
        "kernels": f"Kernels: {kernels}." if kernels else "",
        "environments": environments,
        "pins": sum(len(each["pins"]) for each in environments),
    }


def _environment(environment: Environment) -> dict[str, Any]:
    pins = locks.read(environment.lock).values()
    return {
        "name": environment.name,
        "place": environment.place,
        "asked": environment.packages,
        "pins": [f"{pin.name} {pin.version}" for pin in pins if pin.name not in environment.left_out],
    }


def _built(definition: Definition, builds: Builds) -> str:
    """What the newest build here holds; empty when there is none, or when it is of another state of the definition."""
    newest = builds.newest(definition.name)
    if newest is None or newest.definition != definition.key:
        return ""
    packages = record.read(builds.place(newest) / record.NAME)
    kinds = [(title, [each for each in packages if each.kind == kind]) for kind, title in KIND_TITLES.items()]
    return (
        _templates()
        .get_template("library_built.md.jinja")
        .render(build=newest, packages=packages, kinds=[(title, of_kind) for title, of_kind in kinds if of_kind])
    )


def _templates() -> Templates:
    # Markdown, not HTML: what stands inside tags is escaped there.
    return Templates(  # noqa: S701
        loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )


if __name__ == "__main__":
    main()
