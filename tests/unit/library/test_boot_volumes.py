"""Volumes that are plugged into a machine of a boot test, and out of it: what QEMU is told, and what is waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from js2spawner.library.boot.console import Console
from js2spawner.library.boot.machine import Machine, MachineEnded

VOLUME = "b3d1f2a0-9c44-4b6e-8a52-0e6f1f9d7c21"
NAME = "volume-b3d1f2a0-9c44-4b6e-8"
GONE = {"event": "DEVICE_DELETED", "data": {"device": NAME, "path": f"/machine/peripheral/{NAME}"}}
DONE: dict[str, Any] = {"return": {}}


@asynccontextmanager
async def qemu(folder: Path, answers: dict[str, Sequence[dict[str, Any]]]) -> AsyncIterator[list[dict[str, Any]]]:
    """A stand-in for QEMU's control socket, and what it has been told; it says no more than `answers`."""
    told: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"QMP": {}}\n')
        while line := await reader.readline():
            told.append(json.loads(line))
            for answer in answers.get(told[-1]["execute"], [DONE]):
                writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    async with await asyncio.start_unix_server(serve, folder / "control"):
        yield told


def machine(folder: Path) -> Machine:
    return Machine(cast(Any, SimpleNamespace(returncode=None, pid=1)), folder, Console(), 1)


@pytest.mark.parametrize(("bus", "serial"), [("virtio", VOLUME[:20]), ("scsi", VOLUME)])
async def test_a_volume_shows_as_much_of_its_id_as_its_bus_does(tmp_path: Path, bus: Any, serial: str) -> None:
    async with qemu(tmp_path, {}) as told:
        await machine(tmp_path).plug(tmp_path / "volume.raw", VOLUME, bus)
    device = told[-1]["arguments"]
    assert (device["serial"], device["drive"]) == (serial, told[-2]["arguments"]["node-name"])
    # What QEMU takes as a name.
    assert len(device["drive"]) <= 31


@pytest.mark.parametrize("answers", [[DONE, {"event": "RESUME"}, GONE], [GONE, DONE]], ids=["after", "before"])
async def test_a_volume_is_gone_once_the_machine_has_let_go_of_it(tmp_path: Path, answers: Any) -> None:
    async with qemu(tmp_path, {"device_del": answers}) as told:
        await machine(tmp_path).unplug(VOLUME)
    assert [each["execute"] for each in told if each["execute"] != "qmp_capabilities"] == ["device_del", "blockdev-del"]


async def test_one_that_is_not_let_go_of_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("js2spawner.library.boot.machine._CONTROL_DEADLINE_S", 0.1)
    async with qemu(tmp_path, {"device_del": [DONE]}) as told:
        with pytest.raises(MachineEnded, match="TimeoutError"):
            await machine(tmp_path).unplug(VOLUME)
    assert "blockdev-del" not in [each["execute"] for each in told]


async def test_an_order_that_is_refused_is_said_in_qemus_words(tmp_path: Path) -> None:
    refusal = {"error": {"class": "GenericError", "desc": "Device is in use"}}
    async with qemu(tmp_path, {"blockdev-add": [refusal]}):
        with pytest.raises(MachineEnded, match="QEMU refused blockdev-add: Device is in use"):
            await machine(tmp_path).plug(tmp_path / "volume.raw", VOLUME, "virtio")
