"""Lists of images and ports: pages and filters. (Lists of servers: tests/contract/test_compute_lists.py.)"""

from __future__ import annotations

from tests.devcloud.client import Scene


async def test_images_come_in_pages_of_25_and_by_name(scene: Scene) -> None:
    for number in range(30):
        await scene.hub.call("POST", "/image/v2/images", {"name": f"i{number}"})
    first = await scene.hub.get("/image/v2/images")
    assert len(first["images"]) == 25
    rest = await scene.hub.get(f"/image{first['next']}")
    assert len(rest["images"]) == 13
    assert "next" not in rest
    assert [image["name"] for image in (await scene.hub.get("/image/v2/images?name=i7"))["images"]] == ["i7"]
    assert len((await scene.hub.get("/image/v2/images?visibility=public&limit=100"))["images"]) == 8
    assert len((await scene.other.get("/image/v2/images?limit=100"))["images"]) == 8


async def test_ports_filter_by_device_and_tag(scene: Scene) -> None:
    network_id = await scene.hub.network_id()
    for name, tags in {"a": ["x"], "b": ["x", "y"]}.items():
        port = {"network_id": network_id, "name": name, "tags": tags}
        assert (await scene.hub.call("POST", "/network/v2.0/ports", {"port": port})).status == 201
    assert {port["name"] for port in (await scene.hub.get("/network/v2.0/ports?tags=x"))["ports"]} == {"a", "b"}
    assert [port["name"] for port in (await scene.hub.get("/network/v2.0/ports?tags=x,y"))["ports"]] == ["b"]
    assert (await scene.hub.get("/network/v2.0/ports?device_id=nobody"))["ports"] == []
