"""The hub's own certificate authority and server certificate: what guests pin, so that nobody else is their hub.

Kept in one directory (0700, files 0600): `ca.key`, `ca.pem`, `server.key`, `server.pem`. The authority is made
once and lives ten years, because running guests pin it; the server's certificate lives one, and is made anew
when it is near its end, when the hub's address changes, or when it is damaged.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
# An instance's clock may be wrong until it has found its time server.
CLOCK_SKEW = timedelta(days=2)


class BadAuthority(Exception):
    """The kept files cannot be used; the message says which, and what to do."""


def utc_now() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


class Authority:
    """The certificates of one hub at one address. Use `Authority.open`."""

    def __init__(self, directory: Path, address: str, now: Callable[[], datetime]) -> None:
        self._directory = directory
        self._now = now
        self.address = address
        self._ca_key, self._ca = self._authority()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._in_use: bytes = b""
        self.renew()

    @classmethod
    def open(cls, directory: Path, address: str, *, now: Callable[[], datetime] = utc_now) -> Authority:
        """Read the authority kept in `directory`, or make it. `address` is the host part of the guests' URL.

        Raises BadAuthority when the directory or a file in it cannot be used.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
        except OSError as problem:
            raise BadAuthority(f"{directory} cannot be the authority's directory: {problem.strerror}.") from problem
        return cls(directory, address, now)

    @property
    def ca_pem(self) -> str:
        """The authority's certificate: public, and what user-data pins."""
        return self._ca.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self) -> ssl.SSLContext:
        """The TLS side of the hub. A renewed certificate is used in new connections without a new context."""
        return self._context

    def renew(self) -> None:
        """Make a new server certificate if the kept one will not do; cheap when it will."""
        kept = self._kept_server()
        if kept is None or not self._will_do(kept):
            kept = self._make_server()
        fingerprint = kept.fingerprint(hashes.SHA256())
        if fingerprint != self._in_use:
            try:
                self._context.load_cert_chain(self._directory / "server.pem", self._directory / "server.key")
            except ssl.SSLError:
                # Key and certificate are of two different makings: a crash fell between the two files.
                fingerprint = self._make_server().fingerprint(hashes.SHA256())
                self._context.load_cert_chain(self._directory / "server.pem", self._directory / "server.key")
            self._in_use = fingerprint

    def _authority(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key_file, file = self._directory / "ca.key", self._directory / "ca.pem"
        if not (key_file.exists() and file.exists()):
            return self._make_authority()
        try:
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
        except (OSError, ValueError, TypeError) as problem:
            raise BadAuthority(
                f"{key_file} or {file} is damaged; delete both, and running instances will not find the hub again."
            ) from problem
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise BadAuthority(f"{key_file} is not the key of {file}; restore the pair or delete both.")
        if certificate.not_valid_after_utc - self._now() < RENEW_BEFORE:
            return self._make_authority()
        return key, certificate

    def _make_authority(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"js2spawner hub {secrets.token_hex(4)}")])
        certificate = (
            self._builder(name, name, key.public_key(), key.public_key(), AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write("ca.key", _private(key))
        self._write("ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return key, certificate

    def _make_server(self) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "js2spawner handshake")])
        certificate = (
            self._builder(name, self._ca.subject, key.public_key(), self._ca_key.public_key(), SERVER_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(self.address)]), critical=False)
            .sign(self._ca_key, hashes.SHA256())
        )
        self._write("server.key", _private(key))
        self._write("server.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return certificate

    def _builder(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePublicKey,
        issuer_key: ec.EllipticCurvePublicKey,
        life: timedelta,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now() - CLOCK_SKEW)
            .not_valid_after(self._now() + life)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        )

    def _kept_server(self) -> x509.Certificate | None:
        try:
            return x509.load_pem_x509_certificate((self._directory / "server.pem").read_bytes())
        except (OSError, ValueError):
            return None

    def _will_do(self, server: x509.Certificate) -> bool:
        try:
            server.verify_directly_issued_by(self._ca)
            names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
            return False
        lasts = server.not_valid_after_utc - self._now() >= RENEW_BEFORE
        return lasts and list(names) == [_general_name(self.address)] and (self._directory / "server.key").exists()

    def _write(self, name: str, content: bytes) -> None:
        """Replace a file as a whole; it is never readable by others, not even for a moment."""
        fresh = self._directory / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        fresh.replace(self._directory / name)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
