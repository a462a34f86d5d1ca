"""Nova v2.1, microversions up to what Nova 34 answers."""

from js2spawner.devcloud.calls import Service
from js2spawner.devcloud.nova import actions, attachments, keypairs, labels, offers, quota, servers

SERVICE = Service(
    "compute",
    "/compute",
    (
        *offers.ROUTES,
        *servers.ROUTES,
        *actions.ROUTES,
        *labels.ROUTES,
        *attachments.ROUTES,
        *keypairs.ROUTES,
        *quota.ROUTES,
    ),
    offers.LOWEST,
    offers.HIGHEST,
)
