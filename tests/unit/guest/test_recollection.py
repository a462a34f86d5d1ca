"""When a server imported ahead of time would differ from one that is started for its user."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from js2spawner.guest.recollection import EVERYTHING, Recollection, Recording

PLAIN = {"LANG": "C.UTF-8", "HOME": "/home/alice", "JUPYTERHUB_API_URL": "http://hub"}


def recollection(**read: str) -> Recollection:
    return Recollection({name: frozenset((module,)) for name, module in read.items()}, {"HOME": "/nonexistent"})


def test_what_no_import_looked_at_may_be_anything() -> None:
    assert recollection().contradicted(PLAIN | {"ANYTHING": "x"}, ()) == ""


def test_a_module_that_looked_at_what_the_assignment_sets_is_named_and_the_value_is_not() -> None:
    told = recollection(HTTP_PROXY="extension").contradicted(PLAIN | {"HTTP_PROXY": "http://secret"}, ())
    assert told == "extension looks at HTTP_PROXY while it is imported"


def test_a_variable_that_is_as_it_was_at_the_import_contradicts_nothing() -> None:
    assert recollection(HTTP_PROXY="extension").contradicted(PLAIN, ()) == ""


def test_a_module_that_is_imported_again_has_nothing_to_forget() -> None:
    assert recollection(HOME="jupyterlab.labapp").contradicted(PLAIN, {"jupyterlab.labapp"}) == ""


def test_a_module_that_copied_the_whole_environment_may_have_kept_any_of_it() -> None:
    read = Recollection({EVERYTHING: frozenset(("extension",))}, PLAIN)
    assert read.contradicted(PLAIN, ()) == "extension looks at the whole environment while it is imported"


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHASHSEED", "LD_PRELOAD", "OPENSSL_CONF"])
def test_what_works_before_the_first_line_of_python_needs_a_fresh_process(name: str) -> None:
    assert name in recollection().contradicted(PLAIN | {name: "x"}, ())


@pytest.mark.parametrize("changes", [{"LC_ALL": "de_DE.UTF-8"}, {"LANG": "en_US.utf8"}, {"LANG": ""}, {"LANG": "C"}])
def test_any_locale_that_speaks_utf8_will_do(changes: dict[str, str]) -> None:
    assert recollection().contradicted(PLAIN | changes, ()) == ""


def test_another_encoding_needs_a_fresh_process() -> None:
    assert "UTF-8" in recollection().contradicted(PLAIN | {"LC_ALL": "de_DE.ISO-8859-1"}, ())


def test_a_look_is_put_down_to_the_module_that_was_being_imported(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "recollected_one.py").write_text(
        "import os, posixpath\nHOME = posixpath.expanduser('~')\nTHERE = 'RECOLLECTED' in os.environ\n"
        "def later():\n    return os.environ.get('LATER')\n"
    )
    (tmp_path / "recollected_two.py").write_text("import os, recollected_one\nCOPY = dict(os.environ)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with Recording() as record:
        import recollected_two  # type: ignore[import-not-found]

        recollected_two.recollected_one.later()
    told = record.recollection()
    for name in ("recollected_one", "recollected_two"):
        del sys.modules[name]
    assert "recollected_one" in told.read["HOME"]
    assert told.read["RECOLLECTED"] == {"recollected_one"}
    assert "recollected_two" in told.read[EVERYTHING]
    # Where tests run side by side, they run within the import of somebody else's module.
    assert not told.read.get("LATER", frozenset()) & {"recollected_one", "recollected_two"}
    assert told.saw == dict(os.environ)


def test_after_a_recording_the_environment_is_an_ordinary_one() -> None:
    before = type(os.environ)
    with Recording():
        assert type(os.environ) is not before
    assert type(os.environ) is before
