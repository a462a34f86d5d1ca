"""The whole examination, in the order in which its findings are shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import js2spawner
from js2spawner.catalog import Catalog, CatalogError
from js2spawner.doctor.clouds import examine_clouds
from js2spawner.doctor.findings import Finding, fail, ok, warn
from js2spawner.doctor.machine import examine_machine
from js2spawner.doctor.places import Place, places
from js2spawner.doctor.subject import Subject
from js2spawner.library.signing import NO_KEYS, KeyFileError, PublicKeys


def examine(subject: Subject) -> list[Finding]:
    """Look at the machine, the catalog and the clouds of the subject."""
    root = Path(js2spawner.__file__).resolve().parent.parent
    findings = examine_machine(subject, root)
    catalog, about_catalog = read_catalog(subject)
    findings += about_catalog
    if catalog is not None:
        keys, about_keys = read_image_keys(subject, catalog)
        findings += about_keys
        found = places(catalog, only_cloud=subject.cloud, image_keys=keys)
    else:
        found = [Place(f"cloud {subject.cloud}", subject.cloud, None, None)] if subject.cloud else []
    if not found:
        findings.append(_no_cloud(subject, catalog))
    return findings + asyncio.run(examine_clouds(found, subject.clouds_yaml))


def read_catalog(subject: Subject) -> tuple[Catalog | None, list[Finding]]:
    if subject.catalog is None:
        return None, [warn("catalog", "No catalog was named.", "Name one with --catalog, or set JS2_CATALOG.")]
    try:
        catalog = Catalog.load(subject.catalog)
    except CatalogError as error:
        return None, [
            fail("catalog", mistake, "Put it right; the hub does not start before.") for mistake in error.mistakes
        ]
    counts = f"{len(catalog.images)} images, {len(catalog.flavors)} flavors, {len(catalog.regions)} regions"
    return catalog, [ok("catalog", f"{counts} in {subject.catalog}.")]


def read_image_keys(subject: Subject, catalog: Catalog) -> tuple[PublicKeys, list[Finding]]:
    """The keys that vouch for the library's images; the hub does not start without them if its catalog needs some."""
    needed = any(entry.library for entry in catalog.images)
    if subject.image_keys is None:
        remedy = "Set JS2_IMAGE_KEYS to a file with the publisher's signing.pub."
        sentence = "The catalog has images of the library, but no key vouches for them."
        return NO_KEYS, [fail("image keys", sentence, remedy)] if needed else []
    try:
        keys = PublicKeys.read(Path(subject.image_keys))
    except KeyFileError as problem:
        return NO_KEYS, [fail("image keys", str(problem), "Put it right; the hub does not start before.")]
    return keys, [ok("image keys", f"{len(keys.by_id)} in {subject.image_keys}.")]


def _no_cloud(subject: Subject, catalog: Catalog | None) -> Finding:
    if catalog is not None:
        return fail(
            "clouds", f"No region of the catalog is in the cloud {subject.cloud}.", "Check the name after --cloud."
        )
    return warn("clouds", "No cloud was named, so none was looked at.", "Name one with --cloud, or a catalog.")
