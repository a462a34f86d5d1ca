"""The databases: SQLite files by default, one PostgreSQL for everything by one setting."""

from __future__ import annotations

from typing import Any

from hub_config.settings import Settings


def configure(c: Any, settings: Settings) -> None:
    """JupyterHub's own tables and ours; ours begin with `js2_`, so both may live in one database."""
    if settings.database_url:
        c.JupyterHub.db_url = settings.database_url
        c.Js2Fleet.database_url = settings.database_url
        return
    # Two files: each is written by its own connection, and SQLite lets only one write at a time.
    c.JupyterHub.db_url = f"sqlite:///{settings.state_dir / 'jupyterhub.sqlite'}"
    c.Js2Fleet.database_url = f"sqlite:///{settings.state_dir / 'js2.sqlite'}"
