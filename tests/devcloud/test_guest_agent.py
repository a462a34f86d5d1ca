"""The guest program as it runs on an instance, against the real counter."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from js2spawner.guest import processes
from js2spawner.handshake import tickets
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.messages import Orders
from js2spawner.handshake.server import HandshakeServer
from tests.devcloud.guests import ADDRESS, Instance, instance
from tests.unit.handshake import books

SETTINGS = HandshakeSettings(poll_s=3.0, report_s=0.3, early_retry_s=0.1)


@pytest.fixture
async def here(free_port: Callable[[], int]) -> AsyncIterator[Instance]:
    async with instance(free_port, SETTINGS) as made:
        yield made


def listening(here: Instance) -> Callable[[], bool]:
    return lambda: bool(here.book.reports) and here.book.reports[-1].stage == "listening"


async def environment(here: Instance) -> dict[str, str]:
    url = f"http://{ADDRESS}:{here.notebook_port}/environment"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        told: dict[str, str] = await answer.json()
        return told


async def test_a_guest_says_hello_becomes_somebodys_and_listens(here: Instance) -> None:
    here.boot()
    await here.book.until(lambda: here.book.waiting == 1)
    await here.book.give(here.assignment())
    await here.book.until(listening(here))
    assert here.stages() == ["account", "notebook", "listening"]
    assert here.book.reports[-1].notebook_alive
    assert here.book.reports[-1].health.memory_total_mb > 0


async def test_the_server_gets_its_whole_environment_and_the_home_as_its_place(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    told = await environment(here)
    assert told["JUPYTERHUB_API_TOKEN"] == here.book.given.env["JUPYTERHUB_API_TOKEN"]
    assert (told["HOME"], told["cwd"], told["USER"]) == (str(here.home), str(here.home), "alice")
    assert told["uid"] != 0


async def test_no_secret_and_no_name_ever_reaches_the_console_or_an_argv(here: Instance) -> None:
    here.book.given = here.assignment("--busy-kernel")
    here.boot()
    await here.book.until(listening(here))
    assert here.agent is not None
    credential = json.loads((here.state_dir / "credential.json").read_text())["credential"]
    secrets = [credential, books.TICKET, "alice", here.book.given.env["JUPYTERHUB_API_TOKEN"] or ""]
    argvs = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in [here.agent.pid, *here.stubs()])
    for secret in secrets:
        assert secret not in here.console
        assert secret not in argvs
    assert "stage: listening" in here.console


async def test_what_the_guest_keeps_is_for_its_own_account_only(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    assert (here.run_dir / "secret").stat().st_mode & 0o077 == 0
    assert (here.state_dir / "credential.json").stat().st_mode & 0o077 == 0
    for name in ("assignment.json", "notebook.json"):
        assert (here.run_dir / "secret" / name).stat().st_mode & 0o077 == 0
    assert (here.run_dir / "log").stat().st_mode & 0o007 == 0


async def test_a_config_drive_serves_as_well_as_the_metadata_service(here: Instance) -> None:
    drive = here.folder / "drive"
    (drive / "openstack" / "latest").mkdir(parents=True)
    (drive / "openstack" / "latest" / "meta_data.json").write_text(f'{{"uuid": "{books.SERVER_ID}"}}')
    (drive / "openstack" / "latest" / "user_data").write_text(here.user_data)
    here.config_drive = drive
    here.boot()
    await here.book.until(lambda: here.book.waiting == 1)


async def test_a_guest_whose_address_is_not_known_yet_comes_again(here: Instance) -> None:
    await here.book.change(server_id="", addresses=())
    here.boot()
    await here.book.until(lambda: here.agent is not None and here.agent.poll() is None and "guest" in here.console)
    await here.book.change(server_id=books.SERVER_ID, addresses=(ADDRESS,))
    await here.book.until(lambda: here.book.waiting == 1)


async def test_a_hub_that_is_away_for_a_while_changes_nothing_for_the_user(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    pids = here.stubs()
    await here.server.stop()
    await here.book.until(lambda: "trying again" in here.console)
    here.book.reports.clear()
    here.server = HandshakeServer(
        here.book, bind_address=books.HOME, port=here.server.port, authority=here.authority, settings=SETTINGS
    )
    await here.server.start()
    await here.book.until(listening(here))
    assert here.stubs() == pids
    assert here.book.reports[-1].notebook_restarts == 0


async def test_a_hub_of_another_authority_is_told_nothing(here: Instance) -> None:
    other = books.authority(here.folder / "other")
    told = here.user_data
    await here.server.stop()
    here.server = HandshakeServer(
        here.book, bind_address=books.HOME, port=here.server.port, authority=other, settings=SETTINGS
    )
    await here.server.start()
    assert here.authority.ca_pem.splitlines()[1] in told
    here.boot()
    await here.book.until(lambda: "not of the authority" in here.console)
    assert here.book.lines == []


async def test_a_server_that_dies_is_started_again_and_said_so(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    (pid,) = here.stubs()
    os.kill(pid, signal.SIGKILL)
    await here.book.until(lambda: here.book.reports[-1].notebook_restarts == 1 and listening(here)())
    assert here.stages() == ["account", "notebook", "listening", "notebook", "listening"]
    assert here.stubs() != [pid]


async def test_a_server_that_cannot_live_is_reported_failed_with_its_last_words(here: Instance) -> None:
    here.book.given = here.assignment("--die-at-once")
    here.boot()
    await here.book.until(lambda: bool(here.book.reports) and here.book.reports[-1].stage == "failed", 60.0)
    report = here.book.reports[-1]
    assert report.problem == "notebook"
    assert "no good today" in report.detail
    assert "hub-token" not in report.detail


async def test_a_new_agent_of_the_same_boot_finds_the_running_server(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    pids = here.stubs()
    here.kill_agent()
    here.book.reports.clear()
    here.boot()
    await here.book.until(listening(here))
    assert here.stubs() == pids
    assert here.book.lines == [f"admitted {books.SERVER_ID}"]


async def test_a_rebooted_instance_takes_its_assignment_once_more(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    here.lose_memory()
    here.book.reports.clear()
    # What the fleet does when a hello of another boot arrives.
    await here.book.change(assignment_taken=False)
    here.boot()
    await here.book.until(listening(here))
    assert len(here.stubs()) == 1


async def test_a_silent_busy_kernel_is_noticed(here: Instance) -> None:
    here.book.given = here.assignment("--busy-kernel")
    here.boot()
    await here.book.until(lambda: any(report.activity.because == "kernel" for report in here.book.reports))


async def test_a_job_in_a_terminal_nobody_looks_at_is_noticed(here: Instance) -> None:
    here.book.given = here.assignment("--terminal", "sleep 600")
    here.boot()
    await here.book.until(lambda: any(report.activity.because == "terminal" for report in here.book.reports))


async def test_a_process_that_computes_in_the_background_is_noticed(here: Instance) -> None:
    here.book.given = here.assignment("--terminal", "while :; do :; done")
    here.boot()
    await here.book.until(lambda: any(report.activity.because == "cpu" for report in here.book.reports))


async def test_an_idle_server_is_reported_idle_for_longer_and_longer(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(lambda: bool(here.book.reports) and here.book.reports[-1].activity.idle_s > 2.0)
    assert here.book.reports[-1].activity.because == "none"


async def test_on_the_order_to_stop_everything_of_the_user_ends_and_no_secret_stays(here: Instance) -> None:
    here.book.given = here.assignment("--stubborn-child")
    here.boot()
    await here.book.until(listening(here))
    here.book.orders = Orders(stop=True)
    assert await here.ended() == 0
    assert here.stubs() == []
    assert not (here.run_dir / "secret").exists()
    assert not [p for p in processes.everything() if str(here.home) in processes.arguments(p.pid)]


async def test_an_attempt_that_ended_ends_the_guest(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    await here.book.change(closed=True)
    assert await here.ended() == 0
    assert here.stubs() == []


async def test_a_guest_whose_ticket_was_shown_by_another_stops_for_good(here: Instance) -> None:
    await here.book.change(channel_hash=tickets.hashed(books.OTHER_CREDENTIAL))
    here.boot()
    assert await here.ended() == 3
    assert here.book.lines == ["quarantined"]


async def test_switching_an_unprivileged_instance_off_leaves_no_process(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    assert here.agent is not None
    here.agent.terminate()
    assert await here.ended() == 0
    assert here.stubs() == []
