"""Manila v2: shares, where they are exported, who may mount them, and quotas. Behind each share is a folder, which
machines mount as NFS; CephFS is there in name only.
"""

from js2spawner.devcloud.calls import Service
from js2spawner.devcloud.manila import access, offers, shares

SERVICE = Service(
    "share",
    "/share",
    (*offers.ROUTES, *shares.ROUTES, *access.ROUTES),
    offers.LOWEST,
    offers.HIGHEST,
)
