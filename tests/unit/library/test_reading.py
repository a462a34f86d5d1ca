"""Definitions become values: what a child has of its own, what it has from its parents, and what changes its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from js2spawner.library.definition import Derived, FromScratch, Kernel
from js2spawner.library.reading import read, read_all
from js2spawner.located_yaml import FileError
from tests.unit.library.written import Library


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_a_definition_holds_what_its_file_says(library: Library):
    small = read(library.folder, "small")
    assert (small.title, small.inside, small.owner, small.smallest) == ("Small", ("JupyterLab",), "Somebody", "m3.tiny")
    assert small.base == FromScratch("bookworm", 300)
    assert [layer.name for layer in small.layers] == ["small"]
    assert small.smoke == (library.folder / "notebooks/python.ipynb",)
    assert (small.gpu, small.rebuild_after_days) == ("no", 30)


def test_a_child_stands_on_its_parent(library: Library):
    more = read(library.folder, "more")
    assert [layer.name for layer in more.layers] == ["small", "more"]
    assert (more.title, more.owner, more.smallest) == ("More", "Somebody", "m3.tiny")
    assert [file.name for file in more.smoke] == ["python.ipynb", "science.ipynb"]
    assert [environment.name for environment in more.environments] == ["server", "science"]
    assert more.layers[1].kernels == (Kernel("science", "Science", "python", "science"),)


def test_a_child_may_say_otherwise(library: Library):
    library.change("more.yaml", "extends: small", "extends: small\nowner: Else\nsmallest: m3.quad\ngpu: possible")
    more = read(library.folder, "more")
    assert (more.owner, more.smallest, more.gpu) == ("Else", "m3.quad", "possible")


def test_an_environment_of_the_same_name_takes_the_parents_place(library: Library):
    library.change("more.yaml", "environments:", "environments:\n  server: {packages: [jupyterlab>=4, jupyterlab-git]}")
    library.lock("more-server", "jupyterlab-git jupyterlab>=4", {"jupyterlab": "4.5.0", "jupyterlab-git": "0.5"})
    server = read(library.folder, "more").environments[0]
    assert server.lock.name == "more-server.txt"
    assert "jupyterlab-git" in server.packages


def test_an_image_from_the_cloud_says_which_python_it_has(library: Library):
    library.change("small.yaml", "base: {debian: bookworm}", 'base: {cloud: Featured, python: "3.12.3"}')
    library.lock("small-server", "jupyterlab>=4", {"jupyterlab": "4.4.1"}, python="3.12.3")
    small = read(library.folder, "small")
    assert small.base == Derived("Featured")
    assert small.environments[0].python == "3.12.3"


def test_all_of_a_library_is_read_by_name(library: Library):
    assert [definition.name for definition in read_all(library.folder)] == ["more", "small"]


@pytest.mark.parametrize(
    ("place", "before", "after"),
    [
        ("small.yaml", "smallest: m3.tiny", "smallest: m3.tiny\npackages: [git]"),
        ("locks/small-server.txt", "4.4.1", "4.4.2"),
        ("small.yaml", "debian: bookworm", "debian: bookworm, spare_mb: 500"),
    ],
)
def test_what_goes_into_an_image_changes_its_key_and_its_childrens(
    library: Library, place: str, before: str, after: str
):
    keys = {definition.name: definition.key for definition in read_all(library.folder)}
    library.change(place, before, after)
    again = {definition.name: definition.key for definition in read_all(library.folder)}
    assert all(again[name] != key for name, key in keys.items())


def test_words_about_an_image_leave_its_key_alone(library: Library):
    before = read(library.folder, "small").key
    library.change("small.yaml", "As small as it gets.", "Tiny.")
    assert read(library.folder, "small").key == before


def test_whoever_makes_the_locks_reads_without_them(library: Library):
    (library.folder / "locks/small-server.txt").unlink()
    assert read(library.folder, "small", locks=False).environments[0].packages == ("jupyterlab>=4",)
    with pytest.raises(FileError, match="js2 image lock small"):
        read(library.folder, "small")
