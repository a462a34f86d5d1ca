"""User-data, as both its readers see it."""

from __future__ import annotations

import yaml

from js2spawner.guest import seed
from js2spawner.handshake.userdata import user_data

PEM = "-----BEGIN CERTIFICATE-----\nMIIB+/=\n-----END CERTIFICATE-----\n"
TEXT = user_data(hub_url="https://10.0.0.5:8710", authority_pem=PEM, attempt_id="a-1", ticket="T" * 43)


def test_cloud_init_takes_it_for_its_own_and_finds_one_object() -> None:
    assert TEXT.startswith("#cloud-config\n")
    assert list(yaml.safe_load(TEXT)) == ["hostname", "js2"]


def test_the_hostname_names_the_attempt_and_nobody() -> None:
    assert yaml.safe_load(TEXT)["hostname"] == "js2-a-1"


def test_the_guest_reads_what_the_hub_wrote() -> None:
    files = {"meta_data.json": b'{"uuid": "server-1"}', "user_data": TEXT.encode()}
    assert seed.assemble(files.__getitem__) == seed.Seed("server-1", "10.0.0.5", 8710, PEM, "a-1", "T" * 43)


def test_it_is_far_below_novas_limit() -> None:
    # Nova takes 65,535 bytes of base64; a P-256 certificate is less than 1 KiB.
    assert len(TEXT) + 1024 < 65535 * 3 // 4
