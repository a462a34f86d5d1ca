"""The page that lists servers: what each costs, when it ends, what can be done; nothing is deleted by one click."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.handshake.messages import Gpu, Health, HomeReport
from js2spawner.instance import HomeUse, Owner
from js2spawner.servers_shown import Seen, Terms, listed, row
from tests.unit.lives import PLAN, T0, record
from tests.unit.test_servers_shown import LEASE, RUNNING, SHELVED, TERMS

from .rendering import HOSTILE, Page, render

HOME = HomeUse("volume", "v", "js2-home-alice", 10)


def a_row(state: Any = RUNNING, *, home: HomeUse = HOME, user: str = "alice", server: str = "", **changes: Any) -> Any:
    of_record = (
        record(state, plan=replace(PLAN, home=home), active_since=None if state is SHELVED else T0) if state else None
    )
    plain: dict[str, Any] = {"owner": Owner(user, server), "title": server or "Default server", "terms": TERMS}
    return row(Seen(**(plain | {"record": of_record} | changes)), T0 + 3600)


def page(*rows: dict[str, Any], mine: bool = False, sees_others: bool = False, **changes: Any) -> Page:
    told = {**listed(rows), "mine": mine, "sees_others": sees_others, "limits": [], **changes}
    return render("servers.html", told=told, moving=False)


def offered(shown: Page) -> list[str]:
    return [each["value"] for each in shown.all("button", name="do")]


def test_a_running_server_shows_cost_end_and_what_stays():
    shown = page(a_row(lease=LEASE))
    assert shown.unclosed == []
    text = " ".join(shown.one("tbody").text.split())
    for said in (
        "2 SU so far",
        "2 SU per hour now",
        "in 10 minutes: if nobody uses it",
        "then deleted; its home stays",
    ):
        assert said in text


def test_every_action_is_a_form_without_scripts_with_the_token():
    shown = page(a_row(lease=LEASE), a_row(server="box"))
    forms = [each for each in shown.all("form") if each["method"] == "post"]
    assert [form["action"] for form in forms] == ["/hub/js2/servers/alice", "/hub/js2/servers/alice/box"]
    assert [each["value"] for each in shown.all("input", name="_xsrf")] == ["token", "token"]
    assert offered(shown) == ["extend", "stop", "shelve", "stop", "shelve"]


def test_what_would_lose_files_is_asked_twice():
    for shown in (page(a_row(home=HomeUse())), page(a_row(SHELVED))):
        (button,) = [each for each in shown.all("button", name="do") if each["value"] in ("stop", "delete")]
        assert "details" in button.inside
    assert "all files included" in page(a_row(home=HomeUse())).one("details").text
    assert "The home stays" in page(a_row(SHELVED)).one("details").text


def test_the_shelf_is_one_click_from_coming_back_and_costs_nothing():
    shown = page(a_row(SHELVED))
    (back,) = shown.all("button", value="back")
    assert "details" not in back.inside
    assert "0 SU per hour now" in " ".join(shown.one("tbody").text.split())


def test_gpus_and_home_have_meters_with_names_and_figures():
    health = Health(0, 1, 2, 3, 4, 5, (Gpu("NVIDIA A100", 42, 10240, 20480),))
    shown = page(a_row(health=health))
    assert [each["aria-label"] for each in shown.all("meter")] == ["GPU use", "GPU memory"]
    assert "10.0 of 20.0 GB" in shown.one("tbody").text
    mounted = Seen(
        Owner("alice", ""),
        "x",
        record=record(RUNNING, plan=replace(PLAN, home=HOME)),
        home=HomeReport("mounted", 3, 10),
    )
    assert "3 of 10 GB" in page(row(mounted, T0)).one("tbody").text


def test_others_servers_are_searched_and_named_by_their_users_only_where_one_may_see_them():
    all_of_them = page(a_row(user="bob"), sees_others=True)
    assert all_of_them.by_id("js2-q")
    assert "bob" in all_of_them.one("th", scope="row").text
    own = page(a_row())
    assert own.all(id="js2-q") == []
    assert "alice" not in own.one("th", scope="row").text


def test_nothing_to_show_is_said_in_words():
    assert "No server runs" in page().one("main").text
    assert "Nothing fits" in page(query="x", sees_others=True).one("main").text


def test_limits_are_told():
    assert "2 of 3 servers" in page(a_row(), limits=["2 of 3 servers"]).one("header", **{"class": "js2-head"}).text


def test_hostile_names_stay_words():
    terms = Terms(HOSTILE, HOSTILE, HOSTILE, 2, ("delete",), HOSTILE)
    health = Health(0, 1, 2, 3, 4, 5, (Gpu(HOSTILE, 42, 10240, 20480),))
    shown = page(a_row(user=HOSTILE, server=HOSTILE, title=HOSTILE, terms=terms, health=health), sees_others=True)
    assert shown.all("img", src="x") == []
    assert shown.unclosed == []
