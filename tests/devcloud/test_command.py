"""`js2 devcloud` as a process: it says what to use, ends when told, and explains what it cannot do."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml


async def started(*options: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "js2spawner.devcloud", "--no-machines", *options, stdout=PIPE, stderr=PIPE
    )


async def ended(*options: str) -> tuple[int | None, str]:
    process = await started(*options)
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_it_prints_clouds_yaml_and_ends_cleanly(
    tmp_path: Path, free_port: Callable[[], int], how: signal.Signals
) -> None:
    port = free_port()
    process = await started("--port", str(port), "--dir", str(tmp_path))
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not lines or "Ctrl-C" not in lines[-1]:
            line = (await process.stdout.readline()).decode()
            assert line, "it ended by itself"
            lines.append(line)
        process.send_signal(how)
        rest, errors = await process.communicate()
    assert process.returncode == 0
    assert lines[0] == f"# {tmp_path / 'clouds.yaml'}\n"
    printed = yaml.safe_load("".join(lines[: lines.index("\n")]))
    assert printed == yaml.safe_load((tmp_path / "clouds.yaml").read_text())
    assert printed["clouds"]["devcloud"]["auth"]["auth_url"] == f"http://127.0.0.1:{port}/identity/v3"
    assert b"Traceback" not in rest + errors


async def test_output_that_goes_to_a_log_has_no_secret(tmp_path: Path) -> None:
    process = await started("--port", "0", "--dir", str(tmp_path), "--no-show")
    assert process.stdout is not None
    printed = ""
    async with asyncio.timeout(60):
        while "Ctrl-C" not in printed:
            line = (await process.stdout.readline()).decode()
            assert line, "it ended by itself"
            printed += line
        process.terminate()
        await process.communicate()
    auth = yaml.safe_load((tmp_path / "clouds.yaml").read_text())["clouds"]["devcloud"]["auth"]
    assert auth["application_credential_secret"] not in printed
    assert str(tmp_path / "clouds.yaml") in printed


async def test_a_busy_port_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    busy = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with busy:
        port = busy.sockets[0].getsockname()[1]
        code, errors = await ended("--port", str(port), "--dir", str(tmp_path))
    assert code == 1
    assert errors == f"Error: Port {port} on 127.0.0.1 cannot be used (Address already in use); choose another.\n"


async def test_a_mistake_in_a_fault_script_says_where(tmp_path: Path) -> None:
    script = tmp_path / "faults.yaml"
    script.write_text("faults:\n- name: a\n  effect: {status: 200}\n")
    code, errors = await ended("--dir", str(tmp_path / "cloud"), "--faults", str(script))
    assert code == 1
    assert errors == f"Error: {script}: faults.0.effect.status: Input should be greater than or equal to 400\n"


async def test_a_range_outside_of_loopback_is_refused(tmp_path: Path) -> None:
    code, errors = await ended("--port", "0", "--dir", str(tmp_path), "--cidr", "10.0.0.0/24")
    assert code == 1
    assert errors.startswith("Error: --cidr 10.0.0.0/24: has to lie within 127.0.0.0/8")
