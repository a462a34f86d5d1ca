"""The environment becomes one record, or all its mistakes at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_config.settings import Settings, SettingsError, from_environment, read_secret

LOCAL = {
    "CONFIGPROXY_AUTH_TOKEN": "t",
    "JS2_SIGN_IN": "local",
    "JS2_USERS": "alice, Bob,,alice",
    "JS2_PASSWORD_FILE": "/run/password",
}


def settings(**changes: str) -> Settings:
    return from_environment({**LOCAL, **changes})


def mistakes(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        from_environment(environment)
    return str(caught.value).splitlines()


def test_what_is_not_set_has_its_default():
    given = settings()
    assert given.state_dir == Path("js2-state").resolve()
    assert given.catalog.name == "catalog.yaml"
    assert (given.handshake_host, given.handshake_port) == ("127.0.0.1", 8710)
    assert (given.hub_id, given.clouds_yaml, given.idle_minutes) == (None, None, None)
    assert (given.named_servers, given.cull_every_s) == (2, 60)


def test_an_empty_setting_is_one_that_is_not_set():
    assert settings(JS2_HUB_ID=" ", JS2_BIND_URL="").bind_url == "http://127.0.0.1:8000"


def test_the_list_of_people_is_made_tidy_and_keeps_its_order():
    assert settings().users == ("alice", "bob")


def test_paths_hold_wherever_the_hub_is_started():
    assert settings(JS2_STATE_DIR="here").state_dir == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgresql://hub:pw@db/hub", "postgresql+psycopg://hub:pw@db/hub"),
        ("postgres://db/hub", "postgresql+psycopg://db/hub"),
        ("postgresql+psycopg://db/hub", "postgresql+psycopg://db/hub"),
        ("sqlite:////var/hub.sqlite", "sqlite:////var/hub.sqlite"),
    ],
)
def test_a_postgresql_address_means_psycopg_3(given: str, meant: str):
    assert settings(JS2_DATABASE_URL=given).database_url == meant


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("JS2_SIGN_IN", "pam", "“pam” must be cilogon, local or codes."),
        ("JS2_HUB_ID", "mine", "it must be a UUID"),
        ("JS2_BIND_URL", "hub.example.org", "“hub.example.org” is no address like"),
        ("JS2_BIND_URL", "http://hub:port", "“http://hub:port” is no address like"),
        ("JS2_HANDSHAKE_URL", "http://10.0.0.5:8710", "“http://10.0.0.5:8710” must begin with https://"),
        ("JS2_HANDSHAKE_BIND", "10.0.0.5", "“10.0.0.5” must be an address and a port"),
        ("JS2_HANDSHAKE_BIND", "10.0.0.5:99999", "“10.0.0.5:99999” must be an address and a port"),
        ("JS2_NAMED_SERVERS", "-1", "“-1” must be a whole number"),
        ("JS2_CULL_EVERY_S", "0", "it must be 1 or more."),
        ("JS2_IDLE_MINUTES", "nan", "“nan” must be a number greater than 0."),
        ("JS2_DATABASE_URL", "mysql://hub:secret@db", "it must be a postgresql:// or sqlite:// address."),
    ],
)
def test_a_wrong_value_is_told_with_its_setting(name: str, value: str, sentence: str):
    told = mistakes({**LOCAL, name: value})
    assert any(line.startswith(f"{name}: {sentence}") for line in told), told
    assert "secret" not in " ".join(told)


def test_all_mistakes_are_told_at_once():
    assert len(mistakes({"JS2_SIGN_IN": "local", "JS2_HUB_ID": "x"})) == 4


@pytest.mark.parametrize(
    ("sign_in", "needed"),
    [
        ("local", {"JS2_USERS", "JS2_PASSWORD_FILE"}),
        ("codes", {"JS2_CLASS_CODES"}),
        ("", {"JS2_CILOGON_CLIENT_ID", "JS2_CILOGON_CLIENT_SECRET_FILE"}),
    ],
)
def test_each_sign_in_says_what_it_cannot_do_without(sign_in: str, needed: set[str]):
    told = mistakes({"CONFIGPROXY_AUTH_TOKEN": "t", "JS2_SIGN_IN": sign_in})
    assert {line.split()[0] for line in told} == needed


def test_a_secret_is_read_without_its_line_end(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("pass phrase\n")
    file.chmod(0o600)
    assert read_secret(file, "JS2_X") == "pass phrase"


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("pass phrase\n")
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600") as caught:
        read_secret(file, "JS2_X")
    assert "pass phrase" not in str(caught.value)


def test_a_secret_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"JS2_X: .*cannot be read: No such file"):
        read_secret(tmp_path / "none", "JS2_X")
    (tmp_path / "empty").touch(mode=0o600)
    with pytest.raises(SettingsError, match="is empty"):
        read_secret(tmp_path / "empty", "JS2_X")
