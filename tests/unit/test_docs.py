"""The docs keep up: whatever a person can set, call or watch stands in docs/."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from traitlets import HasTraits

from js2spawner import cli
from js2spawner.failures import FAILURES
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.instance import Deadlines
from js2spawner.spawner import Js2Spawner

ROOT = Path(__file__).parents[2]
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
EVERYTHING = "\n".join(DOCS.values())
SOURCES = sorted([*(ROOT / "js2spawner").rglob("*.py"), *(ROOT / "hub_config").rglob("*.py")])
METRIC_MAKERS = {"Counter", "Gauge", "Histogram", "Summary"}


def is_named(word: str, text: str) -> bool:
    """Whether the word stands by itself: `--dir` is not named by `--directory`."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def own_settings(kind: type[HasTraits]) -> list[str]:
    return [f"{kind.__name__}.{name}" for name in sorted(kind.class_own_traits(config=True))]


def commands() -> list[tuple[str, click.Command]]:
    group = cli.main
    context = click.Context(group)
    found = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    return [(name, command) for name, command in found if command is not None]


def calls_and_strings(path: Path) -> Iterator[tuple[str, str]]:
    """Every string constant of a source file, with the function it is the first argument of, if any."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield "", node.value
        if isinstance(node, ast.Call) and node.args and isinstance(first := node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if isinstance(first.value, str):
                yield function, first.value


def metrics() -> list[str]:
    found = {text for path in SOURCES for function, text in calls_and_strings(path) if function in METRIC_MAKERS}
    return sorted(name for name in found if name.startswith("js2_"))


def environment_settings() -> list[str]:
    found = {text for path in SOURCES for _, text in calls_and_strings(path)}
    return sorted(text for text in found if re.fullmatch(r"JS2_[A-Z0-9_]*[A-Z0-9]", text))


def requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=!~ ]", requirement)[0] for requirements in lists for requirement in requirements}
    return sorted(names - {"js2spawner"})


@pytest.mark.parametrize("setting", [*own_settings(Js2Spawner), *own_settings(Js2Fleet)])
def test_every_setting_of_the_spawner_and_the_fleet_is_explained(setting: str):
    assert is_named(setting, EVERYTHING)


def numbers() -> list[tuple[str, str]]:
    """Settings whose default is a number, and that number."""
    kinds = (Js2Spawner, Js2Fleet)
    traits = [
        (f"{kind.__name__}.{name}", t) for kind in kinds for name, t in kind.class_own_traits(config=True).items()
    ]
    return sorted((name, f"{t.default_value:g}") for name, t in traits if isinstance(t.default_value, int | float))


def row_of(setting: str) -> tuple[str, str]:
    """What the reference says of a setting, and the default it tells."""
    (row,) = [line for line in DOCS["reference.md"].splitlines() if line.startswith(f"| `{setting}` |")]
    _, _, meaning, default, _ = (cell.strip() for cell in row.split("|"))
    return meaning, default


@pytest.mark.parametrize(("setting", "default"), numbers())
def test_every_default_that_is_a_number_is_told_as_it_is(setting: str, default: str):
    assert row_of(setting)[1].split()[0] == default


def test_every_deadline_is_told_with_its_seconds():
    meaning, defaults = row_of("Js2Fleet.deadlines")
    told = dict(zip(re.findall(r"`(\w+_s)`", meaning), defaults.split(", "), strict=True))
    assert told == {each.name: f"{each.default:g}" for each in fields(Deadlines)}


@pytest.mark.parametrize("name", environment_settings())
def test_every_environment_setting_is_explained(name: str):
    assert is_named(name, EVERYTHING)


@pytest.mark.parametrize("name", metrics())
def test_every_metric_is_explained(name: str):
    assert is_named(name, DOCS["reference.md"])


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_is_explained(name: str):
    page = DOCS["operators.md" if name.startswith("save-") else "reference.md"]
    assert any(f"`{name}`" in line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_is_explained(name: str):
    assert f"## js2 {name}\n" in DOCS["commands.md"]


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, option)
        for name, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    ],
)
def test_every_option_is_explained_under_its_command(name: str, option: str):
    page = DOCS["commands.md"]
    section = page[page.index(f"## js2 {name}\n") :].split("\n## ")[0]
    assert is_named(option, section)


def subcommands() -> list[tuple[str, str, click.Command]]:
    """`js2 GROUP NAME`, each with its group's section of the page."""
    groups = [(name, command) for name, command in commands() if isinstance(command, click.Group)]
    contexts = [(name, group, click.Context(group)) for name, group in groups]
    found = [(n, each, g.get_command(context, each)) for n, g, context in contexts for each in g.list_commands(context)]
    return [(group, name, command) for group, name, command in found if command is not None]


@pytest.mark.parametrize(
    ("group", "name", "option"),
    [
        (group, name, option)
        for group, name, command in subcommands()
        for option in ["", *(o for p in command.params if isinstance(p, click.Option) for o in p.opts)]
    ],
)
def test_every_subcommand_is_explained_with_its_options(group: str, name: str, option: str):
    page = DOCS["commands.md"]
    section = page[page.index(f"## js2 {group}\n") :].split("\n## ")[0]
    assert is_named(f"js2 {group} {name}", section)
    assert not option or is_named(option, section)


@pytest.mark.parametrize("name", requirements())
def test_every_dependency_has_a_reason(name: str):
    assert is_named(name, DOCS["dependencies.md"])


@pytest.mark.parametrize("page", [*sorted(DOCS), "../README.md", "../CONTRIBUTING.md"])
def test_links_between_pages_lead_somewhere(page: str):
    path = ROOT / "docs" / page
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    lost = [link for link in links if "://" not in link and not (path.resolve().parent / link).exists()]
    assert not lost


def test_there_is_something_to_check():
    assert metrics()
    assert environment_settings()
    assert requirements()
