"""The fleet's opening together with the hub."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from js2spawner.startup import log_into


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def hub_log() -> Iterator[tuple[logging.Logger, Heard]]:
    """A log as JupyterHub's, with a handler and a level of its own; afterwards ours is as it was."""
    ours, heard = logging.getLogger("js2spawner"), Heard()
    parent, level = ours.parent, ours.level
    hub = logging.getLogger("a hub")
    hub.setLevel(logging.INFO)
    hub.addHandler(heard)
    hub.propagate = False
    yield hub, heard
    hub.removeHandler(heard)
    ours.parent = parent
    ours.setLevel(level)


def test_what_our_modules_say_stands_in_the_hub_s_log(hub_log: tuple[logging.Logger, Heard]):
    hub, heard = hub_log
    log_into(hub)
    logging.getLogger("js2spawner.cloud.signin").info("signed in")
    assert heard.texts == ["signed in"]


def test_what_the_hub_does_not_want_to_hear_is_not_said(hub_log: tuple[logging.Logger, Heard]):
    hub, heard = hub_log
    hub.setLevel(logging.WARNING)
    log_into(hub)
    logging.getLogger("js2spawner.cloud.signin").info("signed in")
    assert heard.texts == []
