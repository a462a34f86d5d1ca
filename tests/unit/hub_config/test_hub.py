"""Promises of the whole configuration, kept by a real hub process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.hub_config.running_hub import (
    CONFIG,
    METRICS_TOKEN,
    PASSWORD,
    Browser,
    RunningHub,
    environment,
    running_hub,
    until,
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def test_a_listed_person_signs_in_with_the_password(hub: RunningHub) -> None:
    assert Browser(hub).sign_in("bob", PASSWORD).headers["url"].endswith("/hub/token")


@pytest.mark.parametrize(("name", "password"), [("bob", "wrong"), ("mallory", PASSWORD), ("", "")])
def test_nobody_else_signs_in(hub: RunningHub, name: str, password: str) -> None:
    assert Browser(hub).sign_in(name, password).status == 403


def test_the_first_of_the_list_is_the_admin(hub: RunningHub) -> None:
    assert hub.ask("api/users/alice").json["admin"] is True
    Browser(hub).sign_in("bob", PASSWORD)
    assert hub.ask("api/users/bob").json["admin"] is False


def test_the_metrics_token_reads_metrics_and_nothing_else(hub: RunningHub) -> None:
    assert "jupyterhub_running_servers" in hub.ask("metrics", token=METRICS_TOKEN).text
    assert hub.ask("api/users", token=METRICS_TOKEN).status == 403
    assert hub.ask("metrics", token="").status == 403


def test_the_culler_takes_the_server_whose_lease_has_ended_and_no_other(hub: RunningHub) -> None:
    hub.start("busy", idle_s=3600)
    hub.start("quiet", idle_s=2)
    until(lambda: not hub.servers("quiet"), "the culler stopped quiet's server")
    assert hub.servers("busy")[""]["ready"]


def test_a_start_that_is_refused_at_once_is_answered_so_over_rest(hub: RunningHub) -> None:
    hub.ask("api/users/grace", method="POST")
    answer = hub.ask("api/users/grace/server", method="POST", body={"user_options": {"fail": True}})
    assert answer.status == 500


def test_the_pages_say_how_to_sign_in(hub: RunningHub) -> None:
    assert "the name and the password you were given" in Browser(hub).page("login").text


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_however_the_hub_ends_it_leaves_no_process(tmp_path: Path, end: signal.Signals) -> None:
    with running_hub(tmp_path) as running:
        culler = until(lambda: [pid for pid in _processes(running) if pid != running.pid], "the culler runs")
        os.kill(running.pid, end)
        until(lambda: not any(pid in _processes(running) for pid in culler), "the culler ended with its hub")


def test_the_hub_s_end_leaves_servers_running(tmp_path: Path) -> None:
    with running_hub(tmp_path) as running:
        running.start("alice")
    assert "Leaving single-user servers running" in running.log.read_text()


def _processes(hub: RunningHub) -> list[int]:
    """The services of this hub and of no other: they are told its address."""
    told = f"JUPYTERHUB_API_URL={hub.url}/".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes()
        except OSError:
            continue
        if told in environ:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"JS2_SIGN_IN": "pam", "CONFIGPROXY_AUTH_TOKEN": ""}, ["JS2_SIGN_IN: “pam”", "CONFIGPROXY_AUTH_TOKEN is not"]),
        ({"JS2_CATALOG": "/nowhere.yaml"}, ["/nowhere.yaml: cannot be read"]),
    ],
)
def test_mistakes_end_the_start_with_a_sentence_each_and_no_traceback(
    tmp_path: Path, change: dict[str, str], expected: list[str]
) -> None:
    command = [sys.executable, "-m", "jupyterhub", f"--config={CONFIG}"]
    settings = {**environment(tmp_path, "http://127.0.0.1:1"), **change}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert all(sentence in done.stderr for sentence in expected)
    assert "Traceback" not in done.stderr
