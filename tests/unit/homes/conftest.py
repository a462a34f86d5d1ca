from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.homes.scenes import Scene, scene


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path)
