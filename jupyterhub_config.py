"""This hub, from top to bottom. What differs between hubs comes from the environment (`hub_config/settings.py`) and
from two files, the catalog and the list of people; docs/operators.md explains them. Settings of your own go at the end.
"""

import os
import sys
from pathlib import Path
from typing import Any

# JupyterHub reads this file wherever it is started.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from hub_config import culling, database, http, metrics, pages, proxy, roles, sign_in, spawning
from hub_config.settings import SettingsError, from_environment
from js2spawner.located_yaml import FileError

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821  JupyterHub provides it

try:
    settings = from_environment(os.environ)
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    c.JupyterHub.cookie_secret_file = str(settings.state_dir / "jupyterhub_cookie_secret")

    sign_in.configure(c, settings)  # who may enter
    spawning.configure(c, settings)  # what they get: instances, the catalog
    culling.configure(c, settings)  # when it ends
    pages.configure(c, settings)  # what they see
    database.configure(c, settings)  # what is remembered
    proxy.configure(c, settings)  # where the hub is
    http.configure(c, settings)  # how patient it is
    metrics.configure(c, settings)  # what is measured
    roles.configure(c, settings)  # who may do what by script
except (SettingsError, FileError) as error:
    sys.exit(f"This hub cannot start:\n{error}")
