"""Values for tests about saves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from js2spawner.cloud.records import Image
from js2spawner.library.properties import HARDWARE
from js2spawner.saved import Key, Saved, Words
from js2spawner.saving import Asked, Save, State

T0 = 1_800_000_000.0
IMAGE_ID = "0f9e5c1e-0000-4000-8000-000000000001"
KEY = Key(b"k" * 32, "hub")
WORDS = Words(
    save_id="5a5e000000000001",
    owner="alice",
    owner_id="1-alice",
    title="My course",
    note="all packages in",
    parent="minimal",
    saved_at=datetime(2026, 11, 24, 9, 0, tzinfo=UTC),
    attempt_id="a" * 16,
)


def image(status: str = "active", **changes: object) -> Image:
    """The image of alice's save, without its seal, as Glance shows it: with what it inherited from its parent."""
    plain = Image(
        id=IMAGE_ID,
        name="js2-saved-alice-5a5e00",
        status=status,
        visibility="private",
        size_bytes=2_000_000_000,
        min_disk_gb=20,
        min_ram_mb=0,
        created=datetime(2026, 11, 24, 9, 1, tzinfo=UTC),
        checksum="",
        properties={**HARDWARE, **KEY.begin(WORDS)},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def sealed(words: Words = WORDS, *, group: str = "", frozen: bool = False, **changes: object) -> Image:
    """The finished image."""
    begun = image(properties={**HARDWARE, **KEY.begin(words)}, **changes)
    return replace(begun, properties={**begun.properties, **KEY.seal(begun, words, group=group, frozen=frozen)})


def saved(
    words: Words = WORDS, *, region: str = "IU", group: str = "", frozen: bool = False, **changes: object
) -> Saved:
    found = KEY.read(sealed(words, group=group, frozen=frozen, **changes), region)
    assert isinstance(found, Saved)
    return found


def save(state: State | None = None, **changes: object) -> Save:
    plain = Save(
        words=WORDS,
        server="",
        server_id="server-1",
        region="IU",
        flavor="m3.small",
        most_gb=40,
        begun_at=T0,
        state=state or Asked(T0),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]
