"""What building images takes: seconds a step and megabytes, first with nothing kept from before, then from archives.

A build takes minutes and root, so nothing is built unless images are named: `bench_image_builds.py minimal`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from js2spawner.library import reading, scratch
from js2spawner.library.builds import Build, Builds
from js2spawner.library.definition import Definition

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*")
    parser.add_argument("--library", type=Path, default=ROOT / "images")
    parser.add_argument("--place", type=Path, default=ROOT, help="folder with room for what is built (and removed)")
    asked = parser.parse_args()
    if not asked.names:
        finish({"skipped": "a build takes minutes; name the images to build"})
    if os.geteuid() != 0:
        finish({"skipped": "a build takes root"})
    with tempfile.TemporaryDirectory(prefix=".js2-bench-", dir=asked.place) as folder:
        figures = {
            each.name: measured(each, Builds(Path(folder))) for each in reading.read_some(asked.library, asked.names)
        }
    finish({"images": figures})


def measured(definition: Definition, builds: Builds) -> dict[str, object]:
    """Later images find the archives of earlier ones, as in everyday use; `cold` builds nothing on them."""
    cold = scratch.build(
        definition, builds, say=lambda line: print(f"{definition.name}, cold: {line}", flush=True), fresh=True
    )
    warm = scratch.build(definition, builds, say=lambda line: print(f"{definition.name}, warm: {line}", flush=True))
    return {"cold": shown(cold), "warm": shown(warm)}


def shown(build: Build) -> dict[str, object]:
    return {
        "seconds": round(sum(build.seconds.values()), 1),
        "steps": dict(build.seconds),
        "qcow2_mb": round(build.disk_bytes / 1e6),
        "disk_mb": round(build.virtual_bytes / 1e6),
        "packages": build.packages,
    }


def finish(figures: dict[str, object]) -> None:
    print(json.dumps({"benchmark": "image_builds", **figures}))
    sys.exit()


if __name__ == "__main__":
    main()
