"""Manila's shares: their life, who may mount them, and that they are one folder for all who do."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from js2spawner.devcloud.machine import Machines
from js2spawner.devcloud.machine.volumes import exported
from tests.devcloud.client import Scene, devcloud
from tests.devcloud.machine.conftest import needs_root

SHARES = "/share/v2/shares"
HEADERS = {"X-OpenStack-Manila-API-Version": "2.45"}


async def call(scene: Scene, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    seen = await scene.hub.call(method, path, body, headers=HEADERS)
    assert seen.status == status, seen
    return seen.body


async def a_share(scene: Scene, **more: Any) -> str:
    asked = {"share": {"name": "home", "size": 1, "share_proto": "NFS", **more}}
    share_id = str((await call(scene, "POST", SHARES, asked))["share"]["id"])
    await shows(scene, share_id, "available")
    return share_id


async def shows(scene: Scene, share_id: str, status: str) -> Any:
    async with asyncio.timeout(20):
        while (share := (await call(scene, "GET", f"{SHARES}/{share_id}"))["share"])["status"] != status:
            await asyncio.sleep(0.01)
    return share


async def rules(scene: Scene, share_id: str) -> list[tuple[str, str]]:
    listed = await call(scene, "GET", f"/share/v2/share-access-rules?share_id={share_id}")
    return [(rule["access_to"], rule["state"]) for rule in listed["access_list"]]


async def allow(scene: Scene, share_id: str, address: str, level: str = "rw") -> str:
    asked = {"allow_access": {"access_type": "ip", "access_to": address, "access_level": level}}
    access = (await call(scene, "POST", f"{SHARES}/{share_id}/action", asked))["access"]
    async with asyncio.timeout(20):
        while (address, "active") not in await rules(scene, share_id):
            await asyncio.sleep(0.01)
    return str(access["id"])


async def test_a_share_is_made_labelled_grown_found_and_deleted(scene: Scene) -> None:
    share_id = await a_share(scene, metadata={"js2_user": "o'neil"})
    await a_share(scene, metadata={"js2_user": "else"})
    wanted = repr({"js2_user": "o'neil"})
    found = (await call(scene, "GET", f"{SHARES}/detail?metadata={wanted}"))["shares"]
    assert [share["id"] for share in found] == [share_id]
    await call(scene, "POST", f"{SHARES}/{share_id}/metadata", {"metadata": {"js2_home": "home"}})
    await call(scene, "POST", f"{SHARES}/{share_id}/action", {"extend": {"new_size": 3}}, 202)
    share = await shows(scene, share_id, "available")
    assert (share["size"], share["metadata"]) == (3, {"js2_user": "o'neil", "js2_home": "home"})
    places = (await call(scene, "GET", f"{SHARES}/{share_id}/export_locations"))["export_locations"]
    assert [each["path"] for each in places] == [f"127.0.0.1:/share/{share_id}"]
    await call(scene, "DELETE", f"{SHARES}/{share_id}", status=202)
    async with asyncio.timeout(20):
        while (await scene.hub.call("GET", f"{SHARES}/{share_id}")).status != 404:
            await asyncio.sleep(0.01)


async def test_a_machine_may_mount_what_its_address_may(scene: Scene) -> None:
    share_id, other = await a_share(scene), await a_share(scene)
    server = await scene.hub.active()
    address = server["addresses"]["auto_allocated_network"][0]["addr"]
    await allow(scene, share_id, address)
    await allow(scene, other, str(scene.cloud.settings.addresses), "ro")
    assert scene.machines.exports[server["id"]] == {share_id: False, other: True}
    late = await scene.hub.active("late")
    assert scene.machines.exports[late["id"]] == {other: True}


async def test_quotas_and_nonsense_are_refused(scene: Scene) -> None:
    for asked, status in (
        ({"size": 1, "share_proto": "AFS"}, 400),
        ({"size": 0, "share_proto": "NFS"}, 400),
        ({"size": 1001, "share_proto": "NFS"}, 413),
        ({"size": 1, "share_proto": "NFS", "share_type": "gold"}, 404),
    ):
        await call(scene, "POST", SHARES, {"share": asked}, status)
    assert (await scene.other.call("GET", f"{SHARES}/{await a_share(scene)}", headers=HEADERS)).status == 404


@pytest.mark.parametrize("sets", ["/share/v2/quota-sets/{}/detail", "/volume/v3/os-quota-sets/{}?usage=true"])
async def test_a_quota_set_tells_its_own_project_what_is_used_and_lets_an_admin_change_it(
    scene: Scene, sets: str
) -> None:
    project_id = scene.hub.project_id
    own = sets.format(project_id)
    gigabytes = (await call(scene, "GET", own))["quota_set"]["gigabytes"]
    assert (gigabytes["in_use"], gigabytes["reserved"]) == (0, 0)
    plain = own.removesuffix("/detail").removesuffix("?usage=true")
    await call(scene, "PUT", plain, {"quota_set": {"gigabytes": 5}}, 403)
    assert (await scene.other.call("GET", own, headers=HEADERS)).status == 403
    await scene.admin.call("PUT", plain, {"quota_set": {"gigabytes": 5}}, headers=HEADERS)
    assert (await call(scene, "GET", plain))["quota_set"]["gigabytes"] == 5


async def test_a_share_gets_stuck_or_fails_as_the_script_says(scene: Scene) -> None:
    rule = {
        "name": "s",
        "match": {"operation": "share.shares.create"},
        "effect": {"error": "x", "error_phase": "share"},
    }
    await scene.nobody.call("POST", "/devcloud/faults", rule)
    asked = {"share": {"size": 1, "share_proto": "NFS"}}
    await shows(scene, (await call(scene, "POST", SHARES, asked))["share"]["id"], "error")
    await scene.nobody.call("POST", "/devcloud/faults", {**rule, "effect": {"stuck": "share"}})
    await shows(scene, (await call(scene, "POST", SHARES, asked))["share"]["id"], "creating")


@pytest.fixture
async def real() -> AsyncIterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="js2-shares-") as name:
        Path(name).chmod(0o711)
        async with devcloud(Path(name) / "cloud", machines=Machines, boot_seconds=3600) as scene:
            yield scene


@needs_root
async def test_the_machines_themselves_know_what_they_may_mount(real: Scene) -> None:
    share_id = await a_share(real)
    servers = [await real.hub.active(name) for name in ("writes", "reads")]
    for server, level in zip(servers, ("rw", "ro"), strict=True):
        await allow(real, share_id, server["addresses"]["auto_allocated_network"][0]["addr"], level)
    folder = real.cloud.settings.directory / "machines"
    told = [await asyncio.to_thread(exported, folder / server["id"]) for server in servers]
    assert told == [{share_id: False}, {share_id: True}]
