"""Lists of servers, images and ports: filters, pages, and who sees what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.devcloud.client import Scene

SERVERS = "/compute/v2.1/servers"


async def listed(scene: Scene, query: str) -> list[str]:
    return [server["name"] for server in (await scene.hub.get(f"{SERVERS}{query}"))["servers"]]


async def test_pages_follow_each_other_to_the_end(scene: Scene) -> None:
    for number in range(5):
        await scene.hub.created(f"s{number}", tags=["mine"])
    found: list[str] = []
    path = f"{SERVERS}/detail?limit=2&tags=mine"
    while path:
        page: dict[str, Any] = await scene.hub.get(path)
        found += [server["name"] for server in page["servers"]]
        links = page.get("servers_links", [])
        path = links[0]["href"].removeprefix(scene.running.url) if links else ""
    assert found == ["s4", "s3", "s2", "s1", "s0"]


async def test_an_unknown_marker_is_400(scene: Scene) -> None:
    assert (await scene.hub.call("GET", f"{SERVERS}?marker=nope")).status == 400


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?tags=a", ["both", "only-a"]),
        ("?tags=a,b", ["both"]),
        ("?tags-any=a,b", ["only-b", "both", "only-a"]),
        ("?not-tags=a", ["none", "only-b"]),
        ("?not-tags-any=a,b", ["none"]),
        ("?name=only", ["only-b", "only-a"]),
        ("?status=ACTIVE", []),
        ("?sort_key=display_name&sort_dir=asc", ["both", "none", "only-a", "only-b"]),
    ],
)
async def test_filters(scene: Scene, query: str, names: list[str]) -> None:
    scene.cloud.latencies.phases["scheduling"] = 600  # type: ignore[index]
    for name, tags in {"only-a": ["a"], "both": ["a", "b"], "only-b": ["b"], "none": []}.items():
        await scene.hub.created(name, tags=tags)
    assert await listed(scene, query) == names


async def test_metadata_does_not_filter(scene: Scene) -> None:
    await scene.hub.created("one", metadata={"a": "b"})
    assert await listed(scene, '?metadata={"a":"c"}') == ["one"]


async def test_another_project_sees_nothing_and_an_admin_everything(scene: Scene) -> None:
    await scene.hub.created("ours")
    assert (await scene.other.get(SERVERS))["servers"] == []
    assert (await scene.admin.get(SERVERS))["servers"] == []
    assert len((await scene.admin.get(f"{SERVERS}?all_tenants=1"))["servers"]) == 1


async def test_a_list_is_current_after_every_change(scene: Scene) -> None:
    server = await scene.hub.active()
    await scene.hub.call("PUT", f"{SERVERS}/{server['id']}/tags/new")
    shown = (await scene.hub.get(f"{SERVERS}/detail"))["servers"][0]
    assert shown["tags"] == ["new"]
    await scene.hub.call("POST", f"{SERVERS}/{server['id']}/metadata", {"metadata": {"k": "v"}})
    assert (await scene.hub.get(f"{SERVERS}/detail"))["servers"][0]["metadata"] == {"k": "v"}


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
