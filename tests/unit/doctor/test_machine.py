from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from js2spawner.demo import node as node_module
from js2spawner.demo.node import Node
from js2spawner.doctor import machine
from js2spawner.doctor.machine import database, handshake_address, state_directory
from js2spawner.doctor.subject import Subject, subject_from


def test_a_free_address_is_ok(free_port: Callable[[], int]):
    assert handshake_address(f"127.0.0.1:{free_port()}").level == "ok"


def test_an_address_in_use_is_ok_and_says_why():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        finding = handshake_address(f"127.0.0.1:{listener.getsockname()[1]}")
    assert finding.level == "ok"
    assert "while the hub runs" in finding.sentence


# 192.0.2.0/24 is for documentation (RFC 5737): no machine has an address in it.
@pytest.mark.parametrize("bind", ["192.0.2.1:8710", "8710", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", ":8710"])
def test_an_address_that_cannot_be_listened_at_fails(bind: str):
    assert handshake_address(bind).level == "fail"


def test_a_database_that_answers_is_ok(tmp_path: Path):
    assert database(f"sqlite:///{tmp_path}/hub.sqlite").level == "ok"


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/hub.sqlite", "no url", "nosuchthing://host/db"])
def test_a_database_that_does_not_answer_fails(url: str):
    assert database(url).level == "fail"


def test_a_database_password_is_never_shown(free_port: Callable[[], int]):
    finding = database(f"postgresql+psycopg://hub:swordfish@127.0.0.1:{free_port()}/hub")
    assert finding.level == "fail"
    assert "swordfish" not in finding.sentence + finding.remedy


def test_a_state_directory_may_yet_have_to_be_made(tmp_path: Path):
    assert state_directory(tmp_path / "state" / "hub").level == "ok"


def test_a_file_in_the_way_of_the_state_directory_fails(tmp_path: Path):
    (tmp_path / "state").write_text("")
    assert state_directory(tmp_path / "state").level == "fail"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_directory_of_somebody_else_fails():
    assert state_directory(Path("/usr/share/js2")).level == "fail"


@pytest.mark.parametrize(("version", "level"), [((20, 0, 0), "ok"), ((18, 19, 0), "fail")])
def test_an_old_node_fails(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], level: str):
    monkeypatch.setattr(machine, "find_node", lambda: Node("/usr/bin/node", version))
    assert machine.node().level == level


def test_no_node_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node_module, "_candidates", list)
    assert machine.node().level == "fail"


def test_a_missing_proxy_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.proxy(tmp_path).level == "fail"


def test_options_win_over_the_settings_of_the_hub():
    environment = {"JS2_CLOUDS_YAML": "a", "JS2_CATALOG": "b", "JS2_HANDSHAKE_BIND": "c"}
    subject = subject_from(environment, clouds="d", cloud=None, catalog=None)
    assert subject == Subject(clouds_yaml="d", catalog="b", handshake_bind="c")
