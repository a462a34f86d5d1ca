"""The services' configuration files: those in the folder `settings`, filled in for one rig."""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography.fernet import Fernet
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.openstack.rig import layout as layout_words
from tests.openstack.rig.layout import Layout

TEMPLATES = Path(__file__).parent / "settings"


def write_settings(layout: Layout) -> None:
    """Everything the services read, and the folders they expect."""
    shutil.rmtree(layout.settings, ignore_errors=True)
    for folder in ("lock", "images", "glance/staging", "glance/tasks", "nova/instances", "neutron", "cinder", "log"):
        (layout.run / folder).mkdir(parents=True, exist_ok=True)
    layout.settings.mkdir(parents=True)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    words = {"layout": layout, "layout_words": layout_words, "port": layout.ports, "keystone": layout.keystone_url}
    for template in sorted(TEMPLATES.glob("[!_]*")):
        layout.setting(template.name).write_text(environment.get_template(template.name).render(words))
    for keys in ("fernet-keys", "credential-keys"):
        _write_keys(layout.settings / keys)


def _write_keys(folder: Path) -> None:
    """As `keystone-manage fernet_setup` does: 0 is the next key, 1 the present one."""
    folder.mkdir(mode=0o700)
    for name in ("0", "1"):
        key = folder / name
        key.touch(mode=0o600)
        key.write_bytes(Fernet.generate_key())
