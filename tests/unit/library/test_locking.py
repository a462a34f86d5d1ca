"""A lock serves the image's Python whichever Python pip runs on, and keeps what nobody asked to change."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from js2spawner.library import locking, locks
from js2spawner.library.definition import Environment
from js2spawner.library.locking import CannotLock, Found
from js2spawner.library.locks import Pin

HASH = "0" * 64


def environment(*packages: str, folder: Path = Path(), python: str = "3.12.3") -> Environment:
    return Environment("science", packages, folder / "locks" / "x-science.txt", python=python)


class Index:
    """Answers as pip on Python 3.11 would: every package by name, with what it says it requires."""

    def __init__(self, requires: Mapping[str, Sequence[str]]) -> None:
        self.requires = requires
        self.asked: list[Sequence[str]] = []

    def __call__(self, packages: Sequence[str], python: str, kept: Mapping[str, Pin]) -> dict[str, Found]:
        self.asked.append(tuple(packages))
        found: dict[str, Found] = {}
        waiting = [(Requirement(each), "") for each in packages]
        while waiting:
            requirement, extra = waiting.pop()
            markers = {"python_version": "3.11", "extra": extra}
            if requirement.marker and not requirement.marker.evaluate(markers):
                continue
            requires = [Requirement(each) for each in self.requires[requirement.name]]
            if requirement.name not in found or requirement.extras:
                waiting += [(each, name) for each in requires for name in ("", *requirement.extras)]
            version = kept[requirement.name].version if requirement.name in kept else "2"
            found[requirement.name] = Found(Pin(requirement.name, version, (HASH,)), tuple(requires))
        return found


def names(index: Index, *packages: str) -> list[str]:
    return sorted(locking.lock(environment(*packages), {}, index))


def test_what_only_the_images_python_needs_is_asked_for_in_a_second_round():
    index = Index({"torch": ["setuptools; python_version >= '3.12'"], "setuptools": ["wheel"], "wheel": []})
    assert names(index, "torch") == ["setuptools", "torch", "wheel"]
    assert index.asked == [("torch",), ("torch", "setuptools")]


def test_what_only_pips_own_python_needs_is_left_away():
    index = Index({"torch": ["tomli; python_version < '3.12'"], "tomli": ["wheel"], "wheel": []})
    assert names(index, "torch") == ["torch"]


def test_extras_are_followed():
    index = Index({"jax": ["cuda; extra == 'cuda12'", "numpy"], "cuda": [], "numpy": []})
    assert names(index, "jax[cuda12]") == ["cuda", "jax", "numpy"]
    assert names(index, "jax") == ["jax", "numpy"]


def test_packages_that_need_each_other_end():
    index = Index({"a": ["b"], "b": ["a"]})
    assert names(index, "a") == ["a", "b"]


def test_pins_that_are_kept_keep_their_version():
    index = Index({"a": ["b"], "b": []})
    pins = locking.lock(environment("a"), {"b": Pin("b", "1", (HASH,))}, index)
    assert (pins["a"].version, pins["b"].version) == ("2", "1")


def test_a_lock_reads_back_as_it_was_written(tmp_path: Path):
    asked = environment("B>=1", "a", folder=tmp_path)
    pins = [Pin("b", "1.0+cpu", (HASH,)), Pin("a", "2", (HASH, "1" * 64))]
    locks.write(asked, pins)
    assert locks.read(asked.lock) == {pin.name: pin for pin in pins}
    assert list(locks.behind(asked, locks.read(asked.lock))) == []
    assert asked.lock.read_text().splitlines()[:2] == [
        "# Python 3.12.3, x86_64: a B>=1",
        f"a==2 --hash=sha256:{HASH} --hash=sha256:{'1' * 64}",
    ]


def test_an_environment_without_a_lock_begins_with_the_one_it_replaces(tmp_path: Path):
    parents, own = environment("a", folder=tmp_path / "parent"), environment("a", folder=tmp_path / "own")
    (tmp_path / "parent").mkdir()
    (tmp_path / "own").mkdir()
    locks.write(parents, [Pin("a", "1", (HASH,))])
    assert locking.pins_to_keep(own, parents)["a"].version == "1"
    locks.write(own, [Pin("a", "2", (HASH,))])
    assert locking.pins_to_keep(own, parents)["a"].version == "2"


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A program in place of Python with pip: writes down how it was called, and does what `act` says."""

    def replace(act: str) -> Path:
        program, called = tmp_path / "python", tmp_path / "called"
        script = (
            f"#!{sys.executable}\n"
            "import json, pathlib, sys\n"
            "words = dict(word.split('=', 1) for word in sys.argv if word.startswith('--') and '=' in word)\n"
            "pins = pathlib.Path(words['--constraint']).read_text()\n"
            f"pathlib.Path({str(called)!r}).write_text(json.dumps([sys.argv[1:], pins]))\n"
            f"{act}\n"
        )
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return called

    return replace


def report(**hashes: str) -> str:
    item = {
        "metadata": {"name": "Typing_Extensions", "version": "4.1", "requires_dist": ["a; extra == 'x'"]},
        "download_info": {"url": "https://elsewhere/x.whl", "archive_info": {"hashes": hashes}},
    }
    return f"pathlib.Path(words['--report']).write_text({json.dumps({'install': [item]})!r})"


def test_pip_is_asked_for_wheels_of_the_images_python_and_nothing_is_installed(pip):
    called = pip(report(sha256=HASH))
    found = locking.by_pip(["a>=1"], "3.11.2", {"b": Pin("b", "1", (HASH,))})
    words, constraint = json.loads(called.read_text())
    assert {"--dry-run", "--ignore-installed", "--only-binary=:all:", "--python-version=3.11.2", "a>=1"} <= set(words)
    assert "--platform=manylinux_2_17_x86_64" in words
    assert constraint == "b==1\n"
    assert found["typing-extensions"].pin == Pin("typing-extensions", "4.1", (HASH,))


def test_what_pip_objects_to_is_told_with_what_to_do(pip):
    pip("sys.stderr.write('noise\\nERROR: No matching distribution found for a>=9\\n'); sys.exit(1)")
    with pytest.raises(CannotLock, match=r"No matching distribution found for a>=9 .*use --upgrade"):
        locking.by_pip(["a>=9"], "3.11.2", {"b": Pin("b", "1", (HASH,))})
    with pytest.raises(CannotLock, match=r"found for a>=9$"):
        locking.by_pip(["a>=9"], "3.11.2", {})


def test_a_package_without_a_hash_is_not_locked(pip):
    pip(report())
    with pytest.raises(CannotLock, match="no SHA-256 of Typing_Extensions"):
        locking.by_pip(["a"], "3.11.2", {})
