"""A fresh devcloud without machines for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.devcloud.client import Scene, devcloud


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with devcloud(tmp_path / "cloud") as running:
        yield running
