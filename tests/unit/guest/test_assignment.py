"""What the hub says is checked by a root process that will act on it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from js2spawner.guest.assignment import BadAssignment, from_json, lease_from_json
from js2spawner.handshake import messages

GOOD: dict[str, Any] = {
    "id": "a1",
    "user": {"name": "alice", "uid": 20001, "sudo": False},
    "server": {
        "argv": ["jupyterhub-singleuser"],
        "env": {"JUPYTERHUB_API_TOKEN": "secret-token"},
        "address": "10.0.0.9",
        "port": 8888,
        "certificates": None,
    },
    "gpu": False,
}
LEASE: dict[str, Any] = {"ends_at": "2030-01-02T03:04:05Z", "why": "idle", "warn": True, "hub_page": "/hub/js2/lease/a"}


VOLUME: dict[str, Any] = {
    "kind": "volume",
    "serial": "3f1b7a52-94c0-4d1e-8e55-0123456789ab",
    "may_format": False,
    "export": "",
    "access": "",
    "key": "",
    "seed": None,
}
SEED: dict[str, Any] = {"kind": "git", "url": "https://example.org/course", "branch": "main", "into": "course/week 1"}
SHARE: dict[str, Any] = {
    **VOLUME,
    "kind": "share",
    "serial": "",
    "export": "10.0.0.3:6789,10.0.0.4:6789:/volumes/_nogroup/a",
}


def changed(part: str, name: str, value: Any) -> dict[str, Any]:
    whole = copy.deepcopy(GOOD)
    (whole[part] if part else whole)[name] = value
    return whole


def test_a_whole_assignment_is_understood_and_keeps_its_secrets() -> None:
    understood = from_json(GOOD)
    assert understood.env["JUPYTERHUB_API_TOKEN"] == "secret-token"
    assert "secret-token" not in repr(understood)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("", "id", "../x"),
        ("", "gpu", 1),
        ("", "user", []),
        ("", "server", None),
        ("user", "name", "root; rm"),
        ("user", "name", "../alice"),
        ("user", "name", "-alice"),
        ("user", "name", "a" * 33),
        ("user", "name", "alice\n"),
        ("user", "uid", 0),
        ("user", "uid", 999),
        ("user", "uid", 65534),
        ("user", "uid", 2**32),
        ("user", "uid", True),
        ("user", "uid", "1000"),
        ("user", "sudo", "yes"),
        ("server", "argv", []),
        ("server", "argv", [""]),
        ("server", "argv", ["a\0b"]),
        ("server", "argv", "jupyterhub-singleuser"),
        ("server", "env", {"A=B": "c"}),
        ("server", "env", {"A": None}),
        ("server", "env", {"A": "b\0c"}),
        ("server", "env", {"A": "\ud800"}),
        ("server", "argv", ["a", "\udfff"]),
        ("server", "env", {f"A{number}": "" for number in range(513)}),
        ("server", "address", "0.0.0.0.0"),
        ("server", "address", "hub.example.org"),
        ("server", "address", 167772169),
        ("server", "port", 80),
        ("server", "port", 70000),
        ("server", "certificates", {"key": "x"}),
    ],
)
def test_what_could_lead_a_root_process_astray_is_refused(part: str, name: str, value: Any) -> None:
    with pytest.raises(BadAssignment):
        from_json(changed(part, name, value))


@given(st.dictionaries(st.sampled_from(["id", "user", "server", "gpu"]), st.text() | st.integers() | st.none()))
def test_nonsense_is_refused_and_nothing_worse(told: dict[str, Any]) -> None:
    with pytest.raises(BadAssignment):
        from_json(told)


def test_a_refusal_never_quotes_a_secret() -> None:
    whole = changed("server", "env", {"JUPYTERHUB_API_TOKEN": "secret\0token"})
    with pytest.raises(BadAssignment) as refused:
        from_json(whole)
    assert "secret" not in str(refused.value)


def test_a_lease_is_published_as_given() -> None:
    assert lease_from_json({**LEASE, "more": 1}) == LEASE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hub_page", "https://elsewhere.example/"),
        ("hub_page", "//elsewhere.example/"),
        ("hub_page", "/hub/<script>"),
        ("hub_page", "/" + "a" * 600),
        ("ends_at", "soon"),
        ("why", "because"),
        ("warn", 1),
    ],
)
def test_an_odd_lease_is_not_published(name: str, value: Any) -> None:
    assert lease_from_json({**LEASE, name: value}) == {}


@pytest.mark.parametrize("told", [None, [], "lease", 3])
def test_no_lease_is_no_lease(told: Any) -> None:
    assert lease_from_json(told) == {}


def test_a_hub_of_before_there_were_homes_wishes_for_none() -> None:
    assert (from_json(GOOD).home, from_json(GOOD).data) == (None, ())


def test_what_the_hub_says_of_homes_is_understood_as_it_was_meant() -> None:
    told = messages.Assignment(
        id="a1",
        user_name="alice",
        uid=20001,
        sudo=False,
        argv=("jupyterhub-singleuser",),
        env={},
        address="10.0.0.9",
        port=8888,
        home=messages.HomeMount(
            "volume", VOLUME["serial"], may_format=True, seed=messages.SeedWish("git", SEED["url"])
        ),
        data=(messages.DataMount("course", "share", export=SHARE["export"], access="reader", key="c2VjcmV0"),),
    )
    wanted = from_json(json.loads(json.dumps(told.to_json())))
    assert wanted.home is not None
    assert (wanted.home.source.serial, wanted.home.may_format) == (VOLUME["serial"], True)
    assert wanted.home.seed is not None
    assert (wanted.home.seed.url, wanted.home.seed.into) == (SEED["url"], ".")
    assert [(each.name, each.source.export, each.source.key) for each in wanted.data] == [
        ("course", SHARE["export"], "c2VjcmV0")
    ]
    assert "c2VjcmV0" not in repr(wanted)


@pytest.mark.parametrize(
    ("home", "name", "value"),
    [
        (VOLUME, "kind", "tape"),
        (VOLUME, "serial", ""),
        (VOLUME, "serial", "../../sda"),
        (VOLUME, "serial", "short"),
        (VOLUME, "may_format", "yes"),
        (VOLUME, "export", "10.0.0.3:/a"),
        (SHARE, "export", ""),
        (SHARE, "export", "-o suid:/x"),
        (SHARE, "export", "/dev/sda1"),
        (SHARE, "export", "host:/a b"),
        (SHARE, "serial", "3f1b7a52-94c0-4d1e-8e55-0123456789ab"),
        (SHARE, "access", "a,rw"),
        (SHARE, "key", "secret,name=admin"),
        (VOLUME, "seed", {**SEED, "kind": "svn"}),
        (VOLUME, "seed", {**SEED, "url": "file:///etc"}),
        (VOLUME, "seed", {**SEED, "url": "https://example.org/ x"}),
        (VOLUME, "seed", {**SEED, "branch": "--upload-pack=x"}),
        (VOLUME, "seed", {**SEED, "into": "../up"}),
        (VOLUME, "seed", {**SEED, "into": "/etc"}),
        (VOLUME, "seed", []),
    ],
)
def test_a_home_that_could_lead_a_root_process_astray_is_refused(home: dict[str, Any], name: str, value: Any) -> None:
    assert from_json({**GOOD, "home": {**home, "seed": SEED}}).home is not None
    with pytest.raises(BadAssignment):
        from_json({**GOOD, "home": {**home, name: value}})


@pytest.mark.parametrize(
    "data", [{}, ["x"], [{**VOLUME, "name": "../etc"}], [{**VOLUME, "name": ""}], [{**VOLUME, "name": "a"}] * 17]
)
def test_class_data_is_held_to_names_and_numbers(data: Any) -> None:
    with pytest.raises(BadAssignment):
        from_json({**GOOD, "data": data})
