"""Which flavors carry a GPU, and what a person calls their share of it. Pure.

The catalog says so for people; Nova's own word for it stands in a flavor's extra specs (Nova's admin guide, "Attaching
virtual GPU devices" and "Attaching physical PCI devices to guests"; Placement's custom resource classes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from js2spawner.catalog_entries import FlavorEntry, Gpu
from js2spawner.cloud.records import Flavor

# Numbered and named groups of resources have a suffix: resources1:VGPU. Whole machines of Ironic are custom ones too.
_RESOURCE = re.compile(r"resources[\w-]*:(VGPU|PGPU|CUSTOM_(?!BAREMETAL)\w+)")
_ALIAS = "pci_passthrough:alias"


def gpus_in(extra_specs: Mapping[str, str]) -> int:
    """How many virtual GPUs, passed-through cards and custom resources Nova gives an instance of such a flavor."""
    aliases = [alias for alias in extra_specs.get(_ALIAS, "").split(",") if alias.strip()]
    counts = [alias.rpartition(":")[2] for alias in aliases]
    counts += [value for name, value in extra_specs.items() if _RESOURCE.fullmatch(name) and value.strip()]
    return sum(int(count) if count.strip().isdecimal() else 1 for count in counts)


def gpus_of(entry: FlavorEntry | None, seen: Flavor | None) -> int:
    """How many an instance of the flavor has, a share of a card counted as one: by the catalog, else by the cloud."""
    if entry is not None and entry.gpu is not None:
        return entry.gpu.cards
    return gpus_in(seen.extra_specs) if seen is not None else 0


def has_gpu(entry: FlavorEntry, seen: Flavor | None) -> bool:
    """Whether an instance of the flavor has one: the catalog or the cloud says so."""
    return gpus_of(entry, seen) > 0


def share_words(gpu: Gpu) -> str:
    """How much of a card it is: "1/4 of a card", "a whole card", "2 cards"."""
    if gpu.cards > 1:
        return f"{gpu.cards} cards"
    if gpu.share == 1:
        return "a whole card"
    part = Fraction(gpu.share).limit_denominator(16)
    return f"{part.numerator}/{part.denominator} of a card" if part else f"{gpu.share:.0%} of a card"
