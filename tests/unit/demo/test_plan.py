from __future__ import annotations

from pathlib import Path

from js2spawner.catalog import Catalog
from js2spawner.demo.children import ChildPlan
from js2spawner.demo.plan import Files, Programs, catalog_of, plans, with_regions
from js2spawner.demo.settings import DemoSettings

SETTINGS = DemoSettings(
    hub_id="a-hub",
    port=8000,
    users=("alice", "bob"),
    boot_seconds=8.0,
    devcloud_port=20001,
    hub_port=20002,
    proxy_api_port=20003,
    handshake_port=20004,
    password="the-password",
    api_token="the-api-token",
    proxy_token="the-proxy-token",
)
FILES = Files(Path("/demo"))
PROGRAMS = Programs("/venv/bin/python", "/usr/bin/node", Path("/tree/proxy"), Path("/tree"))


def planned(environment: dict[str, str] | None = None) -> tuple[ChildPlan, ChildPlan, ChildPlan]:
    return plans(SETTINGS, FILES, PROGRAMS, environment or {"PATH": "/bin"})


def test_the_cloud_starts_first_and_the_hub_last():
    assert [plan.name for plan in planned()] == ["embedded cloud", "proxy", "hub"]


def test_no_secret_is_in_any_argv_or_repr():
    shown = repr(planned()) + " ".join(word for plan in planned() for word in plan.argv)
    assert not [secret for secret in ("the-password", "the-api-token", "the-proxy-token") if secret in shown]


def test_people_s_secrets_reach_the_hub_by_files_only():
    hub = planned()[2]
    assert not [value for value in hub.environment.values() if value in ("the-password", "the-api-token")]
    assert hub.environment["JS2_PASSWORD_FILE"] == "/demo/password"
    assert hub.environment["JS2_API_TOKEN_FILE"] == "/demo/api-token"


def test_settings_of_another_cloud_hub_or_proxy_do_not_reach_ours():
    caller = {"PATH": "/bin", "OS_CLOUD": "other", "JUPYTERHUB_API_TOKEN": "other", "CONFIGPROXY_AUTH_TOKEN": "other"}
    for plan in planned(caller):
        assert "OS_CLOUD" not in plan.environment
        assert "JUPYTERHUB_API_TOKEN" not in plan.environment
        assert plan.environment.get("CONFIGPROXY_AUTH_TOKEN") != "other"


def test_the_caller_s_own_hub_settings_reach_the_hub_unless_the_demo_sets_them():
    hub = planned({"PATH": "/bin", "JS2_IDLE_MINUTES": "2", "JS2_CULL_EVERY_S": "5", "JS2_USERS": "mallory"})[2]
    assert (hub.environment["JS2_IDLE_MINUTES"], hub.environment["JS2_CULL_EVERY_S"]) == ("2", "5")
    assert hub.environment["JS2_USERS"] == "alice,bob"


def test_programs_beside_our_python_are_found_first():
    assert planned()[2].environment["PATH"] == "/venv/bin:/bin"


def test_the_boot_time_and_the_directory_reach_the_cloud():
    argv = planned()[0].argv
    assert argv[argv.index("--boot-seconds") + 1] == "8"
    assert argv[argv.index("--dir") + 1] == "/demo/devcloud"


def test_only_the_cloud_s_instances_outlive_a_crash_of_their_parent():
    assert [plan.leaves_work for plan in planned()] == [True, False, False]


def test_a_catalog_of_one_region_is_a_whole_one_and_sends_nobody_elsewhere(tmp_path: Path):
    text = catalog_of(Path(__file__).parents[3]).read_text()
    small = tmp_path / "catalog.yaml"
    small.write_text(with_regions(text, ("RegionOne",)))
    catalog = Catalog.load(small)
    assert [region.region for region in catalog.regions] == ["RegionOne"]
    assert {name for profile in catalog.profiles for name in profile.regions or ()} == {catalog.regions[0].name}
