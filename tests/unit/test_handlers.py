"""The hub's own answers below /hub/js2/, asked of a real hub process with stand-in servers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.unit.hub_config.running_hub import PASSWORD, Browser, RunningHub, running_hub, until

JSON = "application/json"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub"), JS2_CULL_EVERY_S="3600") as running:
        running.start("carol")
        running.start("carol", "second-one")
        running.start("dave")
        yield running


def test_our_static_files_are_served(hub: RunningHub) -> None:
    assert hub.ask("js2/static/page.css", token="").status == 200
    assert hub.ask("js2/static/../handlers.py", token="").status in (403, 404)


def test_a_lease_is_extended_by_the_button_on_its_page(hub: RunningHub) -> None:
    person = Browser(hub)
    person.sign_in("bob", PASSWORD)
    hub.start("bob")
    page = person.page("js2/lease/bob")
    assert page.status == 200
    token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert token, "the form carries the token that the hub asks for"
    before = hub.ask("js2/lease/bob", Accept="application/json").json["seconds_left"]
    after = person.page("js2/lease/bob", {})
    assert after.headers["url"].endswith("/hub/js2/lease/bob")
    assert hub.ask("js2/lease/bob", Accept="application/json").json["seconds_left"] > before + 1000


def test_a_foreign_page_cannot_extend_with_somebody_s_cookies(hub: RunningHub) -> None:
    person = Browser(hub)
    person.sign_in("bob", PASSWORD)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.cookies)
    answer = hub.ask("js2/lease/bob", method="POST", token="", Cookie=cookies, Sec_Fetch_Mode="cors")
    assert answer.status == 403


def test_a_foreign_page_cannot_read_leases_with_somebody_s_cookies(hub: RunningHub) -> None:
    person = Browser(hub)
    person.sign_in("bob", PASSWORD)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.cookies)
    assert hub.ask("js2/leases", token="", Cookie=cookies, Sec_Fetch_Mode="cors").status == 403


def names(hub: RunningHub, token: str) -> set[str]:
    return {lease["full_name"] for lease in hub.ask("js2/leases", token=token).json["leases"]}


def test_who_may_read_all_servers_sees_all_leases(hub: RunningHub) -> None:
    leases = {lease["full_name"]: lease for lease in hub.ask("js2/leases").json["leases"]}
    assert {"carol/", "carol/second-one", "dave/"} <= leases.keys()
    assert leases["dave/"]["ended"] is False
    assert 3000 < leases["dave/"]["seconds_left"] <= 3600


def test_a_user_sees_the_leases_of_her_own_servers(hub: RunningHub) -> None:
    assert names(hub, hub.token_of("carol")) == {"carol/", "carol/second-one"}


def test_a_token_that_may_read_no_servers_sees_no_lease(hub: RunningHub) -> None:
    assert hub.ask("js2/leases", token=hub.token_of("carol", ["read:users:name!user=carol"])).status == 403
    assert hub.ask("js2/leases", token="").status == 403


def test_a_server_s_lease_as_json(hub: RunningHub) -> None:
    lease = hub.ask("js2/lease/carol/second-one", token=hub.token_of("carol"), Accept=JSON).json
    assert lease["server"] == "second-one"
    assert (lease["why"], lease["warn"], lease["can_extend"], lease["extend_minutes"]) == ("idle", False, True, 30)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lease["ends_at"])
    assert lease["sentence"].startswith("Your server ends in ")


def test_a_lease_is_extended_by_rest_as_often_as_it_may_be(hub: RunningHub) -> None:
    hub.start("erin")
    token = hub.token_of("erin")
    first = hub.ask("js2/lease/erin", method="POST", token=token, Accept=JSON)
    assert first.status == 200
    assert first.json["seconds_left"] > 4000
    assert first.json["can_extend"] is False
    second = hub.ask("js2/lease/erin", method="POST", token=token, Accept=JSON)
    assert (second.status, second.json["message"]) == (409, "No more: 100% used.")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_sees_or_extends_the_lease_of_somebody_else(hub: RunningHub, method: str) -> None:
    assert hub.ask("js2/lease/dave", method=method, token=hub.token_of("carol"), Accept=JSON).status == 404
    assert hub.ask("js2/lease/dave", method=method, token="", Accept=JSON).status == 403


def test_what_runs_in_a_server_cannot_extend_it(hub: RunningHub) -> None:
    token = hub.token_of("dave", ["users:activity!user=dave", "access:servers!user=dave"])
    assert hub.ask("js2/lease/dave", method="POST", token=token, Accept=JSON).status == 403


def test_who_is_not_signed_in_is_sent_to_the_sign_in_page_and_back(hub: RunningHub) -> None:
    answer = hub.ask("js2/lease/carol", token="")
    assert answer.status == 302
    assert answer.headers["Location"] == "/hub/login?next=%2Fhub%2Fjs2%2Flease%2Fcarol"


def test_the_lease_of_a_server_that_is_not_running_is_empty(hub: RunningHub) -> None:
    lease = hub.ask("js2/lease/alice", Accept=JSON).json
    assert (lease["ends_at"], lease["can_extend"], lease["warn"]) == (None, False, False)


@pytest.mark.parametrize("path", ["js2/lease/nobody", "js2/lease/carol/no-such", "js2/lease/carol/%2e%2e"])
def test_an_unknown_server_is_a_plain_404(hub: RunningHub, path: str) -> None:
    answer = hub.ask(path, Accept=JSON)
    assert (answer.status, answer.json["message"]) == (404, "There is no such server.")


def test_admins_read_the_console_of_a_failed_start_as_plain_text(hub: RunningHub) -> None:
    hub.ask("api/users/frank", method="POST")
    hub.ask("api/users/frank/server", method="POST", body={"user_options": {"fail": True}})
    until(lambda: hub.ask("js2/console/frank").status == 200, "frank's start failed")
    answer = hub.ask("js2/console/frank")
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Attempt a1, 2026-01-02 03:04:05 UTC: boot-silent" in answer.text
    assert "kernel panic" in answer.text


def test_users_do_not_read_consoles_not_even_their_own(hub: RunningHub) -> None:
    assert hub.ask("js2/console/carol", token=hub.token_of("carol")).status == 403


def test_without_a_failure_there_is_no_console(hub: RunningHub) -> None:
    assert hub.ask("js2/console/carol").status == 404
    assert hub.ask("js2/console/nobody/at-all").status == 404


IMAGE_ID = "0f9e5c1e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "save/bob"),
        ("DELETE", "save/bob"),
        ("PATCH", f"saved/bob/{IMAGE_ID}"),
        ("DELETE", f"saved/bob/{IMAGE_ID}"),
    ],
)
def test_a_foreign_page_saves_and_deletes_nothing_with_somebody_s_cookies(hub: RunningHub, method: str, path: str):
    person = Browser(hub)
    person.sign_in("bob", PASSWORD)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.cookies)
    answer = hub.ask(f"js2/{path}", method=method, token="", Cookie=cookies, Sec_Fetch_Mode="cors", Accept=JSON)
    assert (answer.status, "_xsrf" in answer.json["message"]) == (403, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "save/dave"), ("POST", "save/dave"), ("GET", "saved/dave"), ("DELETE", f"saved/dave/{IMAGE_ID}")],
)
def test_neither_somebody_else_nor_what_runs_in_a_server_has_to_do_with_saves(hub: RunningHub, method: str, path: str):
    of_server = hub.token_of("dave", ["users:activity!user=dave", "access:servers!user=dave"])
    for token in (of_server, hub.token_of("carol"), ""):
        assert hub.ask(f"js2/{path}", method=method, token=token, Accept=JSON).status in (403, 404)


def test_without_a_cloud_the_pages_of_saves_say_so_and_are_no_error_of_the_hub(hub: RunningHub):
    answer = hub.ask("js2/saved/carol", token=hub.token_of("carol"), Accept=JSON)
    assert answer.status == 503
    assert answer.json["message"].endswith(".")


def test_who_is_not_signed_in_is_sent_to_sign_in_before_saving(hub: RunningHub):
    answer = hub.ask("js2/save/carol", token="")
    assert answer.headers["Location"] == "/hub/login?next=%2Fhub%2Fjs2%2Fsave%2Fcarol"


def test_a_server_that_is_in_no_line_has_no_place(hub: RunningHub) -> None:
    answer = hub.ask("js2/place/carol", token=hub.token_of("carol"), Accept=JSON)
    assert (answer.status, answer.json["kept"], answer.json["options"]) == (200, False, {})


@pytest.mark.parametrize(("path", "status"), [("js2/place/dave", 404), ("js2/place/carol/no-such", 404)])
def test_nobody_sees_the_place_of_somebody_else(hub: RunningHub, path: str, status: int) -> None:
    assert hub.ask(path, token=hub.token_of("carol"), Accept=JSON).status == status
    assert hub.ask(path, token="", Accept=JSON).status == 403
