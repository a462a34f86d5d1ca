"""Glance v2: images, which of them a project sees, and whom they are shared with."""

from dataclasses import replace

from js2spawner.devcloud.calls import Answer, Call, Route, Service
from js2spawner.devcloud.glance import images, lists, members


async def versions(call: Call) -> Answer:
    link = {"rel": "self", "href": f"{call.cloud.settings.url}/image/v2/"}
    found = [
        {"id": f"v2.{minor}", "status": "CURRENT" if minor == 16 else "SUPPORTED", "links": [link]}
        for minor in (16, 9, 2, 0)
    ]
    return Answer({"versions": found}, 300)


SERVICE = Service(
    "image",
    "/image",
    (
        *(Route("GET", path, "versions", versions, open=True) for path in ("", "/", "/versions")),
        Route("GET", "/v2/images", "images.list", lists.list_images),
        *images.ROUTES,
        *(replace(route, path=f"/v2/images/{{image_id}}{route.path}") for route in members.ROUTES),
    ),
)
