"""What tests of every kind share: free ports, and waiting for a condition instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import settings

_LOOK_EVERY_S = 0.02

# Hypothesis times each example unless told otherwise, and a busy machine is no fault of an example.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that gives a TCP port of 127.0.0.1 on which nobody listens."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """A function that returns once a condition holds, and fails with its name when the deadline passes first."""

    def wait(condition: Callable[[], object], within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {within_s} s: {_name(condition)}")
            time.sleep(_LOOK_EVERY_S)

    return wait


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """The same inside an event loop; the condition may be a coroutine function."""

    async def wait(condition: Callable[[], object], within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while True:
            answer = condition()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return
            if time.monotonic() > deadline:
                pytest.fail(f"not within {within_s} s: {_name(condition)}")
            await asyncio.sleep(_LOOK_EVERY_S)

    return wait


def _name(condition: Callable[[], object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
