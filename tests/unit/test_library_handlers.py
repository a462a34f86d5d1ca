"""The library below /hub/js2/, asked of a real hub process: who may read what, and what a second question costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.hub_config.running_hub import PASSWORD, Browser, RunningHub, running_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    # No cloud is there: the page must come all the same.
    with running_hub(tmp_path_factory.mktemp("hub"), JS2_CULL_EVERY_S="3600") as running:
        for user in ("carol", "dave"):
            running.ask(f"api/users/{user}", method="POST")
        running.ask("api/groups/climate-course", method="POST")
        running.ask("api/groups/climate-course/users", method="POST", body={"users": ["carol"]})
        yield running


def names(hub: RunningHub, token: str) -> list[str]:
    return [image["name"] for image in hub.ask("js2/library.json", token=token).json["images"]]


def test_a_token_reads_the_images_of_its_user(hub: RunningHub) -> None:
    assert names(hub, hub.token_of("dave")) == ["minimal", "scientific", "gpu"]
    assert names(hub, hub.token_of("carol")) == ["minimal", "scientific", "gpu", "climate-course"]


def test_a_service_with_the_rights_of_an_admin_reads_all(hub: RunningHub) -> None:
    assert "climate-course" in [image["name"] for image in hub.ask("js2/library.json").json["images"]]


def test_a_token_that_may_read_no_servers_reads_no_library(hub: RunningHub) -> None:
    assert hub.ask("js2/library.json", token=hub.token_of("dave", ["read:users:name!user=dave"])).status == 403
    assert hub.ask("js2/library.json", token="").status == 403


def test_what_has_not_changed_is_not_sent_again(hub: RunningHub) -> None:
    token = hub.token_of("dave")
    first = hub.ask("js2/library.json", token=token)
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert hub.ask("js2/library.json", token=token, If_None_Match=first.headers["Etag"]).status == 304
    assert hub.ask("js2/library.json", token=hub.token_of("carol"), If_None_Match=first.headers["Etag"]).status == 200


def test_a_person_sees_the_page_even_while_the_cloud_is_silent(hub: RunningHub) -> None:
    person = Browser(hub)
    person.sign_in("bob", PASSWORD)
    page = person.page("js2/library?q=pandas")
    assert page.status == 200
    assert "Scientific Python" in page.text
    assert "has not answered yet" in page.text
    assert "For members of other groups only: Climate course." in page.text


def test_who_is_not_signed_in_is_sent_to_the_sign_in_page_and_back(hub: RunningHub) -> None:
    answer = hub.ask("js2/library", token="")
    assert (answer.status, answer.headers["Location"]) == (302, "/hub/login?next=%2Fhub%2Fjs2%2Flibrary")


def test_a_foreign_page_cannot_read_the_library_with_somebody_s_cookies(hub: RunningHub) -> None:
    person = Browser(hub)
    person.sign_in("bob", PASSWORD)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.cookies)
    assert hub.ask("js2/library.json", token="", Cookie=cookies, Sec_Fetch_Mode="cors").status == 403
