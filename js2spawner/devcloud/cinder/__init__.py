"""Cinder v3: volumes and snapshots, their quotas and limits. A project id may stand in the path or not."""

from dataclasses import replace

from js2spawner.devcloud.calls import Service
from js2spawner.devcloud.cinder import actions, attachments, offers, snapshots, volumes

_PLAIN = (*volumes.ROUTES, *actions.ROUTES, *attachments.ROUTES, *snapshots.ROUTES, *offers.ROUTES)
SERVICE = Service(
    "volume",
    "/volume",
    (
        *offers.VERSION_ROUTES,
        *(replace(route, path=f"/v3{route.path}") for route in _PLAIN),
        *(replace(route, path=f"/v3/{{project_id:[0-9a-f]{{32}}}}{route.path}") for route in _PLAIN),
    ),
    offers.LOWEST,
    offers.HIGHEST,
)
