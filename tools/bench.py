"""`make bench`: run every benchmark and check its promise, that its last line is one JSON object of its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    benchmarks = sorted((ROOT / "bench").glob("bench_*.py"))
    if not benchmarks:
        sys.exit("make bench: there is no bench/bench_*.py")
    failed = [benchmark.name for benchmark in benchmarks if not passes(benchmark)]
    if failed:
        sys.exit(f"make bench: failed: {', '.join(failed)}")


def passes(benchmark: Path) -> bool:
    """Run one benchmark, showing its lines as they come."""
    print(f"== {benchmark.name}", flush=True)
    last = ""
    with subprocess.Popen([sys.executable, benchmark], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last = line
    return process.returncode == 0 and is_figures(last)


def is_figures(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


if __name__ == "__main__":
    main()
