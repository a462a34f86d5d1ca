"""Who vouches for a published image, and for what.

Signed together are Glance's own hash of the data, which nobody but Glance can set, and what the image says of itself
(`SIGNED`, and its list of software). A snapshot that Nova left in the storage without showing it to Glance has no hash;
then its id is signed, whose data Glance never replaces.

So a copy of the properties on other data is worth nothing: neither by somebody on the allocation nor by Nova, which
gives a snapshot the properties of the image its instance came from. When a version was promoted is not signed: whoever
may write properties can choose among signed versions, and make none.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from js2spawner.cloud.records import Image
from js2spawner.library import lasting
from js2spawner.library import properties as named

HASHES = ("sha512", "sha384", "sha256")
"""Glance's `os_hash_algo` that we sign; its default is the first."""

SIGNED = (
    named.KIND,
    named.IMAGE,
    named.BUILD,
    named.DEFINITION,
    named.BUILT_AT,
    named.REBUILD_AFTER_DAYS,
    named.TITLE,
    named.LICENCES,
    named.UNTESTED,
)
SIGNED_IF_THERE = (named.MADE_WITH,)
"""What versions of an earlier js2spawner do not have; taken away from one that has it, it is missed."""

Verdict = Literal["good", "unsigned", "unknown-key", "changed"]

_KIND_OF_KEY = "ed25519"
_KEYS_FILE_AT_MOST = 64 * 1024


class KeyFileError(ValueError):
    """A file of keys cannot be used; the message is one sentence with the file and what to do."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys somebody trusts, by id. Several, so that a new one can be trusted before the old one is not."""

    by_id: Mapping[str, bytes]

    def __bool__(self) -> bool:
        return bool(self.by_id)

    @classmethod
    def read(cls, file: Path) -> PublicKeys:
        """Keys from a file, one a line: `ed25519 BASE64 what it is`; `#` begins a remark. Raises KeyFileError."""
        try:
            text = file.read_text(encoding="utf-8")[:_KEYS_FILE_AT_MOST]
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise KeyFileError(f"The public keys in {file} cannot be read: {why}.") from None
        keys = cls.of(_key_in(line, f"{file}:{number}") for number, line in enumerate(text.splitlines(), 1))
        if not keys:
            raise KeyFileError(f"{file} holds no key; put the line of the publisher's signing.pub into it.")
        return keys

    @classmethod
    def of(cls, raw: Iterable[bytes]) -> PublicKeys:
        return cls({key_id(key): key for key in raw if key})


NO_KEYS = PublicKeys({})


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The operator's private key. It is in no repr."""

    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({key_id(self.public)})"

    @classmethod
    def read(cls, file: Path) -> SigningKey:
        """Raises KeyFileError; also when others may read the file."""
        try:
            shared = file.stat().st_mode & 0o077
            key = load_pem_private_key(file.read_bytes(), password=None)
        except OSError as error:
            raise KeyFileError(f"The key {file} cannot be read: {error.strerror}.") from None
        except (ValueError, TypeError):
            raise KeyFileError(f"{file} is no private key in PEM form without a password; name another.") from None
        if shared:
            raise KeyFileError(f"Others may read the key {file}; make it yours alone: chmod 600 {file}")
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"{file} is no Ed25519 key; make one with: openssl genpkey -algorithm ed25519")
        return cls(key)

    @classmethod
    def make(cls, file: Path) -> SigningKey:
        """A new key in `file` (0600) and its public part beside it, `.pub`. Raises KeyFileError."""
        key = cls(Ed25519PrivateKey.generate())
        pem = key._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lasting.write_new(file, pem, 0o600)
        except OSError as error:
            raise KeyFileError(f"No key can be written to {file}: {error.strerror}.") from None
        key.write_public(file.with_suffix(".pub"))
        return key

    def write_public(self, file: Path) -> None:
        """The public part, as a file of keys to trust. Raises KeyFileError."""
        try:
            lasting.write(file, f"{self.public_line}\n".encode())
        except OSError as error:
            raise KeyFileError(f"The public key cannot be written to {file}: {error.strerror}.") from None

    @property
    def public(self) -> bytes:
        return self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def public_line(self) -> str:
        """The line for the hub's file of trusted keys."""
        return f"{_KIND_OF_KEY} {base64.b64encode(self.public).decode()} js2-images-{key_id(self.public)}"

    @property
    def keys(self) -> PublicKeys:
        return PublicKeys.of([self.public])

    def sign(self, image: Image) -> str:
        """The value of the signature's property for an image with these data and properties, as Glance shows them."""
        signature = self._private.sign(_message(image))
        return f"{_KIND_OF_KEY}:{key_id(self.public)}:{base64.b64encode(signature).decode()}"


def key_id(public: bytes) -> str:
    """Names a public key in signatures and messages."""
    return sha256(public).hexdigest()[:16]


def verdict(image: Image, keys: PublicKeys) -> Verdict:
    """Whether one of the keys vouches for the image as it is in Glance now."""
    told = image.properties.get(named.SIGNATURE, "")
    if not told:
        return "unsigned"
    kind, _, rest = told.partition(":")
    wanted, _, encoded = rest.partition(":")
    if kind != _KIND_OF_KEY or (image.os_hash_value and image.os_hash_algo not in HASHES):
        return "changed"
    public = keys.by_id.get(wanted)
    if public is None:
        return "unknown-key"
    try:
        signature = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return "changed"
    return "good" if _verified(public, signature, _message(image)) else "changed"


@lru_cache(maxsize=1024)
def _verified(public: bytes, signature: bytes, message: bytes) -> bool:
    """Kept, because a page asks about the same images again and again."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _message(image: Image) -> bytes:
    data = [image.os_hash_algo, image.os_hash_value] if image.os_hash_value else ["id", image.id]
    later = [name for name in SIGNED_IF_THERE if name in image.properties]
    said = [[name, image.properties.get(name, "")] for name in (*SIGNED, *later)]
    return json.dumps(["js2-image", 1, data, said, named.from_parts(image.properties)]).encode()


def _key_in(line: str, where: str) -> bytes:
    """The key of a line; empty for a remark."""
    text = line.partition("#")[0].split()
    if not text:
        return b""
    try:
        kind, encoded = text[0], text[1]
        raw = base64.b64decode(encoded, validate=True)
    except (IndexError, binascii.Error):
        kind, raw = "", b""
    if kind != _KIND_OF_KEY or len(raw) != 32:
        raise KeyFileError(f"{where}: this is no public key; it must be a line like that of signing.pub.")
    return raw
