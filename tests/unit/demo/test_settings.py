from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from js2spawner.demo.settings import Asked, DemoError, DemoSettings, Machine, from_text, settle, to_text


def machine(busy: frozenset[int] = frozenset(), first: int = 20000) -> Machine:
    ports = itertools.count(first)
    words = (f"secret-{number}" for number in itertools.count(1))
    return Machine(
        is_free=lambda port: port not in busy,
        free_port=lambda: next(ports),
        secret=lambda: next(words),
        hub_id=lambda: "a-hub",
    )


def kept() -> DemoSettings:
    return settle(None, Asked(), machine())


def test_the_first_start_has_the_documented_defaults():
    settings = settle(None, Asked(), machine())
    assert (settings.port, settings.users, settings.boot_seconds) == (8000, ("alice", "bob"), 8)
    assert settings.address == "http://127.0.0.1:8000"


def test_every_secret_is_another_one():
    settings = settle(None, Asked(), machine())
    assert len({settings.password, settings.api_token, settings.proxy_token}) == 3


def test_every_port_is_another_one():
    settings = settle(None, Asked(port=20001), machine())
    ports = [settings.port, settings.devcloud_port, settings.hub_port, settings.proxy_api_port, settings.handshake_port]
    assert len(set(ports)) == 5


def test_a_second_start_without_options_finds_everything_again():
    first = settle(None, Asked(8123, "carol,dan", "a-token-of-mine", 2), machine())
    assert settle(first, Asked(), machine(first=30000)) == first


def test_what_is_asked_wins_over_what_was_kept():
    settings = settle(kept(), Asked(8001, "eve", "another-token", 0), machine())
    assert (settings.port, settings.users, settings.api_token, settings.boot_seconds) == (
        8001,
        ("eve",),
        "another-token",
        0,
    )


def test_settings_survive_being_written_and_read():
    assert from_text(to_text(kept()), where="demo.json") == kept()


def test_a_busy_public_port_is_refused_by_number():
    with pytest.raises(DemoError, match=r"Port 8000 .* in use .* --port"):
        settle(None, Asked(), machine(busy=frozenset({8000})))


def test_a_busy_handshake_port_is_refused_because_instances_know_it():
    settings = kept()
    with pytest.raises(DemoError, match=rf"Port {settings.handshake_port} .* instances"):
        settle(settings, Asked(), machine(busy=frozenset({settings.handshake_port})))


def test_other_busy_internal_ports_move_aside():
    settings = kept()
    busy = frozenset({settings.hub_port, settings.proxy_api_port, settings.devcloud_port})
    moved = settle(settings, Asked(), machine(busy=busy, first=30000))
    assert {moved.hub_port, moved.proxy_api_port, moved.devcloud_port} == {30000, 30001, 30002}
    assert moved.handshake_port == settings.handshake_port


@pytest.mark.parametrize("users", ["", " , ", "Alice", "a b", "-x", "a" * 33, "root;ls"])
def test_names_no_hub_would_take_are_refused(users: str):
    with pytest.raises(DemoError, match="--users"):
        settle(None, Asked(users=users), machine())


def test_a_name_said_twice_counts_once():
    assert settle(None, Asked(users="bob, alice,bob"), machine()).users == ("bob", "alice")


@pytest.mark.parametrize("token", ["", "short", "with space", "x" * 256, "new\nline-token"])
def test_tokens_the_hub_would_refuse_are_refused_first(token: str):
    with pytest.raises(DemoError, match="--api-token"):
        settle(None, Asked(api_token=token), machine())


def test_no_secret_shows_when_settings_are_printed():
    settings = kept()
    shown = repr(settings) + repr(Asked(api_token="a-token-of-mine"))
    assert not [word for word in (settings.password, settings.api_token, "a-token-of-mine") if word in shown]


@pytest.mark.parametrize(
    "change",
    [
        {"port": "8000"},
        {"port": True},
        {"handshake_port": 0},
        {"hub_port": 65536},
        {"users": "alice"},
        {"users": [1]},
        {"password": ""},
        {"hub_id": None},
        {"boot_seconds": "soon"},
        {"more": 1},
    ],
)
def test_a_settings_file_changed_beyond_use_is_one_clear_sentence(change: dict[str, object]):
    text = json.dumps({**json.loads(to_text(kept())), **change})
    with pytest.raises(DemoError, match=r"demo\.json cannot be read"):
        from_text(text, where="demo.json")


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"port": 8000}'])
def test_a_broken_settings_file_is_one_clear_sentence(text: str):
    with pytest.raises(DemoError, match=r"demo\.json cannot be read"):
        from_text(text, where="demo.json")


def test_a_port_beside_the_kept_ones_is_not_used_twice():
    settings = replace(kept(), hub_port=8000)
    assert settle(settings, Asked(), machine(first=30000)).hub_port == 30000


def test_the_ports_of_the_clouds_regions_are_nobody_elses():
    settings = settle(kept(), Asked(port=20003), machine(first=20000))
    others = {settings.port, settings.hub_port, settings.proxy_api_port, settings.handshake_port}
    assert others.isdisjoint(range(settings.devcloud_port, settings.devcloud_port + 3))


def test_a_demo_from_before_there_were_regions_gets_all_of_them():
    values = json.loads(to_text(kept()))
    del values["regions"]
    assert from_text(json.dumps(values), where="demo.json") == kept()


def test_how_many_regions_there_are_is_kept():
    first = settle(None, Asked(regions=1), machine())
    assert settle(from_text(to_text(first), where="demo.json"), Asked(), machine()).regions == 1
