"""Images as Glance would show them, signed by a key of the tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from js2spawner.cloud.records import Image
from js2spawner.library import properties as named
from js2spawner.library.signing import SigningKey

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(b"k" * 32))
OTHER_KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(b"o" * 32))
T0 = datetime(2026, 11, 1, tzinfo=UTC)


def image(build: str, *, name: str = "minimal", **changes: Any) -> Image:
    """An unsigned image of the library, active, with data of a hash of its own."""
    properties = {
        named.KIND: named.PUBLISHED,
        named.IMAGE: name,
        named.BUILD: build,
        named.DEFINITION: "definition-1",
        named.BUILT_AT: T0.isoformat(),
        named.TITLE: "JupyterLab",
        f"{named.SOFTWARE}00": "packed",
        **changes.pop("properties", {}),
    }
    plain = Image(f"id-{build}", f"js2-{name}", "active", "private", 10, 1, 0, T0, "", properties)
    return replace(plain, os_hash_algo="sha512", os_hash_value=f"hash-{build}", **changes)


def signed(image: Image, *, promoted: datetime | None = None, key: SigningKey = KEY) -> Image:
    more = {named.SIGNATURE: key.sign(image), **({named.PROMOTED_AT: promoted.isoformat()} if promoted else {})}
    return replace(image, properties={**image.properties, **more})


def changed(image: Image, **properties: str) -> Image:
    return replace(image, properties={**image.properties, **properties})
