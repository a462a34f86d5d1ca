"""Numbers as people read them. Pure."""

from __future__ import annotations


def plain(number: float) -> float | int:
    """10 rather than 10.0, and no more than two places."""
    number = round(number, 2)
    return int(number) if number == int(number) else number


def plain_or_none(number: float | None) -> float | int | None:
    """The same, and nothing of what is not known."""
    return None if number is None else plain(number)


def plural(number: float, thing: str) -> str:
    """What so many things are called: "server", "servers"."""
    return thing if number == 1 else f"{thing}s"


def counted(number: float, thing: str) -> str:
    """So many things: "1 server", "2 servers"."""
    return f"{number:g} {plural(number, thing)}"
