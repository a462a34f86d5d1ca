"""The main job, end to end: sign in, choose, watch, work on an instance of one's own, stop, and it is gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser import evidence
from tests.browser.people import STAGES_WITH_HOME, Person
from tests.browser.whole import Demo, Hub, until

pytestmark = pytest.mark.browser

GONE_WITHIN_S = 30
BOBS = {"image": "scientific", "flavor": "m3.quad", "home": "none"}
KNOWN = "image, flavor, region, home, idle, fallback and confirm"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Demo(tmp_path_factory.mktemp("main"), "alice,bob") as running:
        yield running


@pytest.fixture(scope="module")
def bob(hub: Hub, person: Callable[[str], Person]) -> Person:
    """Somebody whose server a script has started."""
    hub.rest("POST", "/users/bob")
    # Without his home, so that a second server of his can have it.
    assert hub.rest("POST", "/users/bob/server", BOBS).status_code in (201, 202)
    until(lambda: hub.is_ready("bob"), "bob's server is ready", 60)
    return person("bob")


def test_from_signing_in_to_an_instance_that_is_gone(hub: Hub, person: Callable[[str], Person]):
    alice = person("alice")
    alice.chooses("minimal", "m3.small")
    alice.sees_lab()
    assert alice.stages_seen() == [f"{stage}: {state}" for stage in STAGES_WITH_HOME for state in ("begun", "done")]

    alice.works_as_nobody_but_herself()

    processes = hub.instance_processes(hub.instance_id("alice"))
    assert len(processes) > 3
    alice.stops()
    until(lambda: not hub.instances("alice"), "alice's instance is gone from the cloud", GONE_WITHIN_S)
    assert hub.ports() == []
    until(lambda: not set(processes) & set(hub.living()), "the instance's processes are gone", GONE_WITHIN_S)


def test_a_script_starts_what_it_names(hub: Hub, bob: Person):
    (instance,) = hub.instances("bob")
    assert (instance.flavor.original_name, instance.metadata["js2_image"]) == ("m3.quad", "scientific")
    assert hub.server_model("bob")["user_options"] == BOBS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image": "nonsense"}, "This hub has no image “nonsense”; it has minimal, scientific, gpu, climate-course."),
        ({"colour": "red"}, f"This hub knows no option “colour”; it knows {KNOWN}."),
        ({"image": "climate-course"}, "Only for members of climate-course."),
        ({"image": "gpu", "flavor": "m3.tiny"}, "needs a GPU"),
        ({"flavor": ["m3.tiny"]}, "The flavor must be a name"),
    ],
)
def test_a_script_that_asks_for_the_impossible_is_told_why(
    hub: Hub, bob: Person, options: dict[str, object], sentence: str
):
    answer = hub.rest("POST", "/users/bob/servers/linked", options)
    assert answer.status_code == 400
    assert sentence in answer.json()["message"]
    assert hub.instances("bob", "linked") == []


def test_a_link_that_asks_for_the_impossible_shows_the_choice_page_with_the_reason(hub: Hub, bob: Person):
    page = bob.goes_to("/hub/spawn/bob/linked?opt-image=nonsense")
    expect(page.get_by_role("alert")).to_contain_text("This hub has no image “nonsense”")
    expect(page.locator("#js2-start")).to_be_enabled()
    assert hub.instances("bob", "linked") == []


def test_a_link_starts_what_it_names_and_its_stop_button_stops_that_server_alone(hub: Hub, bob: Person):
    before = hub.instance_id("bob")
    page = bob.goes_to("/hub/spawn/bob/linked?opt-image=minimal&opt-flavor=m3.small")
    page.wait_for_url(re.compile(r"/hub/spawn-pending/bob/linked"))
    (linked,) = until(lambda: hub.instances("bob", "linked"), "the linked server's instance exists")
    assert linked.flavor.original_name == "m3.small"

    page.click("#js2-stop")
    page.wait_for_url("**/hub/home")
    until(lambda: not hub.instances("bob", "linked"), "the stopped server's instance is gone", GONE_WITHIN_S)
    assert hub.is_ready("bob")
    assert hub.instance_id("bob") == before


def test_a_server_with_a_name_is_added_on_the_home_page(hub: Hub, bob: Person):
    page = bob.goes_to("/hub/home")
    page.fill("#js2-new-name", "Second one")
    page.get_by_role("button", name="Add and choose").click()
    page.wait_for_url(re.compile(r"/hub/spawn/bob/second-one"))
    expect(page.locator("#js2-start")).to_be_enabled()


def test_no_secret_is_where_somebody_else_could_read_it(hub: Hub, bob: Person):
    server_id = hub.instance_id("bob")
    secrets = evidence.secrets_of(hub, server_id)
    assert all(len(secret) > 20 for secret in secrets.values())
    told = [
        (place, what) for place, text in evidence.readable(hub, server_id) for what in secrets if secrets[what] in text
    ]
    assert told == []


def test_what_an_instance_boots_from_and_says_names_no_user(hub: Hub, bob: Person):
    server_id = hub.instance_id("bob")
    assert "ticket" in evidence.user_data(hub, server_id)
    assert "stage: listening" in evidence.console(hub, server_id)
    assert "bob" not in evidence.user_data(hub, server_id)
    assert "bob" not in evidence.console(hub, server_id)


def test_after_ctrl_c_no_process_is_left(hub: Hub, bob: Person):
    assert len(hub.instance_processes(hub.instance_id("bob"))) > 3
    hub.end()
    assert hub.living() == []
