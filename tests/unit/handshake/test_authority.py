"""The hub's own authority: made once, pinned by guests, renewed in time, readable by nobody else."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from js2spawner.handshake.authority import Authority, BadAuthority

T0 = datetime.now(UTC)


def opened(folder: Path, address: str = "127.0.0.1", after: timedelta = timedelta()) -> Authority:
    return Authority.open(folder / "tls", address, now=lambda: T0 + after)


def server(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "tls" / "server.pem").read_bytes())


async def shaken(authority: Authority, trusted: str, host: str, name: str) -> x509.Certificate:
    """The certificate shown to one who trusts `trusted` and expects `name`. Raises ssl.SSLError."""
    listening = await asyncio.start_server(lambda _r, w: w.close(), host, 0, ssl=authority.server_context())
    port = listening.sockets[0].getsockname()[1]
    context = ssl.create_default_context(cadata=trusted)
    # Python 3.13's default; older ones must pass it as well.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(shown)
    finally:
        listening.close()


async def test_who_pins_the_authority_trusts_its_server(tmp_path: Path) -> None:
    authority = opened(tmp_path)
    await shaken(authority, authority.ca_pem, "127.0.0.1", "127.0.0.1")


async def test_a_host_name_serves_as_well_as_an_address(tmp_path: Path) -> None:
    authority = opened(tmp_path, "hub.internal")
    await shaken(authority, authority.ca_pem, "127.0.0.1", "hub.internal")


async def test_who_pins_another_authority_does_not(tmp_path: Path) -> None:
    authority = opened(tmp_path)
    other = opened(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        await shaken(authority, other.ca_pem, "127.0.0.1", "127.0.0.1")


async def test_a_certificate_for_another_address_does_not(tmp_path: Path) -> None:
    authority = opened(tmp_path, "10.0.0.5")
    with pytest.raises(ssl.SSLCertVerificationError):
        await shaken(authority, authority.ca_pem, "127.0.0.1", "127.0.0.1")


def test_it_is_made_once(tmp_path: Path) -> None:
    first, before = opened(tmp_path).ca_pem, server(tmp_path)
    assert opened(tmp_path).ca_pem == first
    assert server(tmp_path) == before


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    opened(tmp_path)
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
    files = list((tmp_path / "tls").iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert {file.name for file in files} == {"ca.key", "ca.pem", "server.key", "server.pem"}


async def test_a_new_address_gets_a_new_server_certificate_of_the_same_authority(tmp_path: Path) -> None:
    first = opened(tmp_path, "10.0.0.5").ca_pem
    moved = opened(tmp_path, "127.0.0.1")
    assert moved.ca_pem == first
    await shaken(moved, first, "127.0.0.1", "127.0.0.1")


def test_the_server_certificate_is_renewed_before_it_ends(tmp_path: Path) -> None:
    first = opened(tmp_path).ca_pem
    before = server(tmp_path)
    later = opened(tmp_path, after=timedelta(days=340))
    assert later.ca_pem == first
    assert server(tmp_path).not_valid_after_utc > before.not_valid_after_utc


async def test_a_hub_that_runs_for_a_year_renews_without_a_restart(tmp_path: Path) -> None:
    ago = timedelta(days=340)
    authority = Authority.open(tmp_path / "tls", "127.0.0.1", now=lambda: T0 - ago)
    before = await shaken(authority, authority.ca_pem, "127.0.0.1", "127.0.0.1")
    ago = timedelta()
    authority.renew()
    after = await shaken(authority, authority.ca_pem, "127.0.0.1", "127.0.0.1")
    assert after.not_valid_after_utc - before.not_valid_after_utc == timedelta(days=340)


def test_an_instance_whose_clock_is_a_day_behind_can_still_say_hello(tmp_path: Path) -> None:
    opened(tmp_path)
    assert server(tmp_path).not_valid_before_utc < T0 - timedelta(days=1)


async def test_a_crash_between_key_and_certificate_is_mended(tmp_path: Path) -> None:
    authority = opened(tmp_path)
    opened(tmp_path / "other")
    (tmp_path / "tls" / "server.key").write_bytes((tmp_path / "other" / "tls" / "server.key").read_bytes())
    mended = opened(tmp_path)
    assert mended.ca_pem == authority.ca_pem
    await shaken(mended, mended.ca_pem, "127.0.0.1", "127.0.0.1")


def test_a_damaged_server_certificate_is_made_anew(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "tls" / "server.pem").write_text("rubbish")
    opened(tmp_path)
    assert server(tmp_path)


def test_a_damaged_authority_is_one_sentence_and_never_replaced_silently(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "tls" / "ca.key").write_text("rubbish")
    with pytest.raises(BadAuthority, match=r"ca\.key"):
        opened(tmp_path)


def test_a_key_of_another_authority_is_noticed(tmp_path: Path) -> None:
    opened(tmp_path)
    opened(tmp_path / "other")
    (tmp_path / "tls" / "ca.key").write_bytes((tmp_path / "other" / "tls" / "ca.key").read_bytes())
    with pytest.raises(BadAuthority, match="not the key"):
        opened(tmp_path)


def test_a_place_that_is_no_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("")
    with pytest.raises(BadAuthority, match="tls"):
        opened(tmp_path)
