"""What the real Nova refuses and cannot do, under its name: on the page, over REST, and with nothing left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.people import LOAD_MS, Person
from tests.browser.whole import TOKEN, until
from tests.openstack.estate import Estate
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

TOO_LARGE = "This flavor is larger than all the hub's allocation holds."
NO_HOST = "room for"
NO_QUOTA = "room in this hub's allocation"
GONE_WITHIN_S = 90


@pytest.fixture(scope="module")
def hub(own_estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    with RealHub(tmp_path_factory.mktemp("failures"), own_estate, "ada,ben") as running:
        yield running


@contextmanager
def quota_of(estate: Estate, **limits: int) -> Iterator[None]:
    """The project's quota, set by the admin, and as it was before."""
    admin = estate.connection(estate.people.admin)
    admin.set_compute_quotas(estate.own.id, **limits)
    yield
    admin.delete_compute_quotas(estate.own.id)


def told(hub: RealHub, user: str, options: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Start a server by a script; the story it is told."""
    answer = hub.rest("POST", f"/users/{user}/server", options)
    if answer.status_code == 503:
        # The refusal was there before JupyterHub had answered: then it is the answer.
        yield {"failed": True, "message": str(answer.json()["message"])}
        return
    # 202, but after a failed start JupyterHub 6.1 answers 201: it looks at a spawner that it has put aside.
    assert answer.status_code in (201, 202)
    url = f"{hub.address}/hub/api/users/{user}/server/progress"
    with requests.get(url, headers={"Authorization": f"token {TOKEN}"}, stream=True, timeout=120) as story:
        for line in story.iter_lines():
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


def told_of_failure(hub: RealHub, user: str, options: Mapping[str, str]) -> str:
    """Why a start by a script failed."""
    last = list(told(hub, user, options))[-1]
    assert last["failed"] is True
    return str(last["message"])


def waits_for(hub: RealHub, user: str, options: Mapping[str, str]) -> str:
    """What a start by a script waits for. It leaves the line again."""
    place = next(event["js2"] for event in told(hub, user, options) if event.get("js2", {}).get("kind") == "place")
    assert (place["position"], place["of"]) == (1, 1)
    hub.rest("DELETE", f"/users/{user}/server", {})
    return str(place["waits_for"])


def is_empty(hub: RealHub) -> bool:
    return hub.instances() == [] and hub.ports() == []


def test_no_valid_host_is_a_place_in_the_line_and_the_instance_in_error_is_deleted(
    hub: RealHub, person: Callable[[str], Person]
):
    ben = person("ben")
    ben.chooses("minimal", hub.estate.name)
    expect(ben.page.locator("#js2-place")).to_contain_text(NO_HOST, timeout=LOAD_MS)
    ben.page.get_by_role("button", name="Leave the line").click()
    ben.page.wait_for_url("**/hub/home", timeout=LOAD_MS)
    ben.goes_to("/hub/spawn/ben")
    expect(ben.page.locator(f'[data-flavor="{hub.estate.name}"]')).to_contain_text("The cloud had no room for it")
    until(lambda: is_empty(hub), "nothing is left of it", GONE_WITHIN_S)


def test_no_valid_host_is_told_to_a_script(hub: RealHub):
    assert NO_HOST in waits_for(hub, "ben", {"image": "minimal", "flavor": hub.estate.name})
    until(lambda: is_empty(hub), "nothing is left of it", GONE_WITHIN_S)


def test_a_quota_of_ports_is_waited_for_too(hub: RealHub):
    admin = hub.estate.connection(hub.estate.people.admin)
    admin.network.update_quota(hub.estate.own.id, ports=0)
    try:
        assert NO_QUOTA in waits_for(hub, "ben", {"image": "minimal", "flavor": "m3.tiny"})
    finally:
        admin.network.delete_quota(hub.estate.own.id)
    assert is_empty(hub)


@pytest.mark.parametrize("limits", [{"instances": 0}, {"cores": 0}, {"ram": 128}])
def test_a_quota_that_nothing_fits_in_is_told_to_a_script_whichever_limit_it_is(
    hub: RealHub, limits: Mapping[str, int]
):
    with quota_of(hub.estate, **limits):
        assert TOO_LARGE in told_of_failure(hub, "ben", {"image": "minimal", "flavor": "m3.tiny"})
    assert is_empty(hub)


def test_a_quota_that_runs_out_after_the_page_was_shown_is_said_on_it(hub: RealHub, person: Callable[[str], Person]):
    ben = person("ben")
    page = ben.goes_to("/hub/spawn/ben")
    page.check('input[name=flavor][value="m3.tiny"]')
    ben.agrees()
    with quota_of(hub.estate, instances=0):
        page.click("#js2-start")
        # By how fresh the figures are, it is known to be too large for ever, or Nova says so and it is waited for.
        said = page.get_by_text(re.compile(f"{TOO_LARGE}|{NO_QUOTA}")).first
        expect(said).to_be_visible(timeout=LOAD_MS)
        hub.rest("DELETE", "/users/ben/server", {})
        until(lambda: not hub.server_model("ben"), "ben waits no longer", GONE_WITHIN_S)
    assert is_empty(hub)


def test_with_the_quota_back_the_next_start_works(hub: RealHub):
    # What the hub knows of the quota is some seconds old, and by that nothing would ever fit.
    asked = {"image": "minimal", "flavor": "m3.tiny"}
    until(
        lambda: hub.rest("POST", "/users/ben/server", asked).status_code in (201, 202),
        "the hub knows that the quota is back",
        GONE_WITHIN_S,
    )
    until(lambda: hub.is_ready("ben"), "ben's server is ready", GONE_WITHIN_S)
    assert len(hub.instances()) == 1
