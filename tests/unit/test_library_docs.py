"""docs/library.md says what the definitions in images/ say."""

from __future__ import annotations

from js2spawner.library.reading import read_all
from tools import library_page


def test_the_page_of_the_images_is_as_new_as_their_definitions():
    written = library_page.PAGE.read_text()
    made = library_page.page(read_all(library_page.ROOT / "images"), library_page.built_parts(written))
    assert made == written, "run .venv/bin/python tools/library_page.py"
