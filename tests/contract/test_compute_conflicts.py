"""What is refused because of the state a server is in, or because somebody locked it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import Standing

ACTIONS: dict[str, tuple[str, Any]] = {
    "start": ("os-start", None),
    "stop": ("os-stop", None),
    "reboot-soft": ("reboot", {"type": "SOFT"}),
    "reboot-hard": ("reboot", {"type": "HARD"}),
    "shelve": ("shelve", None),
    "unshelve": ("unshelve", None),
    "image": ("createImage", {"name": "contract-image"}),
    "confirm": ("confirmResize", None),
    "revert": ("revertResize", None),
}


@pytest.mark.parametrize(
    ("state", "action"),
    [
        ("active", "start"),
        ("active", "unshelve"),
        ("active", "confirm"),
        ("active", "revert"),
        ("failed", "start"),
        ("failed", "stop"),
        ("failed", "reboot-soft"),
        ("failed", "reboot-hard"),
        ("failed", "shelve"),
        ("failed", "unshelve"),
        ("failed", "image"),
        ("shelved", "start"),
        ("shelved", "stop"),
        ("shelved", "reboot-hard"),
        ("shelved", "shelve"),
    ],
)
async def test_an_action_in_the_wrong_state(
    cloud: Cloud, answer: Callable[..., None], standing: Standing, state: str, action: str
) -> None:
    answer(f"conflict-{action}-when-{state}", await cloud.member.act(getattr(standing, state), *ACTIONS[action]))


async def test_resize_and_rebuild_in_the_wrong_state(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    resize = {"flavorRef": cloud.names.bigger_flavor}
    for state in ("failed", "shelved"):
        answer(f"conflict-resize-when-{state}", await cloud.member.act(getattr(standing, state), "resize", resize))
    rebuild = {"imageRef": cloud.names.image}
    answer("conflict-rebuild-when-failed", await cloud.member.act(standing.failed, "rebuild", rebuild))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("unknown", {"nonsense": None}),
        ("two", {"os-stop": None, "os-start": None}),
        ("none", {}),
        ("reboot-type", {"reboot": {"type": "GENTLE"}}),
        ("reboot-bare", {"reboot": None}),
        ("resize-flavor", {"resize": {"flavorRef": "nope"}}),
        ("rebuild-image", {"rebuild": {"imageRef": "11111111-1111-1111-1111-111111111111"}}),
        ("console-length", {"os-getConsoleOutput": {"length": "many"}}),
        ("console-member", {"os-getConsoleOutput": {"lines": 5}}),
    ],
)
async def test_an_action_with_a_mistake(
    cloud: Cloud, answer: Callable[..., None], standing: Standing, name: str, body: Any
) -> None:
    answer(f"action-{name}", await cloud.member.call("POST", f"{server_path(standing.active)}/action", body))


@pytest_asyncio.fixture(loop_scope="session", params=["owner", "admin"])
async def locked(cloud: Cloud, standing: Standing, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, str]]:
    """By whom the standing server is locked, and its id."""
    who = cloud.admin if request.param == "admin" else cloud.member
    assert (await who.act(standing.active, "lock", {"locked_reason": "busy"})).status == 202
    yield request.param, standing.active
    assert (await cloud.admin.act(standing.active, "unlock")).status == 202


async def test_a_lock_stops_its_owner(cloud: Cloud, answer: Callable[..., None], locked: tuple[str, str]) -> None:
    by, server_id = locked
    path = server_path(server_id)
    shown = await cloud.member.server(server_id)
    assert (shown["locked"], shown["locked_reason"]) == (True, "busy")
    answer(f"locked-by-{by}-delete", await cloud.member.call("DELETE", path))
    for name in ("stop", "reboot-soft", "shelve", "start", "image"):
        answer(f"locked-by-{by}-{name}", await cloud.member.act(server_id, *ACTIONS[name]), loose=["image_id"])
    await cloud.member.settled(server_id, "ACTIVE")
    answer(f"locked-by-{by}-metadata", await cloud.member.call("POST", f"{path}/metadata", {"metadata": {"k": "v"}}))
    answer(f"locked-by-{by}-tag", await cloud.member.call("PUT", f"{path}/tags", {"tags": ["js2", "hub-1"]}))
    if by == "admin":
        answer("locked-by-admin-unlock", await cloud.member.act(server_id, "unlock"))


async def test_lock_and_unlock(cloud: Cloud, answer: Callable[..., None], standing: Standing) -> None:
    answer("lock", await cloud.member.act(standing.active, "lock"))
    answer("lock-again", await cloud.member.act(standing.active, "lock", {"locked_reason": "busy"}))
    answer("unlock", await cloud.member.act(standing.active, "unlock"))
    answer("unlock-again", await cloud.member.act(standing.active, "unlock"))
    shown = await cloud.member.server(standing.active)
    assert (shown["locked"], shown["locked_reason"]) == (False, None)
    answer("lock-reason-2.72", await cloud.member.act(standing.active, "lock", {"locked_reason": "x"}, version="2.72"))
    await cloud.member.act(standing.active, "unlock")
