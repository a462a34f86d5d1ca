"""A cloud that refuses the hub for a while, or is not there: nothing is deleted, and it is said clearly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.browser.people import Person
from tests.browser.whole import until
from tests.openstack.estate import Estate
from tests.openstack.relay import Relay
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

NO_SIGN_IN = "The hub cannot sign in to the cloud."
# A service believes a token for five minutes after it has checked it (keystonemiddleware, token_cache_time).
REFUSED_WITHIN_S = 360
# So that trouble shows soon.
IMPATIENT = ("--Js2Fleet.quiet_list_interval_s=2", "--Js2Fleet.call_timeout_s=10")


@pytest.fixture(scope="module")
def way_to_nova(own_estate: Estate) -> Iterator[Relay]:
    with own_estate.relay("compute") as relay:
        yield relay


@pytest.fixture(scope="module")
def hub(own_estate: Estate, way_to_nova: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    where = tmp_path_factory.mktemp("trouble")
    with RealHub(where, own_estate, "rita,nora", hub_options=IMPATIENT) as running:
        yield running


@pytest.fixture(scope="module")
def rita(hub: RealHub, person: Callable[[str], Person]) -> Person:
    """Somebody at work."""
    rita = person("rita")
    rita.starts()
    rita.opens_notebook()
    assert rita.computes("kept = 6 * 7; kept") == "42"
    return rita


@pytest.fixture(scope="module")
def instance(hub: RealHub, rita: Person) -> str:
    return hub.instance_id("rita")


def is_untouched(hub: RealHub, rita: Person, instance: str) -> bool:
    """The instance is there, and its user works on."""
    return hub.instance_id("rita") == instance and hub.is_ready("rita") and rita.computes("kept + 1") == "43"


def test_nova_s_silence_deletes_nothing_and_a_start_goes_on_after_it(
    hub: RealHub, rita: Person, instance: str, way_to_nova: Relay, person: Callable[[str], Person]
):
    nora = person("nora")
    nora.chooses()
    (built,) = until(lambda: hub.instances("nora"), "an instance is being built")
    way_to_nova.close()
    until(lambda: "the list of instances failed (unreachable)" in hub.log("hub"), "the hub misses Nova", 60)
    until(lambda: hub.cloud.compute.get_server(built).status == "ACTIVE", "Nova has built it all the same", 60)
    assert is_untouched(hub, rita, instance)
    way_to_nova.open()
    nora.sees_lab()
    assert hub.instance_id("nora") == built.id
    assert "the cloud answers again" in hub.log("hub")

    nora.stops()
    until(lambda: not hub.instances("nora"), "her instance is gone", 90)
    assert is_untouched(hub, rita, instance)


def test_answers_that_are_lost_delete_nothing(hub: RealHub, rita: Person, instance: str, way_to_nova: Relay):
    way_to_nova.mute = True
    way_to_nova.close()
    way_to_nova.open()
    failures = hub.log("hub").count("the list of instances failed")
    until(lambda: hub.log("hub").count("the list of instances failed") > failures, "a list is given up", 120)
    assert is_untouched(hub, rita, instance)
    way_to_nova.mute = False
    way_to_nova.close()
    way_to_nova.open()
    answers = hub.log("hub").count("the cloud answers again")
    until(lambda: hub.log("hub").count("the cloud answers again") > answers, "Nova is heard again", 120)
    assert is_untouched(hub, rita, instance)


def test_revoked_tokens_are_replaced_and_nobody_notices(hub: RealHub, rita: Person, instance: str):
    before = sign_ins(hub)
    identity = hub.connection(hub.admin).identity
    # Keystone revokes all tokens of a user who is disabled, those of application credentials among them.
    for enabled in (False, True):
        identity.update_user(hub.estate.own.user_id, is_enabled=enabled)
    until(lambda: sign_ins(hub) > before, "the hub has signed in anew", REFUSED_WITHIN_S)
    assert "failed (sign-in)" not in hub.log("hub")
    assert is_untouched(hub, rita, instance)


def test_a_credential_that_is_gone_is_said_and_deletes_nothing(
    hub: RealHub, rita: Person, instance: str, person: Callable[[str], Person]
):
    hub.estate.delete_credential()
    # The old token would be believed for minutes; a hub that starts has none.
    hub.kill_hub()
    hub.start_hub()
    until(lambda: "failed (sign-in)" in hub.log("hub"), "the hub says what is wrong", 60)
    assert is_untouched(hub, rita, instance)

    nora = person("nora")
    nora.asks_for()
    nora.reads(NO_SIGN_IN)
    assert hub.instances("nora") == []


def test_with_another_credential_in_clouds_yaml_it_goes_on_without_a_restart(
    hub: RealHub, rita: Person, instance: str, person: Callable[[str], Person]
):
    before = sign_ins(hub)
    hub.estate.replace_credential()
    until(lambda: sign_ins(hub) > before, "the hub has signed in with the new credential", 60)
    assert is_untouched(hub, rita, instance)
    person("nora").starts()
    assert len(hub.instances("nora")) == 1


def sign_ins(hub: RealHub) -> int:
    return hub.log("hub").count("Signed in to cloud")
