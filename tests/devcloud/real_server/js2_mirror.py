"""A server extension that writes down what the server found itself to be, to mirror.json in its home."""

import json
import os
import sys
from pathlib import Path

from jupyter_client.session import Session
from traitlets import TraitType

# When this is imported the configuration was just read: what is imported from here on was not imported ahead.
EARLY = set(sys.modules)
# Where the process stood by, which nobody may remember.
NOWHERE = "/nonexistent"
# Modules that keep what the whole environment or sysconfig told, and whose copy nobody asks.
KEEPERS = {"os", "posix", "sysconfig", "wsgiref.handlers"}


def _jupyter_server_extension_points():
    return [{"module": "js2_mirror"}]


def _load_jupyter_server_extension(app):
    # The loop runs from when the server listens.
    app.io_loop.add_callback(write, app)


def write(app):
    parts = [app, app.contents_manager, app.kernel_manager, app.kernel_spec_manager, app.session_manager]
    parts += [app.identity_provider, app.identity_provider.hub_auth]
    parts += [point.app for point in app.extension_manager.extension_points.values() if point.app]
    told = {
        "traits": {type(part).__name__: plain(part.trait_values()) for part in parts},
        "username": Session(parent=app).username,
        "trash": str(sys.modules["send2trash.plat_other"].HOMETRASH),
        "late": sorted(set(sys.modules) - EARLY),
        "remembered": sorted(remembered()),
        "environment": dict(os.environ),
    }
    (Path.home() / "mirror.new").write_text(json.dumps(told))
    (Path.home() / "mirror.new").rename(Path.home() / "mirror.json")


def plain(values):
    """Texts, numbers and lists of them; the rest is objects without an order or a name."""
    return {name: repr(value) for name, value in values.items() if is_plain(value)}


def is_plain(value):
    return isinstance(value, (str, int, float, type(None))) or (
        isinstance(value, (list, tuple)) and all(is_plain(one) for one in value)
    )


def remembered():
    """Every global and every attribute of a class that speaks of the place that is nowhere."""
    for name, module in list(sys.modules.items()):
        if module is None or name in KEEPERS or name == __name__:
            continue
        for attribute, value in list(vars(module).items()):
            if not issubclass(type(value), type):
                if speaks_of_it(value) and attribute != "__builtins__":
                    yield f"{name}.{attribute}"
            elif value.__module__ == name:
                yield from (f"{name}.{attribute}.{inner}" for inner, held in vars(value).items() if speaks_of_it(held))


def speaks_of_it(value):
    # By type() and not isinstance(): lazy objects import things when they are asked what they are.
    if issubclass(type(value), TraitType):
        value = value.default_value
    return type(value) in (str, bytes, list, tuple, dict) and NOWHERE in repr(value)
