"""Who wants to hear whether a cloud answers at all: told of each question to Nova or Keystone and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from .errors import BadAnswer, CloudError, NoAnswer, ServerFault, Unreachable

# What a cloud that is away looks like. All else, refusals too, is an answer of the service itself.
SILENCE = (Unreachable, NoAnswer, ServerFault, BadAnswer)


class Listener(Protocol):
    """Called on the event loop; returns at once and raises nothing."""

    def asked(self) -> None:
        """A question goes out."""

    def answered(self, operation: str) -> None:
        """Nova answered it, if only with a refusal."""

    def failed(self, error: CloudError) -> None:
        """No usable answer came."""

    def left(self) -> None:
        """Nothing was learned: whoever asked has gone, or only Keystone answered."""


class Nobody:
    """Hears nothing."""

    def asked(self) -> None:
        pass

    def answered(self, operation: str) -> None:
        pass

    def failed(self, error: CloudError) -> None:
        pass

    def left(self) -> None:
        pass


NOBODY = Nobody()


@contextmanager
def heard(listener: Listener, operation: str) -> Iterator[None]:
    """Tell of one question. Without an `operation` (a sign-in) only its failure says anything about a region."""
    listener.asked()
    try:
        yield
    except SILENCE as error:
        listener.failed(error)
        raise
    except CloudError:
        _good(listener, operation)
        raise
    except BaseException:
        listener.left()
        raise
    _good(listener, operation)


def _good(listener: Listener, operation: str) -> None:
    if operation:
        listener.answered(operation)
    else:
        listener.left()
