"""What `js2 home …` answers, and whether it is an answer."""

from __future__ import annotations

from collections.abc import Callable

from click.testing import Result

Js2 = Callable[..., Result]


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def refusal(result: Result) -> str:
    """What a person is told, in one sentence and without a traceback."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    return result.output
