"""Save my instance, over the whole hub and its embedded cloud: what is in the copy and what is not, who may have it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.browser.whole import TOKEN, Pieces, until

LONG_S = 120.0


class Hub(Pieces):
    """A hub as scripts use it, by the pages' own JSON."""

    def say(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> requests.Response:
        headers = {"Authorization": f"token {token}", "Accept": "application/json"}
        return requests.request(method, f"{self.address}/hub/js2{path}", json=body, headers=headers, timeout=30)

    def token_of(self, user: str) -> str:
        return str(self.rest("POST", f"/users/{user}/tokens", {}).json()["token"])

    def starts(self, user: str, image: str = "minimal") -> None:
        answer = self.rest("POST", f"/users/{user}/server", {"image": image, "flavor": "m3.tiny"})
        assert answer.status_code in (201, 202), answer.text
        until(lambda: self.is_ready(user), f"{user}'s server is ready", LONG_S)

    def stops(self, user: str) -> None:
        self.rest("DELETE", f"/users/{user}/server")
        until(lambda: not self.instances(user), f"{user}'s instance is gone", LONG_S)

    def save(self, user: str) -> Mapping[str, Any]:
        return dict(self.say("GET", f"/save/{user}").json()["save"] or {})

    def begins(self, user: str, title: str) -> None:
        answer = self.say("POST", f"/save/{user}", {"title": title, "note": "a note"})
        assert answer.status_code == 202, answer.text

    def saves(self, user: str, title: str) -> str:
        """Save a server; its name as a choice."""
        self.begins(user, title)
        until(lambda: self.save(user)["state"] != "under-way", "the save is over", LONG_S)
        assert self.save(user)["state"] == "ready", self.save(user)
        return str(self.save(user)["choice"])

    def stage(self, user: str) -> str:
        return next((each["name"] for each in self.save(user).get("stages", ()) if each["state"] == "begun"), "")

    def saved_images(self) -> list[Any]:
        return [each for each in self.cloud.image.images() if each.name.startswith("js2-saved-")]

    def disk(self, user: str) -> Path:
        return self.machines / self.instance_id(user) / "disk"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    quicker = ("--Js2Fleet.report_interval_s=1",)
    with Hub(tmp_path_factory.mktemp("saving"), "ada,sara,gus,eve", boot_seconds=0.5, hub_options=quicker) as running:
        for user in ("sara", "gus", "eve"):
            running.rest("POST", f"/users/{user}")
        running.rest("POST", "/groups/maps")
        running.rest("POST", "/groups/maps/users", {"users": ["sara", "gus"]})
        yield running


def everything(folder: Path) -> str:
    files = (each for each in folder.rglob("*") if each.is_file() and not each.is_symlink())
    return "\n".join(each.read_bytes().decode(errors="replace") for each in files)


def credential(hub: Hub, user: str) -> str:
    """The channel's credential on an instance's disk; empty while it is not there."""
    kept = [each.read_text() for each in hub.disk(user).rglob("credential.json")]
    return str(json.loads(kept[0])["credential"]) if kept else ""


def test_a_copy_holds_the_home_and_no_secret_of_the_running_server_and_starts_for_its_group_only(hub: Hub) -> None:
    hub.starts("sara")
    (hub.home("sara") / "map.txt").write_text("here be dragons")
    secret = credential(hub, "sara")
    assert secret
    choice = hub.saves("sara", "Maps")
    until(lambda: credential(hub, "sara") == secret, "the credential is back on the instance's disk")

    image = hub.files.devcloud / "images" / choice.removeprefix("saved:")
    held = everything(image)
    assert "here be dragons" in held
    assert secret not in held
    assert not list(image.rglob("credential.json"))
    tokens = re.findall(r'"api_token":\s*"(\w{20,})"', everything(hub.files.directory / "hub"))
    assert tokens, "the hub's table holds the server's token"
    assert not [token for token in tokens if token in held]
    assert not list(image.rglob("*jpserver*")) + list(image.rglob("kernel-*.json"))

    refused = hub.rest("POST", "/users/gus/server", {"image": choice, "flavor": "m3.tiny"})
    assert refused.status_code == 400
    assert "not shared with you" in refused.text
    path = f"/saved/sara/{choice.removeprefix('saved:')}"
    assert hub.say("PATCH", path, {"group": "maps"}, hub.token_of("sara")).json()["group"] == "maps"
    hub.starts("gus", choice)
    assert (hub.disk("gus") / "home" / "gus" / "map.txt").read_text() == "here be dragons"
    assert not (hub.disk("gus") / "home" / "sara").exists()
    hub.stops("gus")


def test_nobody_changes_or_sees_what_somebody_else_has_saved(hub: Hub) -> None:
    (kept,) = hub.say("GET", "/saved/sara").json()["mine"]
    path, gus, eve = f"/saved/sara/{kept['id']}", hub.token_of("gus"), hub.token_of("eve")
    assert [each["id"] for each in hub.say("GET", "/saved/gus", token=gus).json()["shared"]] == [kept["id"]]
    assert hub.say("GET", "/saved/eve", token=eve).json() == {"mine": [], "shared": []}
    for token in (gus, eve):
        assert hub.say("GET", "/saved/sara", token=token).status_code in (403, 404)
        assert hub.say("DELETE", path, token=token).status_code in (403, 404)
        assert hub.say("POST", "/save/sara", {"title": "x"}, token).status_code in (403, 404)
    assert hub.say("DELETE", f"/saved/gus/{kept['id']}", token=gus).status_code == 409
    assert hub.say("PATCH", path, {"group": "strangers"}, hub.token_of("sara")).status_code == 409
    assert hub.say("PATCH", path, {"frozen": True}, hub.token_of("sara")).status_code == 409
    assert hub.say("PATCH", path, {"owner": "gus"}, hub.token_of("sara")).status_code == 400
    # An operator's script is an admin's.
    assert hub.say("PATCH", path, {"frozen": True}).json()["frozen"] is True
    assert hub.say("DELETE", path).status_code == 409
    assert hub.say("PATCH", path, {"frozen": False}).json()["frozen"] is False


def test_what_a_hub_s_restart_interrupts_is_finished_by_the_next_one(hub: Hub) -> None:
    hub.control("PUT", "/latencies", {"phases": {"snapshot": 6.0}})
    try:
        hub.begins("sara", "Restarted")
        until(lambda: hub.stage("sara") == "save-copy", "the cloud copies", LONG_S)
        hub.kill_hub()
        hub.start_hub()
        until(lambda: hub.is_ready("sara"), "the hub knows sara's server again", LONG_S)
        until(lambda: "Restarted" in hub.say("GET", "/saved/sara").text, "the copy was finished", LONG_S)
    finally:
        hub.control("PUT", "/latencies", {"phases": {"snapshot": 0.3}})


def test_a_server_stopped_while_it_is_saved_leaves_no_image_behind(hub: Hub) -> None:
    before = {each.id for each in hub.saved_images()}
    hub.control("PUT", "/latencies", {"phases": {"snapshot": 10.0}})
    try:
        hub.begins("sara", "Stopped")
        until(lambda: hub.stage("sara") == "save-copy", "the cloud copies", LONG_S)
        hub.stops("sara")
        until(lambda: {each.id for each in hub.saved_images()} == before, "the half-made image is gone", LONG_S)
    finally:
        hub.control("PUT", "/latencies", {"phases": {"snapshot": 0.3}})


def test_who_has_as_much_as_may_be_kept_is_told_and_can_delete(hub: Hub) -> None:
    hub.starts("sara")
    hub.saves("sara", "The third")
    refused = hub.say("POST", "/save/sara", {"title": "The fourth"})
    assert refused.status_code == 409
    assert "you have 3. Delete one first" in refused.json()["message"]
    for each in hub.say("GET", "/saved/sara").json()["mine"]:
        assert hub.say("DELETE", f"/saved/sara/{each['id']}").status_code == 204
    assert not hub.saved_images()
    assert "Give it a name" in hub.say("POST", "/save/sara", {"title": " "}).json()["message"]
    hub.stops("sara")
