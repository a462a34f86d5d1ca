"""What the real Nova refuses and cannot do, under its name: on the page, over REST, and with nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.people import LOAD_MS, Person
from tests.browser.whole import TOKEN, until
from tests.openstack.estate import Estate
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

NO_ROOM = "The cloud has no room for this flavor right now."
NO_QUOTA = "The hub's allocation has reached its limit."
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


def told_of_failure(hub: RealHub, user: str, options: Mapping[str, str]) -> str:
    """Start a server by a script; what the script is told of why it failed."""
    answer = hub.rest("POST", f"/users/{user}/server", options)
    if answer.status_code == 503:
        # The refusal was there before JupyterHub had answered: then it is the answer.
        return str(answer.json()["message"])
    # 202, but after a failed start JupyterHub 6.1 answers 201: it looks at a spawner that it has put aside.
    assert answer.status_code in (201, 202)
    url = f"{hub.address}/hub/api/users/{user}/server/progress"
    with requests.get(url, headers={"Authorization": f"token {TOKEN}"}, stream=True, timeout=120) as story:
        lines = [line for line in story.iter_lines() if line.startswith(b"data: ")]
    last = json.loads(lines[-1].removeprefix(b"data: "))
    assert last["failed"] is True
    return str(last["message"])


def is_empty(hub: RealHub) -> bool:
    return hub.instances() == [] and hub.ports() == []


def test_no_valid_host_is_said_and_the_instance_in_error_is_deleted(hub: RealHub, person: Callable[[str], Person]):
    ben = person("ben")
    ben.chooses("minimal", hub.estate.name)
    expect(ben.page.locator("#js2-failure")).to_be_visible(timeout=LOAD_MS)
    expect(ben.page.locator("#js2-sentence")).to_contain_text(NO_ROOM)
    ben.page.get_by_role("link", name="Choose again").click()
    expect(ben.page.locator(f'[data-flavor="{hub.estate.name}"]')).to_contain_text("The cloud had no room for it")
    until(lambda: is_empty(hub), "nothing is left of it", GONE_WITHIN_S)


def test_no_valid_host_is_told_to_a_script(hub: RealHub):
    assert NO_ROOM in told_of_failure(hub, "ben", {"image": "minimal", "flavor": hub.estate.name})
    until(lambda: is_empty(hub), "nothing is left of it", GONE_WITHIN_S)


@pytest.mark.parametrize("limits", [{"instances": 0}, {"cores": 0}, {"ram": 128}])
def test_a_quota_refusal_is_told_to_a_script_whichever_limit_it_is(hub: RealHub, limits: Mapping[str, int]):
    with quota_of(hub.estate, **limits):
        assert NO_QUOTA in told_of_failure(hub, "ben", {"image": "minimal", "flavor": "m3.tiny"})
    assert is_empty(hub)


def test_a_quota_of_ports_is_a_quota_too(hub: RealHub):
    admin = hub.estate.connection(hub.estate.people.admin)
    admin.network.update_quota(hub.estate.own.id, ports=0)
    try:
        assert NO_QUOTA in told_of_failure(hub, "ben", {"image": "minimal", "flavor": "m3.tiny"})
    finally:
        admin.network.delete_quota(hub.estate.own.id)
    assert is_empty(hub)


def test_a_quota_that_runs_out_after_the_page_was_shown_is_said_on_it(hub: RealHub, person: Callable[[str], Person]):
    ben = person("ben")
    page = ben.goes_to("/hub/spawn/ben")
    page.check('input[name=flavor][value="m3.tiny"]')
    with quota_of(hub.estate, instances=0):
        page.click("#js2-start")
        ben.reads(NO_QUOTA)
    assert is_empty(hub)


def test_with_the_quota_back_the_next_start_works(hub: RealHub, person: Callable[[str], Person]):
    person("ben").starts()
    assert len(hub.instances()) == 1
