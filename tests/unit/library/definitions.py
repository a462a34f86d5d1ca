"""Small definitions for tests, in folders of their own."""

from __future__ import annotations

from pathlib import Path

from js2spawner.library.definition import Definition, Derived, Environment, FromScratch, Layer

HASH = "0" * 64


def environment(folder: Path, name: str = "server", *pins: str, left_out: tuple[str, ...] = ()) -> Environment:
    """With a lock of these pins, each `name==version`."""
    lock = folder / f"{name}.txt"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("".join(f"{pin} --hash=sha256:{HASH}\n" for pin in pins or ("jupyterlab==4.4.0",)))
    return Environment(name, tuple(pins), lock, left_out)


def definition(*layers: Layer, name: str = "tiny", base: FromScratch | Derived | None = None) -> Definition:
    return Definition(
        name=name,
        title=name.title(),
        description="For tests",
        inside=(),
        owner="nobody",
        base=base or FromScratch("bookworm", 50),
        layers=layers or (Layer("tiny"),),
        smoke=(),
        smallest="m3.tiny",
        gpu="no",
        rebuild_after_days=30,
    )
