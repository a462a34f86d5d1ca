"""What an instance of this cloud holds, as the properties in which images of a library carry it.

Instances run on this machine, with the Python environment the cloud itself runs in: so that environment's packages are
the honest list, the same for every image. The form (rows in compressed JSON, base64, in parts) is written down in
docs/devcloud.md and made here anew: devcloud shares no code with the hub that reads it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import Distribution, distributions

_PART = 255


@cache
def properties() -> Mapping[str, str]:
    """One property for each part of the list, as `js2_software_00`."""
    rows = sorted({_row(found) for found in distributions() if found.metadata["Name"]})
    packed = base64.b64encode(zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 9)).decode()
    parts = (packed[start : start + _PART] for start in range(0, len(packed), _PART))
    return {f"js2_software_{number:02}": part for number, part in enumerate(parts)}


def _row(found: Distribution) -> tuple[str, str, str, str]:
    return "pypi", found.metadata["Name"], found.version, _licence(found)


def _licence(found: Distribution) -> str:
    """As short as the package tells it; many give the whole text, and some only a classifier."""
    for field in ("License-Expression", "License"):
        for told in found.metadata.get_all(field) or ():
            if told and "\n" not in told and len(told) <= 60 and told != "UNKNOWN":
                return str(told)
    classifiers = found.metadata.get_all("Classifier") or ()
    return next((each.rsplit(" :: ", 1)[-1] for each in classifiers if each.startswith("License :: ")), "")
