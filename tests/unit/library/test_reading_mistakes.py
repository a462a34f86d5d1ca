"""Every mistake in a library is told in a line: which file, which line, what is wrong, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from js2spawner.library.reading import read, read_all
from js2spawner.located_yaml import FileError
from tests.unit.library.written import Library

HASH = "0" * 64


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def told(library: Library, name: str = "more") -> list[str]:
    with pytest.raises(FileError) as caught:
        read(library.folder, name)
    return [mistake.removeprefix(f"{library.folder}/") for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("title: Small\n", "", 1, "lacks “title”; add it"),
        ("inside: [", "insides: [", 3, "did you mean “inside”?"),
        ("smallest: m3.tiny", "gpu: maybe\nsmallest: m3.tiny", 9, "must be 'no', 'possible' or 'required'"),
        ("owner: Somebody\n", "", 1, "“owner” is missing; add it"),
        ("base: {debian: bookworm}\n", "", 1, "“extends” and “base” are missing; give one"),
        ("debian: bookworm", "debian: bookworm, cloud: X", 5, "either “debian” or “cloud”"),
        ("debian: bookworm", "debian: potato", 5, "must be 'bookworm'"),
        ("debian: bookworm", "cloud: X", 5, "“python” is missing"),
        ("debian: bookworm", 'cloud: X, python: "3.12"', 5, "a whole version in quotes, such as “3.12.3”"),
        ("server: {", "server2: {", 6, "the environment “server” is missing"),
        ("jupyterlab>=4]", "https://elsewhere/x.whl]", 7, "a name with a version range at most"),
        ("smallest:", "files: ../../etc\nsmallest:", 9, "a path below the library's folder"),
        ("smallest:", "files: files/none\nsmallest:", 9, "there is no folder"),
        ("smallest:", "masked: [fstrim]\nsmallest:", 9, "a systemd unit with its ending"),
        ("smallest:", "packages: [Git!]\nsmallest:", 9, "the name of a Debian package"),
        ("smoke: [notebooks/python.ipynb]\n", "", 1, "“smoke” is missing; add a notebook"),
        ("python.ipynb", "lost.ipynb", 8, "cannot be read (No such file or directory); add it or remove it"),
        ("title: Small", "title: Small\ntitle: Two", 2, "stands here twice"),
    ],
)
def test_a_mistake_in_a_definition_is_told_with_its_line(
    library: Library, before: str, after: str, line: int, words: str
):
    library.change("small.yaml", before, after)
    mistakes = told(library, "small")
    assert any(mistake.startswith(f"small.yaml:{line}: ") and words in mistake for mistake in mistakes), mistakes


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("extends: small", "extends: smal", 4, "no image “smal” to extend; did you mean “small”?"),
        ("extends: small", "extends: small\nbase: {debian: bookworm}", 5, "remove “base”"),
        ("environment: science}", "environment: sience}", 9, "no environment “sience”; known are science, server"),
        ("environment: science}", "environment: science, argv: [x]}", 9, "either “environment” or “argv”"),
        ("  science: {packages", "  guest: {packages", 7, "/opt/js2/guest is something else; rename it"),
        ("environments:", "environments:\n  server: {packages: [notebook]}", 7, "lacks jupyterlab>=4; add it"),
    ],
)
def test_a_mistake_in_what_a_child_adds_is_told_with_its_line(
    library: Library, before: str, after: str, line: int, words: str
):
    library.change("more.yaml", before, after)
    mistakes = told(library)
    assert any(mistake.startswith(f"more.yaml:{line}: ") and words in mistake for mistake in mistakes), mistakes


def test_definitions_that_extend_each_other_are_told(library: Library):
    library.change("small.yaml", "base: {debian: bookworm}", "extends: more")
    (mistake,) = told(library)
    assert "small.yaml:5: this goes round in circles (more extends small extends more)" in mistake


def test_an_unknown_image_is_answered_with_those_there_are(library: Library):
    assert told(library, "mor") == [f"{library.folder}: there is no image “mor”; did you mean “more”?"]


def test_a_file_whose_name_cannot_be_an_images_is_told(library: Library):
    library.write("More Stuff.yaml", (library.folder / "small.yaml").read_text())
    assert "“More Stuff” is no name for an image" in told(library, "More Stuff")[0]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (f"numpy==2.3.0 --hash=sha256:{HASH}\nscipy>=1 --hash=sha256:{HASH}\n", 2, "this line is not"),
        ("numpy==2.3.0\n", 1, "this line is not “name==version --hash=sha256:…”"),
        (f"numpy==2.3.0 --hash=sha256:{HASH}\n" * 2, 2, "numpy stands here twice"),
    ],
)
def test_a_lock_that_does_not_pin_everything_is_told_with_its_own_line(
    library: Library, content: str, line: int, words: str
):
    library.write("locks/more-science.txt", content)
    (mistake,) = told(library)
    assert mistake.startswith(f"locks/more-science.txt:{line}: ")
    assert words in mistake
    assert "run: js2 image lock more" in mistake


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("numpy, pandas", "“pandas” is not in its lock"),
        ("numpy>=3", "“numpy>=3” is asked for and its lock has 2.3.0"),
        ("'numpy[testing]'", "its lock was made for other packages"),
    ],
)
def test_a_lock_that_is_behind_its_definition_is_told(library: Library, asked: str, words: str):
    library.change("more.yaml", "{packages: [numpy]}", f"{{packages: [{asked}]}}")
    mistakes = told(library)
    assert any(mistake.startswith("more.yaml:7: ") and words in mistake for mistake in mistakes), mistakes


def test_a_lock_for_another_python_is_told(library: Library):
    library.lock("more-science", "numpy", {"numpy": "2.3.0"}, python="3.12.3")
    assert "made for other packages or another Python; run: js2 image lock more" in told(library)[0]


def test_what_is_left_out_must_have_been_there(library: Library):
    library.change("more.yaml", "[numpy]}", "[numpy], left_out: [scipy]}")
    assert "scipy is not in the lock of science" in told(library)[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not json", "not JSON"),
        ("[]", "no notebook of format 4"),
        ('{"nbformat": 4, "cells": []}', "has no cell of code"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": ["\\n"]}]}', "has no cell of code"),
        (
            '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "1"}]}',
            "asks for the kernel null; known in this image are",
        ),
    ],
)
def test_a_smoke_notebook_that_cannot_run_is_told(library: Library, content: str, words: str):
    library.write("notebooks/science.ipynb", content)
    (mistake,) = told(library)
    assert mistake.startswith("more.yaml:10: ")
    assert words in mistake


def test_a_kernel_of_a_child_is_not_its_parents(library: Library):
    library.change("small.yaml", "python.ipynb", "science.ipynb")
    assert "asks for the kernel “science”; known in this image are python3." in told(library, "small")[0]


def test_a_parents_mistake_is_told_once_for_the_whole_library(library: Library):
    library.change("small.yaml", "python.ipynb", "lost.ipynb")
    with pytest.raises(FileError) as caught:
        read_all(library.folder)
    assert len(caught.value.mistakes) == 1


def test_all_mistakes_are_told_at_once(library: Library):
    library.change("small.yaml", "title: Small\n", "")
    library.change("small.yaml", "owner: Somebody", "ownr: Somebody")
    assert len(told(library, "small")) == 2


def test_an_empty_folder_is_no_library(tmp_path: Path):
    with pytest.raises(FileError, match="there is no definition here"):
        read_all(tmp_path)
