"""Manila v2: NFS shares, where they are exported, who may mount them, and quotas. Behind each share is a folder."""

from js2spawner.devcloud.calls import Service
from js2spawner.devcloud.manila import access, offers, shares

SERVICE = Service(
    "share",
    "/share",
    (*offers.ROUTES, *shares.ROUTES, *access.ROUTES),
    offers.LOWEST,
    offers.HIGHEST,
)
