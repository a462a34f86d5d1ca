"""Key pairs for JupyterHub's internal_ssl: for the address, for one server, and not kept."""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from certipy import Certipy
from cryptography import x509

from js2spawner.certificates import CertificateMaker


@pytest.fixture
def maker(tmp_path: Path) -> CertificateMaker:
    authority = Certipy(store_dir=str(tmp_path)).create_ca("notebooks-ca")
    return CertificateMaker(tmp_path, Path(authority["files"]["cert"]))


def names(certificate: str) -> list[object]:
    read = x509.load_pem_x509_certificate(certificate.encode())
    return list(read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def test_the_certificate_is_for_the_instances_address_and_for_no_other_name(maker: CertificateMaker) -> None:
    made = maker.make("server-1", "10.0.0.9")
    assert names(made.certificate) == [x509.IPAddress(ipaddress.ip_address("10.0.0.9"))]


def test_no_key_of_a_server_stays_on_the_hub(maker: CertificateMaker) -> None:
    made = maker.make("server-1", "10.0.0.9")
    kept = [file.read_text() for file in maker.store.rglob("*") if file.is_file()]
    assert made.key not in "".join(kept)


def test_servers_started_at_once_get_keys_of_their_own(maker: CertificateMaker) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda n: maker.make(f"server-{n}", f"10.0.0.{n}"), range(1, 5)))
    assert len({one.key for one in made}) == 4


def test_its_key_is_not_shown(maker: CertificateMaker) -> None:
    made = maker.make("server-1", "10.0.0.9")
    assert made.key not in repr(made)
