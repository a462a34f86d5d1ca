"""What an instance is told at boot, from either place, and what it does not take for an answer."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from js2spawner.guest.seed import NoSeed, Seed, assemble, from_config_drive, from_metadata_service

TOLD = {
    "v": 1,
    "hub": "https://10.0.0.5:8710",
    "ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "attempt": "attempt-1",
    "ticket": "T" * 43,
}
META = {"uuid": "6c1f7d0e-0000-4000-8000-000000000001", "name": "whatever"}


def files(told: Any = TOLD, meta: Any = META, head: str = "#cloud-config\n") -> dict[str, bytes]:
    return {"meta_data.json": json.dumps(meta).encode(), "user_data": (head + json.dumps({"js2": told})).encode()}


def test_a_whole_seed_is_read() -> None:
    assert assemble(files().__getitem__) == Seed(
        META["uuid"],
        "10.0.0.5",
        8710,
        TOLD["ca"],
        "attempt-1",
        "T" * 43,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("head", ["", "#cloud-config\n", "# a comment {with braces}\n#cloud-config\n\n"])
def test_comments_above_the_object_do_not_matter(head: str) -> None:
    assert assemble(files(head=head).__getitem__).attempt == "attempt-1"


def test_the_ticket_never_shows() -> None:
    assert "TTTT" not in repr(assemble(files().__getitem__))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v", 2),
        ("hub", "http://10.0.0.5:8710"),
        ("hub", "https://10.0.0.5:99999"),
        ("hub", "https://user:word@10.0.0.5"),
        ("ca", "no certificate"),
        ("attempt", "../../etc"),
        ("ticket", "short"),
        ("ticket", None),
    ],
)
def test_what_is_missing_or_malformed_is_said(name: str, value: Any) -> None:
    with pytest.raises(NoSeed):
        assemble(files(told={**TOLD, name: value}).__getitem__)


@pytest.mark.parametrize("user_data", [b"", b"#!/bin/sh\necho hello\n", b"\xff\xfe", b"{" * 5000, b"x" * 200_000])
def test_somebody_elses_user_data_is_no_seed(user_data: bytes) -> None:
    with pytest.raises(NoSeed):
        assemble({**files(), "user_data": user_data}.__getitem__)


def test_a_config_drive_is_read(tmp_path: Path) -> None:
    place = tmp_path / "openstack" / "latest"
    place.mkdir(parents=True)
    for name, content in files().items():
        (place / name).write_bytes(content)
    assert from_config_drive(tmp_path).instance_id == META["uuid"]


def test_an_empty_config_drive_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoSeed, match="config drive"):
        from_config_drive(tmp_path)


@pytest.fixture
def metadata_url() -> Iterator[str]:
    class Service(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files().get(self.path.removeprefix("/metadata/openstack/latest/"))
            from_here = self.client_address[0] == "127.0.0.9"
            self.send_response(200 if content and from_here else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *_args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{service.server_port}/metadata"
        finally:
            service.shutdown()
            thread.join(timeout=10)


def test_the_metadata_service_is_asked_from_the_instances_own_address(metadata_url: str) -> None:
    assert from_metadata_service(metadata_url, "127.0.0.9").hub_port == 8710


def test_a_metadata_service_that_does_not_know_us_is_said(metadata_url: str) -> None:
    with pytest.raises(NoSeed, match="404"):
        from_metadata_service(metadata_url, "127.0.0.8")


def test_a_metadata_service_that_is_not_there_is_said() -> None:
    with pytest.raises(NoSeed, match="does not answer"):
        from_metadata_service("http://127.0.0.1:9", "")
