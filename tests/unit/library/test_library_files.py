"""The library as it is committed: no mistakes, nothing behind, and the promises that every image of ours keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from js2spawner.library import locks
from js2spawner.library.definition import SERVER, Environment, FromScratch, files_below
from js2spawner.library.model import schema
from js2spawner.library.reading import names, read, read_all

LIBRARY = Path(__file__).parents[3] / "images"
NAMES = names(LIBRARY)


def test_the_library_has_what_it_promises_and_no_mistake():
    assert {definition.name for definition in read_all(LIBRARY)} >= {"minimal", "scientific", "r", "workshop", "gpu"}


def test_the_schema_for_editors_is_current():
    told = json.loads((LIBRARY / "schema.json").read_text())
    assert told == schema(), "run: python -m js2spawner.library.model > images/schema.json"


@pytest.mark.parametrize("name", NAMES)
def test_editors_find_the_schema(name: str):
    first = (LIBRARY / f"{name}.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"


@pytest.mark.parametrize("name", NAMES)
def test_every_server_can_be_reached_by_the_hub_and_starts_quickly(name: str):
    environments = {each.name: each for each in read(LIBRARY, name).environments}
    server = environments[SERVER]
    assert {"jupyterhub", "jupyterlab"} <= locks.read(server.lock).keys()
    assert "rfc3987-syntax" in server.left_out


@pytest.mark.parametrize("name", NAMES)
def test_users_kernels_are_apart_from_the_server_and_have_pip(name: str):
    definition = read(LIBRARY, name)
    kernels = {kernel.name: kernel for layer in definition.layers for kernel in layer.kernels}
    environments = {each.name: locks.read(each.lock) for each in definition.environments}
    assert "python3" in kernels
    for kernel in kernels.values():
        assert kernel.environment != SERVER
        assert not kernel.environment or {"ipykernel", "pip"} <= environments[kernel.environment].keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_server_finds_no_node(name: str):
    # JupyterLab runs it at each start, for three quarters of a second, if it is there.
    definition = read(LIBRARY, name)
    assert not {"nodejs", "npm"} & {package for layer in definition.layers for package in layer.packages}
    for environment in definition.environments:
        assert not any(pin.startswith("nodejs") for pin in locks.read(environment.lock))


@pytest.mark.parametrize("name", NAMES)
def test_no_lock_and_no_definition_holds_an_address_of_a_package_index(name: str):
    texts = [environment.lock.read_text() for environment in read(LIBRARY, name).environments]
    assert not [text for text in texts if "://" in text]


@pytest.mark.parametrize("name", NAMES)
def test_smoke_notebooks_are_kept_without_outputs(name: str):
    for notebook in read(LIBRARY, name).smoke:
        cells = json.loads(notebook.read_text())["cells"]
        assert not [
            cell for cell in cells if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"])
        ]


@pytest.mark.parametrize("name", NAMES)
def test_every_image_starts_the_guest_program(name: str):
    trees = [layer.files for layer in read(LIBRARY, name).layers if layer.files]
    files = {str(file.relative_to(tree)): file for tree in trees for file in files_below(tree)}
    unit = files["etc/systemd/system/js2-guest.service"].read_text()
    assert "ExecStart=/opt/js2/start-guest" in unit
    assert "[Install]" in unit
    start = files["opt/js2/start-guest"]
    assert start.stat().st_mode & 0o111
    assert f"{environment_of(name, SERVER).place}/bin/python -I /opt/js2/guest/agent.py" in start.read_text()


def environment_of(image: str, name: str) -> Environment:
    return next(each for each in read(LIBRARY, image).environments if each.name == name)


def test_images_built_here_find_their_disk_on_either_bus():
    modules = (LIBRARY / "files/minimal/etc/initramfs-tools/modules").read_text().split()
    assert {"virtio_blk", "virtio_scsi", "sd_mod"} <= set(modules)
    assert modules.index("virtio_ring") < modules.index("virtio")


def test_images_built_here_can_be_saved_while_they_run():
    # Jetstream2 asks for a consistent file system, which takes QEMU's agent in the instance.
    for definition in read_all(LIBRARY):
        if isinstance(definition.base, FromScratch):
            assert any("qemu-guest-agent" in layer.packages for layer in definition.layers)
