"""What the real Placement has two of: the third waits in the line, sees its place, and has its turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.browser.scripted import Scripted
from tests.browser.whole import TOKEN, until
from tests.openstack.estate import Estate
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

SCARCE = "g3.small"
THERE_ARE = 2
TURN_WITHIN_S = 180


@pytest.fixture(scope="module")
def hub(own_estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    with RealHub(tmp_path_factory.mktemp("scarce"), own_estate, "ada,bo,cy") as running:
        yield running


class Listener(threading.Thread):
    """Somebody who reads the progress of a start to its end."""

    def __init__(self, hub: RealHub, user: str) -> None:
        super().__init__(daemon=True)
        self.told: list[dict[str, Any]] = []
        self._url = f"{hub.address}/hub/api/users/{user}/server/progress"

    def run(self) -> None:
        headers = {"Authorization": f"token {TOKEN}"}
        with requests.get(self._url, headers=headers, stream=True, timeout=TURN_WITHIN_S) as story:
            for line in story.iter_lines():
                if line.startswith(b"data: "):
                    self.told.append(json.loads(line.removeprefix(b"data: ")))

    @property
    def places(self) -> list[tuple[int, int]]:
        words = (event.get("js2") or {} for event in self.told)
        return [(word["position"], word["of"]) for word in words if word.get("kind") == "place"]


def test_who_finds_none_left_waits_and_has_a_turn_when_somebody_stops(hub: RealHub):
    first, second, third = (Scripted(hub, name) for name in ("ada", "bo", "cy"))
    for lucky in (first, second):
        lucky.starts(image="minimal", flavor=SCARCE)
    assert third.asks_for(image="minimal", flavor=SCARCE).status_code in (201, 202)
    heard = Listener(hub, "cy")
    heard.start()
    until(lambda: heard.places, "the third is told of a place in the line", TURN_WITHIN_S)
    assert heard.places[0] == (1, 1)
    assert not hub.is_ready("cy")

    first.stops()
    until(lambda: hub.is_ready("cy"), "the third has its turn", TURN_WITHIN_S)
    heard.join(TURN_WITHIN_S)
    assert heard.told[-1].get("ready") is True
    assert not any(event.get("failed") for event in heard.told)
    assert hub.is_ready("bo")
    until(lambda: len(hub.instances()) == THERE_ARE, "nothing else is left of the refusals", 60)
