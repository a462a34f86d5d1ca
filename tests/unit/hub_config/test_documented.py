"""What an operator can write into the files is explained where operators look."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from hub_config.cilogon import Institution, People
from hub_config.class_codes import Course
from js2spawner.catalog_entries import (
    ClassData,
    Defaults,
    FlavorEntry,
    Gpu,
    Home,
    ImageEntry,
    Limit,
    Profile,
    Region,
    Seed,
    Snapshots,
)

PROJECT = Path(__file__).resolve().parents[3]
PAGE = (PROJECT / "docs" / "operators.md").read_text()
MODELS: list[type[BaseModel]] = [
    Region,
    Profile,
    Home,
    Seed,
    Snapshots,
    ImageEntry,
    FlavorEntry,
    Gpu,
    ClassData,
    Limit,
    Defaults,
    Institution,
    People,
    Course,
]
SETTINGS = {name for model in MODELS for name in model.model_fields} - {"name"}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_of_the_files_is_explained(name: str):
    assert f"`{name}`" in PAGE or f"{name}:" in PAGE


@pytest.mark.parametrize("model", [Profile, Region])
def test_the_defaults_in_the_page_are_those_of_the_code(model: type[BaseModel]):
    for name, field in model.model_fields.items():
        if field.default is None or field.is_required() or field.default_factory is not None:
            continue
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert re.sub("`", "", row.split("|")[3]).strip() == as_written(field.default)


def as_written(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case tuple():
            return ", ".join(map(str, default)) or "none"
    return str(default)


@pytest.mark.parametrize("name", re.findall(r'"(JS2_[A-Z_]+)"', (PROJECT / "hub_config" / "settings.py").read_text()))
def test_every_environment_setting_has_its_row(name: str):
    assert f"| `{name}` |" in PAGE
