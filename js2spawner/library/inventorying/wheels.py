"""Python packages of a tree, environment by environment, by the metadata that pip installed with them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from js2spawner.library.inventorying import licences
from js2spawner.library.software import Package

_ENVIRONMENTS = "opt/js2/*/lib/python3*/site-packages"


def packages(root: Path) -> Iterator[Package]:
    for site_packages in sorted(root.glob(_ENVIRONMENTS)):
        for found in distributions(path=[str(site_packages)]):
            # A broken package may lack either; it is then none that anybody could use.
            name, version = found.metadata["Name"], found.metadata["Version"]
            if name and version:
                yield Package("pypi", name, version, _licence(found))


def _licence(found: Distribution) -> str:
    """What the package says of itself, the most exact first (core metadata 2.4, and older ways)."""
    told = found.metadata
    if "License-Expression" in told:
        return told["License-Expression"].strip()
    classifiers = [each for each in told.get_all("Classifier") or [] if each.startswith("License ::")]
    named = [name for name in map(licences.from_classifier, classifiers) if name]
    if named:
        return licences.any_of(named)
    free_text = told["License"].strip() if "License" in told else ""
    # Some put the whole text there.
    return licences.from_words(free_text) if len(free_text) <= 80 and "\n" not in free_text else ""
