"""Templates, styles and scripts as files: self-contained, safe by construction, readable in both themes."""

from __future__ import annotations

import re

import pytest

from .rendering import STATIC, TEMPLATES

SCRIPTS = sorted(STATIC.glob("*.js"))
PAGES = sorted(TEMPLATES.glob("*.html"))
SHEETS = sorted(STATIC.glob("*.css"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_never_makes_markup_of_words(path):
    # What instances and users say goes into the page as text only.
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\.html\(|eval\(", path.read_text())


@pytest.mark.parametrize("path", [*SCRIPTS, *PAGES, *SHEETS], ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path):
    assert "//" not in re.sub(r"^\s*//.*$|/\*.*?\*/|;\s+//.*$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_no_script_or_style_of_its_own_inside(path):
    text = path.read_text()
    assert not re.search(r"\son\w+=|\sstyle=|<style", text)
    assert re.findall(r"<script(?![^>]*(?:\bsrc=|application/json))", text) == []


@pytest.mark.parametrize("path", [*PAGES, *SCRIPTS], ids=lambda path: path.name)
def test_every_file_it_names_exists(path):
    for name in re.findall(r'js2/static/([\w.]+)|from "\./([\w.]+)"|import "\./([\w.]+)"', path.read_text()):
        assert (STATIC / "".join(name)).is_file()


def colours(theme: str) -> dict[str, str]:
    sheet = (STATIC / "page.css").read_text()
    block = re.search(rf'\[data-bs-theme="{theme}"\] \{{(.*?)\n\}}', sheet, re.DOTALL)
    assert block
    return dict(re.findall(r"--js2-([\w-]+): (#[0-9a-f]{6});", block[1]))


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


WORDS = [(ink, paper) for ink in ("text", "muted", "accent") for paper in ("page", "surface", "accent-soft")]
WORDS += [
    ("text", "bad-soft"),
    ("muted", "bad-soft"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("bad", "surface"),
    ("warn", "surface"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "paper"), WORDS)
def test_words_keep_the_contrast_of_wcag_aa(theme, ink, paper):
    palette = colours(theme)
    assert contrast(palette[ink], palette[paper]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("mark", "paper"),
    [("edge", "surface"), ("accent", "page"), ("ok", "surface"), ("bad", "surface"), ("surface", "ok")],
)
def test_borders_and_marks_keep_the_contrast_of_wcag_aa(theme, mark, paper):
    palette = colours(theme)
    assert contrast(palette[mark], palette[paper]) >= 3
