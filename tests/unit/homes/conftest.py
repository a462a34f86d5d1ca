from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from js2spawner import cli
from js2spawner.fleet import homes_in_cloud
from js2spawner.home_commands import common, exporting
from js2spawner.instance import HomeUse
from tests.unit.homes.clouds import HUB
from tests.unit.homes.commands import Js2
from tests.unit.homes.scenes import Scene, scene


@pytest.fixture
def here(tmp_path: Path) -> Scene:
    return scene(tmp_path)


@pytest.fixture
def home(here: Scene) -> HomeUse:
    here.now = time.time()
    return asyncio.run(here.used_home())


@pytest.fixture
def js2(here: Scene, monkeypatch: pytest.MonkeyPatch) -> Js2:
    """Types a command of `js2 home` for this hub."""
    for module in (homes_in_cloud, exporting):
        monkeypatch.setattr(module, "LOOK_EVERY_S", 0.001)
    regions = {region.region or "": here.regions[region.name] for region in here.catalog.regions}
    monkeypatch.setattr(common, "Cloud", lambda name, *, region, config_file: regions[region or ""])
    state = here.directory / "state"
    state.mkdir()
    (state / "hub-id").write_text(f"{HUB}\n")

    def run(*words: str, answers: str = "") -> Result:
        options = ["--catalog", str(here.directory / "catalog.yaml"), "--state-dir", str(state)]
        return CliRunner().invoke(cli.main, ["home", *words, *options], input=answers)

    return run
