"""The ordinary `openstack` command, unmodified, given a command line at a time as a person at its prompt does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 240
_MARK = "@@the-answer-ends-here"


@dataclass(frozen=True, slots=True)
class Shell:
    """One run of the command. It stays for many command lines, because each start of it takes seconds."""

    process: Process

    async def says(self, line: str) -> str:
        """What the command prints for a command line, errors too."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n!echo {_MARK}\n".encode())
        try:
            async with asyncio.timeout(PATIENCE_S):
                printed = await self.process.stdout.readuntil(f"{_MARK}\n".encode())
        except (TimeoutError, asyncio.IncompleteReadError) as problem:
            raise AssertionError(f"openstack {line}: no end of the answer") from problem
        return printed.decode().removesuffix(f"{_MARK}\n").strip()

    async def shows(self, line: str) -> Any:
        """The JSON that a command line prints."""
        printed = await self.says(f"{line} -f json")
        try:
            return json.loads(printed)
        except ValueError:
            raise AssertionError(f"openstack {line}: {printed}") from None

    async def until(self, line: str, **members: object) -> None:
        """Ask again until what is shown has these members."""
        shown: Any = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while shown is None or any(shown[name] != value for name, value in members.items()):
                    shown = await self.shows(line)
        except TimeoutError:
            raise AssertionError(f"openstack {line}: never {members} but {shown}") from None

    async def until_server(self, name: str, status: str) -> None:
        """Until a server has a status and no task."""
        await self.until(f"server show {name}", status=status, **{"OS-EXT-STS:task_state": None})


def program() -> Path:
    """The `openstack` of this interpreter's environment, else the one on the path."""
    beside = Path(sys.executable).parent / "openstack"
    found = str(beside) if beside.exists() else shutil.which("openstack")
    assert found, "python-openstackclient is not installed; it is one of the project's development dependencies"
    return Path(found)


def environment(clouds_yaml: Path, entry: str, **more: str) -> dict[str, str]:
    """What a client needs to find a cloud, without what else may be set on this machine."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    return {**inherited, "OS_CLIENT_CONFIG_FILE": str(clouds_yaml), "OS_CLOUD": entry, **more}


@asynccontextmanager
async def shell(places: dict[str, str]) -> AsyncIterator[Shell]:
    env = {**places, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        program(), stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=env, limit=2**20
    )
    assert process.stdin is not None
    try:
        yield Shell(process)
        process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def once(places: dict[str, str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run a program to its end: its exit status, what it printed and what it complained of."""
    process = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=PIPE, env=places)
    try:
        async with asyncio.timeout(PATIENCE_S):
            printed, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, printed.decode(), complained.decode()
