"""An agent that starts before the network does: it asks often while that costs nobody anything."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from js2spawner.guest import command
from js2spawner.guest.channel import Away, Channel
from js2spawner.guest.seed import NoSeed, from_metadata_service
from tests.unit.guest.test_seed import files


def no_network(*_args: object, **_options: object) -> None:
    raise OSError(errno.ENETUNREACH, "Network is unreachable")


def test_without_a_network_the_metadata_service_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", no_network)
    with pytest.raises(NoSeed) as told:
        from_metadata_service("http://169.254.169.254", "")
    assert told.value.soon


def test_without_a_network_the_hub_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch, authority_pem: str) -> None:
    channel = Channel("10.0.0.5", 8710, authority_pem)
    monkeypatch.setattr(socket, "create_connection", no_network)
    with pytest.raises(Away) as told:
        channel.ask("POST", "/v1/hello", body={}, timeout_s=1.0)
    assert told.value.soon


def test_a_hub_that_refuses_is_given_time(authority_pem: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        channel = Channel("127.0.0.1", nobody.getsockname()[1], authority_pem)
        with pytest.raises(Away) as told:
            channel.ask("POST", "/v1/hello", body={}, timeout_s=1.0)
    assert not told.value.soon


def test_a_drive_that_is_mounted_late_is_read_once_it_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(socket, "create_connection", no_network)
    options = command._parser().parse_args(["--config-drive", str(tmp_path), "--or-metadata"])
    with pytest.raises(NoSeed, match="metadata service"):
        command._find_seed(options)
    latest = tmp_path / "openstack" / "latest"
    latest.mkdir(parents=True)
    for name, content in files().items():
        (latest / name).write_bytes(content)
    assert command._find_seed(options).attempt == "attempt-1"


@pytest.fixture
def authority_pem(tmp_path: Path) -> str:
    from tests.unit.handshake.books import authority

    return authority(tmp_path).ca_pem
