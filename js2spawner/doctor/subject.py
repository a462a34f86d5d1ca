"""Whom to examine: the hub that the options or, where they are silent, the hub's own settings describe. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """Paths and addresses as text, exactly as the hub would get them; None means that nobody named one."""

    clouds_yaml: str | None = None
    cloud: str | None = None
    catalog: str | None = None
    image_keys: str | None = None
    handshake_bind: str | None = None
    state_dir: str | None = None
    database_url: str | None = None


def subject_from(
    environment: Mapping[str, str], *, clouds: str | None, cloud: str | None, catalog: str | None
) -> Subject:
    """`environment` holds the hub's settings (docs/operators.md names them); the other arguments win over it."""
    return Subject(
        clouds_yaml=clouds or environment.get("JS2_CLOUDS_YAML"),
        cloud=cloud,
        catalog=catalog or environment.get("JS2_CATALOG"),
        image_keys=environment.get("JS2_IMAGE_KEYS"),
        handshake_bind=environment.get("JS2_HANDSHAKE_BIND"),
        state_dir=environment.get("JS2_STATE_DIR"),
        database_url=environment.get("JS2_DATABASE_URL"),
    )
