"""What each part of the configuration sets, as values."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.proxy import ConfigurableHTTPProxy
from traitlets import HasTraits
from traitlets.config import Config

from hub_config import culling, database, http, proxy, spawning
from hub_config.settings import from_environment
from hub_config.shared_password import SharedPassword
from js2spawner.catalog import CatalogError
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.spawner import Js2Spawner
from tests.unit.hub_config.running_hub import PROJECT, environment

LOCAL = {
    "CONFIGPROXY_AUTH_TOKEN": "t",
    "JS2_SIGN_IN": "local",
    "JS2_USERS": "alice",
    "JS2_PASSWORD_FILE": "/run/password",
    "JS2_STATE_DIR": "/srv/js2",
}


def configured(part: object, **changes: str) -> Config:
    c = Config()
    part.configure(c, from_environment({**LOCAL, **changes}))  # type: ignore[attr-defined]
    return c


def test_sqlite_is_two_files_in_the_state_directory():
    c = configured(database)
    assert c.JupyterHub.db_url == "sqlite:////srv/js2/jupyterhub.sqlite"
    assert c.Js2Fleet.database_url == "sqlite:////srv/js2/js2.sqlite"


def test_one_setting_puts_everything_into_postgresql():
    c = configured(database, JS2_DATABASE_URL="postgresql://db/hub")
    assert c.JupyterHub.db_url == c.Js2Fleet.database_url == "postgresql+psycopg://db/hub"


def test_the_proxy_outlives_the_hub():
    c = configured(proxy, JS2_PROXY_API_URL="http://127.0.0.1:9001")
    assert c.ConfigurableHTTPProxy.should_start is False
    assert c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:9001"
    assert c.JupyterHub.cleanup_proxy is False


def test_behind_https_the_hub_knows_its_public_address():
    c = configured(proxy, JS2_BIND_URL="https://hub.example.org")
    assert c.JupyterHub.public_url == "https://hub.example.org/"
    assert c.JupyterHub.bind_url == "http://hub.example.org"


def test_over_plain_http_the_address_in_the_browser_counts():
    # A tunnel may lead here under another port.
    assert "public_url" not in configured(proxy).JupyterHub


def test_servers_survive_the_hub_s_restart_and_failures_do_not_end_it():
    c = configured(spawning)
    assert c.JupyterHub.cleanup_servers is False
    assert c.Spawner.consecutive_failure_limit == 0


@pytest.mark.parametrize(("given", "allowed"), [("0", False), ("3", True)])
def test_named_servers_are_limited(given: str, allowed: bool):
    c = configured(spawning, JS2_NAMED_SERVERS=given)
    assert c.JupyterHub.allow_named_servers is allowed
    assert c.JupyterHub.named_server_limit_per_user(asked_by()) == max(int(given), 2)


def asked_by(*groups: str) -> Any:
    """A request, as JupyterHub's handlers are."""
    return SimpleNamespace(current_user=SimpleNamespace(groups=[SimpleNamespace(name=name) for name in groups]))


def test_who_may_have_more_servers_by_a_group_may_name_as_many(tmp_path: Path):
    text = (PROJECT / "hub_config" / "catalog.yaml").read_text()
    everyone = "everyone: {servers: 3,"
    assert everyone in text
    assert "instructors: {servers: 6," in text
    limit = configured(spawning).JupyterHub.named_server_limit_per_user
    assert (limit(asked_by()), limit(asked_by("instructors"))) == (2, 5)
    (tmp_path / "catalog.yaml").write_text(text.replace(everyone, "everyone: {"))
    unlimited = configured(spawning, JS2_CATALOG=str(tmp_path / "catalog.yaml"), JS2_NAMED_SERVERS="4")
    assert unlimited.JupyterHub.named_server_limit_per_user(asked_by("biology")) == 4
    # A service has no groups.
    assert unlimited.JupyterHub.named_server_limit_per_user(SimpleNamespace(current_user=object())) == 4


def test_a_mistake_in_the_catalog_is_told_at_start(tmp_path: Path):
    (tmp_path / "catalog.yaml").write_text("images: {}")
    with pytest.raises(CatalogError, match=r"catalog\.yaml:1: "):
        configured(spawning, JS2_CATALOG=str(tmp_path / "catalog.yaml"))


def test_the_hub_s_http_client_neither_shares_a_limit_nor_waits_long():
    c = configured(http)
    assert c.JupyterHubHTTPClient.connector_options == {"limit": 0}
    assert c.JupyterHubHTTPClient.session_options["timeout"].total == 10


def test_the_culler_may_see_and_stop_servers_and_nothing_else():
    (role,) = configured(culling).JupyterHub.load_roles._extend
    assert role["scopes"] == ["list:users", "read:servers", "delete:servers"]


def test_every_setting_is_one_that_its_class_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in environment(tmp_path, "http://127.0.0.1:1", JS2_IDLE_MINUTES="5").items():
        monkeypatch.setenv(name, value)
    app = JupyterHub()
    app.load_config_file(str(PROJECT / "jupyterhub_config.py"))
    classes = [JupyterHub, Js2Spawner, Js2Fleet, ConfigurableHTTPProxy, JupyterHubHTTPClient, SharedPassword]
    known = {parent.__name__: parent for kind in classes for parent in kind.mro() if issubclass(parent, HasTraits)}
    for section, settings in app.config.items():
        unknown = settings.keys() - known[section].class_trait_names(config=True)
        assert not unknown, f"{section} has no {unknown}"
    assert app.spawner_class is Js2Spawner
