"""The list of servers over HTTP: who is answered, in which form, and that nobody else's page acts for somebody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.hub_config.running_hub import PASSWORD, Browser, RunningHub, running_hub

JSON = "application/json"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub"), JS2_CULL_EVERY_S="3600") as running:
        for name in ("bob", "carol", "dave"):
            running.ask(f"api/users/{name}", method="POST")
        yield running


def test_a_person_gets_a_page_and_a_script_gets_json(hub: RunningHub) -> None:
    person = Browser(hub)
    person.sign_in("bob", PASSWORD)
    page = person.page("js2/servers")
    assert page.status == 200
    assert "Your servers in full" in page.text
    told = hub.ask("js2/servers", token=hub.token_of("bob"), Accept=JSON).json
    assert [(each["title"], each["state"], each["actions"]) for each in told["servers"]] == [
        ("Default server", "stopped", ["start"])
    ]
    assert (told["su_per_hour_now"], told["sees_others"], told["mine"]) == (0, False, True)


def test_who_may_see_all_servers_searches_them_and_sees_only_their_own_when_asked_to(hub: RunningHub) -> None:
    person = Browser(hub)
    person.sign_in("alice", PASSWORD)
    assert 'id="js2-q"' in person.page("js2/servers?q=nobody").text
    assert "Nothing fits" in person.page("js2/servers?q=nobody").text
    assert "Default server" in person.page("js2/servers?mine=1").text


def test_a_service_gets_json_whatever_it_says_it_takes(hub: RunningHub) -> None:
    for accepted in ("text/html", "*/*"):
        answer = hub.ask("js2/servers", Accept=accepted)
        assert (answer.status, answer.json["sees_others"]) == (200, True)


def test_who_is_not_signed_in_is_sent_to_sign_in(hub: RunningHub) -> None:
    answer = hub.ask("js2/servers?mine=1", token="")
    assert answer.headers["Location"] == "/hub/login?next=%2Fhub%2Fjs2%2Fservers%3Fmine%3D1"


@pytest.mark.parametrize("do", ["stop", "delete", "back", "shelve", "extend"])
def test_what_does_not_fit_the_state_is_refused_in_a_sentence(hub: RunningHub, do: str) -> None:
    answer = hub.ask("js2/servers/bob", method="POST", token=hub.token_of("bob"), Accept=JSON, body={"do": do},
                     Content_Type=JSON)  # fmt: skip
    assert (answer.status, answer.json["message"]) == (409, "This cannot be done now: the server is stopped.")


@pytest.mark.parametrize("body", [{"do": "explode"}, {"do": 7}, [], {}])
def test_a_wish_that_is_none_is_told_so(hub: RunningHub, body: object) -> None:
    answer = hub.ask("js2/servers/bob", method="POST", token=hub.token_of("bob"), Accept=JSON, body=body,
                     Content_Type=JSON)  # fmt: skip
    assert answer.status == 400
    assert answer.json["message"].endswith(".")


def test_a_foreign_page_does_nothing_with_somebody_s_cookies(hub: RunningHub) -> None:
    person = Browser(hub)
    person.sign_in("bob", PASSWORD)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.cookies)
    answer = hub.ask("js2/servers/bob", method="POST", token="", Cookie=cookies, Sec_Fetch_Mode="cors", Accept=JSON)
    assert (answer.status, "_xsrf" in answer.json["message"]) == (403, True)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_neither_somebody_else_nor_what_runs_in_a_server_may_see_or_do_anything(hub: RunningHub, method: str) -> None:
    of_server = hub.token_of("dave", ["users:activity!user=dave", "access:servers!user=dave"])
    for token in (of_server, hub.token_of("carol"), ""):
        assert hub.ask("js2/servers/dave", method=method, token=token, Accept=JSON).status in (403, 404)
    assert hub.ask("js2/servers", token=of_server, Accept=JSON).status == 403


def test_a_server_that_there_is_not_is_a_plain_404(hub: RunningHub) -> None:
    for path in ("js2/servers/nobody", "js2/servers/bob/no-such"):
        assert hub.ask(path, Accept=JSON).json["message"] == "There is no such server."
