"""Power-on to a notebook that listens, by stage, for images that are built, beside a Debian as it comes: in one run.

The other image is `bench/images/stock.yaml`: the same JupyterLab, started by the last stage of cloud-init. It is built
if it is not there yet. Images are booted in turn, round after round, so that a noisy machine is noisy for all of them.
Boots take minutes where machines are emulated, so nothing is booted unless images are named:
`bench_image_boots.py minimal`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from js2spawner.library import boot, reading, scratch
from js2spawner.library.boot import testing
from js2spawner.library.boot.emulator import accelerator
from js2spawner.library.builds import DISK, Build, Builds

ROOT = Path(__file__).resolve().parent.parent
STOCK = "stock"
GOAL = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*")
    parser.add_argument("--boots", type=int, default=5, help="of each image")
    parser.add_argument("--builds", type=Path, default=ROOT / ".images")
    parser.add_argument("--no-stock", action="store_true", help="leave out what they are measured beside")
    asked = parser.parse_args()
    builds = Builds(asked.builds)
    if not asked.names:
        finish({"skipped": "a boot takes minutes; name the images to boot"})
    if os.geteuid() != 0:
        finish({"skipped": "building what images are measured beside takes root"})
    found = {name: builds.newest(name) for name in asked.names}
    if lacking := [name for name, build in found.items() if build is None]:
        finish({"skipped": f"there is no build of {', '.join(lacking)} in {asked.builds}"})
    if not asked.no_stock:
        found[STOCK] = builds.newest(STOCK) or scratch.build(
            reading.read(ROOT / "bench" / "images", STOCK), builds, say
        )
    finish(measured({name: build for name, build in found.items() if build}, builds, asked.boots))


def measured(images: Mapping[str, Build], builds: Builds, boots: int) -> Mapping[str, object]:
    seen: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    loads = []
    for number in range(boots):
        for name, build in images.items():
            loads.append(os.getloadavg()[0])
            tested = testing.boot_once(builds.place(build) / DISK, say=lambda _line: None)
            # What else is wrong with an image is its boot test's affair.
            if "listening" not in tested.report.seconds:
                sys.exit(f"{name} did not boot: {tested.report.failures[0]}")
            seconds = {**tested.report.seconds, "cpu": tested.cpu_s}
            seen[name].append(seconds)
            say(f"{name} {number + 1}: {seconds}")
    figures = {name: figures_of(each) for name, each in seen.items()}
    return {
        "accelerator": accelerator(),
        "load": [round(min(loads), 1), round(median(loads), 1), round(max(loads), 1)],
        "images": figures,
        **ratios({name: [each["listening"] for each in seconds] for name, seconds in seen.items()}),
    }


def figures_of(boots: Sequence[Mapping[str, float]]) -> Mapping[str, object]:
    """Median, least and most of each stage, with the number of boots that told it."""
    names = dict.fromkeys(name for each in boots for name in each)
    told = {name: [each[name] for each in boots if name in each] for name in names}
    return {
        name: {"n": len(values), "median": round(median(values), 1), "min": min(values), "max": max(values)}
        for name, values in told.items()
    }


def ratios(listening: Mapping[str, Sequence[float]]) -> Mapping[str, object]:
    """Of each image's time to stock's, by their medians."""
    if STOCK not in listening:
        return {}
    stock = median(listening[STOCK])
    found = {name: round(median(values) / stock, 2) for name, values in listening.items() if name != STOCK}
    return {"of_stock": found, "goal": GOAL, "met": all(ratio <= GOAL for ratio in found.values())}


def say(line: str) -> None:
    print(line, flush=True)


def finish(figures: Mapping[str, object]) -> None:
    print(json.dumps({"benchmark": "image_boots", **figures}))
    sys.exit()


if __name__ == "__main__":
    try:
        main()
    except (boot.CannotTest, scratch.CannotBuild) as problem:
        sys.exit(str(problem))
