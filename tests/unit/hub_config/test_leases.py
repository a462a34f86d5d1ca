"""What the culler is told: only a lease that is known to have ended ends a server."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from hub_config.leases import Arbiter

ROUND_S = 60.0


class Hub:
    """Answers with whatever the test says, and counts how often it is asked."""

    def __init__(self, **ended: bool) -> None:
        self.ended = {f"{name}/": value for name, value in ended.items()}
        self.asked = 0
        self.now = 100.0
        self.problem: Exception | None = None

    async def fetch(self) -> dict[str, bool]:
        self.asked += 1
        if self.problem:
            raise self.problem
        return dict(self.ended)

    def arbiter(self) -> Arbiter:
        return Arbiter(self.fetch, round_s=ROUND_S, clock=lambda: self.now)


def culls(arbiter: Arbiter, name: str) -> Callable[[], object]:
    return lambda: arbiter.should_cull(server={"full_name": f"{name}/"}, inactive=None, inactive_limit=600)


async def test_a_server_is_taken_when_its_lease_has_ended_and_not_before():
    arbiter = Hub(alice=True, bob=False).arbiter()
    assert await culls(arbiter, "alice")() is True
    assert await culls(arbiter, "bob")() is False


async def test_a_server_without_a_known_lease_is_not_taken():
    assert await culls(Hub().arbiter(), "alice")() is False


async def test_one_round_asks_once():
    hub = Hub(**{f"user{number}": False for number in range(50)})
    arbiter = hub.arbiter()
    for number in range(50):
        await culls(arbiter, f"user{number}")()
    assert hub.asked == 1


async def test_the_next_round_asks_again():
    hub = Hub(alice=False)
    arbiter = hub.arbiter()
    await culls(arbiter, "alice")()
    hub.now += ROUND_S
    hub.ended["alice/"] = True
    assert await culls(arbiter, "alice")() is True


async def test_an_extension_in_the_middle_of_a_round_saves_the_server():
    hub = Hub(alice=True, bob=True)
    arbiter = hub.arbiter()
    assert await culls(arbiter, "alice")() is True
    hub.now += 5
    hub.ended["bob/"] = False
    assert await culls(arbiter, "bob")() is False


@pytest.mark.parametrize("problem", [OSError("away"), ValueError("no JSON"), KeyError("leases")])
async def test_a_hub_that_does_not_say_ends_nobody(problem: Exception):
    hub = Hub(alice=True)
    hub.problem = problem
    assert await culls(hub.arbiter(), "alice")() is False


async def test_an_old_answer_is_not_kept_once_the_hub_no_longer_says():
    hub = Hub(alice=True)
    arbiter = hub.arbiter()
    await culls(arbiter, "alice")()
    hub.now += ROUND_S
    hub.problem = OSError("away")
    assert await culls(arbiter, "alice")() is False


async def test_the_hook_survives_being_copied_as_configuration_is():
    hook = copy.deepcopy(Hub(alice=True).arbiter().should_cull)
    assert await hook(server={"full_name": "alice/"}) is True
