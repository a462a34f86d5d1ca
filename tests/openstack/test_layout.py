"""Rigs beside each other: what the second one has is its own, and the first is where it always was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.openstack.rig import prepared
from tests.openstack.rig.layout import DATABASES, Layout, Port, Which
from tests.openstack.rig.settings import write_settings


@pytest.fixture
def first(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def second(first: Layout) -> Layout:
    return replace(first, which=Which.SECOND)


def test_rigs_share_programs_and_neither_a_port_nor_a_file(first: Layout, second: Layout):
    assert first.venv == second.venv
    assert first.ports.keys() == second.ports.keys()
    assert not set(first.ports.values()) & set(second.ports.values())
    assert not second.run.is_relative_to(first.run)
    assert first.clouds_yaml != second.clouds_yaml
    assert not {first.database_url(name) for name in DATABASES} & {second.database_url(name) for name in DATABASES}


def test_the_first_rig_is_where_it_always_was(first: Layout, tmp_path: Path):
    assert (first.run, first.clouds_yaml) == (tmp_path / "run", tmp_path / "clouds.yaml")
    assert first.keystone_url == f"http://127.0.0.1:{Port.KEYSTONE}/v3"


def test_no_setting_of_the_second_rig_names_what_is_the_first_one_s(first: Layout, second: Layout):
    write_settings(second)
    written = "\n".join(file.read_text() for file in second.settings.iterdir() if file.is_file())
    assert str(second.ports["RABBITMQ"]) in written
    assert not [number for number in first.ports.values() if f":{number}" in written]
    assert str(first.run) not in written


def test_prepared_rows_are_moved_to_the_ports_of_their_rig_and_back(first: Layout, second: Layout):
    rows = f"'{first.keystone_url}','rabbit://guest:guest@127.0.0.1:{Port.RABBITMQ}/'"
    moved = prepared.moved(rows, first, second)
    assert moved == f"'{second.keystone_url}','rabbit://guest:guest@127.0.0.1:{second.ports['RABBITMQ']}/'"
    assert prepared.moved(moved, second, first) == rows
