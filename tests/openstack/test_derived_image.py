"""A derived image on the real services: launched, built on, saved, started again, with the guest played."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.cloud.cloud import Cloud
from js2spawner.library import properties
from js2spawner.library.builds import Build, Builds
from js2spawner.library.definition import Definition, Layer
from js2spawner.library.derived import Patience, Settings, build
from js2spawner.library.derived.launching import BUILDER, PURPOSE
from js2spawner.library.scratch.tools import CannotBuild
from tests.browser.whole import ROOT, until
from tests.devcloud.test_derived_image import definition
from tests.openstack.estate import Estate
from tests.openstack.whole import PATIENCE_S

pytestmark = [
    pytest.mark.openstack,
    pytest.mark.timeout(PATIENCE_S),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a machine a view of its own"),
]
PATIENCE = Patience(boot_s=180, silence_s=120, stop_s=120, save_s=180, delete_s=180, look_every_s=1.0)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not pytest's own: that one is closed to the accounts in a machine.
    with tempfile.TemporaryDirectory(prefix="js2-derived-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def played(own_estate: Estate, folder: Path, free_port: Callable[[], int]) -> Iterator[None]:
    """Somebody who gives Nova's instances hands, for as long as the test runs."""
    port = free_port()
    command = [sys.executable, "-m", "tests.openstack.player", "--clouds", str(own_estate.people.clouds_yaml)]
    command += ["--admin", own_estate.people.admin, "--projects", own_estate.own.id, "--dir", str(folder / "machines")]
    command += ["--port", str(port), "--boot-seconds", "0.5"]
    with (folder / "player.log").open("ab") as log:
        player = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
        )
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/played"), "the player plays", 60)
        yield
    finally:
        player.terminate()
        player.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def made(estate: Estate, folder: Path, what: Definition) -> Build:
    cloud = Cloud(estate.people.member, config_file=str(estate.people.clouds_yaml))
    settings = Settings(network=estate.name, patience=PATIENCE)
    return build(what, Builds(folder / "builds"), cloud, settings, lambda line: sys.stderr.write(f"{line}\n"))


def left(estate: Estate) -> list[str]:
    """Instances, ports, groups and unfinished images of a build: none, once it is over."""
    owner = estate.connection(estate.people.user)
    servers = [server.name for server in owner.compute.servers()]
    ports = [
        port.id for port in owner.network.ports(project_id=estate.own.id) if port.device_owner.startswith("compute")
    ]
    groups = [
        group.name
        for group in owner.network.security_groups(project_id=estate.own.id)
        if group.name.startswith("js2-build-")
    ]
    images = [image.name for image in owner.image.images() if image.properties.get(PURPOSE)]
    return [*servers, *ports, *groups, *images]


@pytest.mark.usefixtures("played")
def test_a_definition_becomes_an_image_that_another_build_starts_from(own_estate: Estate, folder: Path):
    owner = own_estate.connection(own_estate.people.user)
    own = Layer("own", commands=("echo hello > /opt/greeting", 'test -z "$(ls /etc/ssh/ssh_host_* 2>/dev/null)"'))
    first = made(own_estate, folder, definition("tiny", own, base=own_estate.name))
    image = owner.image.get_image(first.cloud_image)
    try:
        assert image.status == "active"
        assert image.properties[properties.BUILD] == first.id
        assert not {PURPOSE, BUILDER} & image.properties.keys()
        assert first.boot is not None
        assert first.boot.passed
        assert left(own_estate) == []
        look = Layer("look", commands=("grep hello /opt/greeting", "test -f /opt/js2/guest/agent.py"))
        second = made(own_estate, folder, definition("second", look, base=image.name))
        owner.image.delete_image(second.cloud_image)
    finally:
        owner.image.delete_image(image.id)


@pytest.mark.usefixtures("played")
def test_a_build_that_fails_leaves_nothing_in_nova_neutron_or_glance(own_estate: Estate, folder: Path):
    broken = definition("tiny", Layer("own", commands=("echo no room >&2; exit 5",)), base=own_estate.name)
    with pytest.raises(CannotBuild, match="status 5: no room"):
        made(own_estate, folder, broken)
    assert left(own_estate) == []


def test_an_instance_that_nobody_plays_is_given_up_and_deleted(own_estate: Estate, folder: Path):
    cloud = Cloud(own_estate.people.member, config_file=str(own_estate.people.clouds_yaml))
    settings = Settings(network=own_estate.name, patience=replace(PATIENCE, boot_s=10))
    mute = definition("tiny", Layer("own"), base=own_estate.name)
    with pytest.raises(CannotBuild, match="did not say hello"):
        build(mute, Builds(folder / "builds"), cloud, settings, lambda _line: None)
    assert left(own_estate) == []
