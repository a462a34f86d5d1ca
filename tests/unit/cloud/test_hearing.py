"""What a listener hears of a client's questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from js2spawner.cloud.caller import Call, Caller
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError, ServerFault, Unreachable
from js2spawner.cloud.settings import CloudSettings
from js2spawner.cloud.signin import SignIn

from .stand_in import StandIn

FAST = CloudSettings(calls_per_second=10_000, burst=1000)
SERVERS = Call(service="compute", operation="list-servers", method="GET", path="/servers")
IMAGES = Call(service="image", operation="list-images", method="GET", path="/images")


@dataclass
class Ear:
    heard: list[str] = field(default_factory=list)

    def asked(self) -> None:
        self.heard.append("asked")

    def answered(self, operation: str) -> None:
        self.heard.append(f"answered {operation}")

    def failed(self, error: CloudError) -> None:
        self.heard.append(f"failed {error.name}")

    def left(self) -> None:
        self.heard.append("left")


def caller(grant: Any, ear: Ear) -> Caller:
    async def at_once(_seconds: float) -> None:
        return None

    return Caller("test", SignIn(grant, cloud="test", deadline_s=5), FAST, listener=ear, sleep=at_once)


async def test_each_question_to_nova_is_told_with_its_outcome_and_no_other_service_s(stand_in: StandIn):
    ear = Ear()
    nova = caller(stand_in.grant, ear)
    stand_in.on("GET", "/compute/v2.1/servers", {"servers": []})
    stand_in.on("GET", "/image/v2/images", {"images": []})
    await nova.call(SERVERS)
    await nova.call(IMAGES)
    stand_in.on("GET", "/compute/v2.1/servers", {}, status=404)
    with pytest.raises(CloudError):
        await nova.call(SERVERS)
    stand_in.on("GET", "/compute/v2.1/servers", {}, status=503)
    with pytest.raises(ServerFault):
        await nova.call(SERVERS)
    assert ear.heard[:2] == ["asked", "answered list-servers"]
    # A 404 that is not Nova's own is a load balancer's: whoever is behind it does not answer.
    assert ear.heard[2:] == ["asked", "failed bad-answer", "asked", "failed server-fault"]
    await nova.close()


async def test_every_attempt_to_connect_counts(stand_in: StandIn):
    ear = Ear()
    away = caller(lambda: stand_in.grant(endpoints={"compute": "http://127.0.0.1:9/v2.1"}), ear)
    with pytest.raises(Unreachable):
        await away.call(SERVERS)
    assert ear.heard == ["asked", "failed unreachable"] * 3
    await away.close()


async def test_a_keystone_that_answers_says_nothing_of_a_region_and_one_that_is_away_does(
    stand_in: StandIn, tmp_path: Any
):
    ear = Ear()
    cloud = Cloud("js2", config_file=stand_in.clouds_yaml(tmp_path), settings=FAST, listener=ear)
    await cloud.sign_in()
    assert ear.heard == ["asked", "left"]
    await cloud.close()
    auth = {"auth_url": "http://127.0.0.1:9/v3", "application_credential_id": "a", "application_credential_secret": "b"}
    cloud = Cloud("js2", config_file=stand_in.clouds_yaml(tmp_path, auth=auth), settings=FAST, listener=ear)
    with pytest.raises(Unreachable):
        await cloud.sign_in()
    assert ear.heard[2:] == ["asked", "failed unreachable"]
    await cloud.close()
