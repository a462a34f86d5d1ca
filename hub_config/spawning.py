"""Servers: each on an instance of its own, made by js2spawner."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Any

from hub_config.settings import Settings
from js2spawner.catalog import Catalog
from js2spawner.limits import most_for
from js2spawner.startup import open_fleet_with_hub

_HOUR_S = 3600


def configure(c: Any, settings: Settings) -> None:
    """The spawner, its fleet, and JupyterHub's own limits around them.

    Raises CatalogError: a mistake in the catalog is told at start, not when somebody chooses.
    """
    catalog = Catalog.load(settings.catalog)
    c.JupyterHub.spawner_class = "js2spawner.spawner.Js2Spawner"
    _fleet(c, settings)
    open_fleet_with_hub()

    c.JupyterHub.allow_named_servers = settings.named_servers > 0
    c.JupyterHub.named_server_limit_per_user = partial(names_for, catalog, settings.named_servers)
    # A restart of the hub is nobody's business: instances run on and are found again.
    c.JupyterHub.cleanup_servers = False
    # How long the answer to a start waits for it. The default 10 s are a blank page before the progress page; with 0, a
    # refusal (a wrong option) would be told there too, and over REST not at all.
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0.3}
    # No limit (0): JupyterHub does not queue, it answers 429 to whoever comes after so many, also while those only wait
    # for room. Ours wait in a line of their own, and `Js2Fleet.creates_at_once` paces what the cloud is asked for.
    c.JupyterHub.concurrent_spawn_limit = 0
    # A cloud without room is no reason for the hub to end itself.
    c.Spawner.consecutive_failure_limit = 0
    # Every phase of a start has a deadline of its own in the fleet, the wait in the line too
    # (`Js2Fleet.longest_wait_s`); this one is only the last resort.
    c.Spawner.start_timeout = 24 * _HOUR_S
    c.Spawner.http_timeout = 60
    c.Spawner.poll_interval = 30
    c.Spawner.default_url = "/lab"


def names_for(catalog: Catalog, names: int, handler: Any) -> int:
    """How many servers with names whoever asks may have: `names`, or what a limit of their groups leaves beside the
    first, if that is more.

    JupyterHub counts names, those of stopped servers too; how many may run at once is the catalog's to say.
    """
    groups = frozenset(group.name for group in getattr(handler.current_user, "groups", ()))
    most = most_for(catalog.limits, groups).servers
    return names if most == inf else max(names, int(most) - 1)


def _fleet(c: Any, settings: Settings) -> None:
    c.Js2Fleet.state_dir = str(settings.state_dir)
    c.Js2Fleet.catalog_file = str(settings.catalog)
    c.Js2Fleet.handshake_bind_address = settings.handshake_host
    c.Js2Fleet.handshake_port = settings.handshake_port
    if settings.handshake_url:
        c.Js2Fleet.handshake_connect_url = settings.handshake_url
    if settings.hub_id:
        c.Js2Fleet.hub_id = settings.hub_id
    if settings.clouds_yaml:
        c.Js2Fleet.clouds_yaml = str(settings.clouds_yaml)
    if settings.image_keys:
        c.Js2Fleet.image_keys_file = str(settings.image_keys)
    if settings.idle_minutes:
        c.Js2Fleet.idle_minutes = settings.idle_minutes
