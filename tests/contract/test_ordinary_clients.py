"""The ordinary clients of OpenStack, unmodified, do the same work on both clouds and see the same."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.contract.client import VERSION, Client, Seen
from tests.contract.clouds import Cloud
from tests.contract.ordinary_script import KEY
from tests.contract.ordinary_shell import Shell, environment, once, program, shell

SCRIPT = Path(__file__).parent / "ordinary_script.py"

# What a cloud decides for itself: its flavors and images, its passwords and tokens, what a console says.
_OWN = (
    "adminPass", "admin_password", "catalog list", "console log show contract-shell-server", "disk", "flavor list",
    "id of token", "image list", "min_disk", "network list", "ram",
)  # fmt: skip
# A pretended hypervisor uploads nothing: there a server's image stays `queued`, and without size and formats.
_OF_UPLOADED_IMAGES = ("checksum", "container_format", "disk_format", "size", "status", "virtual_size")


async def test_the_command_line_does_ordinary_work(cloud: Cloud, answer: Callable[..., None], tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    places = environment(cloud.clouds_yaml, cloud.entries["member"], OS_COMPUTE_API_VERSION=VERSION)
    async with noted(cloud.member, "contract-shell-"), shell(places) as openstack:
        await _look_around(openstack, seen, cloud)
        await _make_small_things(openstack, seen, tmp_path)
        await _run_a_server(openstack, seen, cloud)
        await _use_a_volume(openstack, seen)
        await _rest_and_wake(openstack, seen)
        await _take_all_away(openstack, seen)
    answer("ordinary-command-line", Seen(200, {}, seen), loose=_OWN)


async def test_the_command_line_ends_with_a_status(cloud: Cloud) -> None:
    places = environment(cloud.clouds_yaml, cloud.entries["member"])
    status, printed, _ = await once(places, program(), "token", "issue", "-f", "value", "-c", "project_id")
    assert (status, printed.strip()) == (0, cloud.member.project_id)
    status, _, complained = await once(places, program(), "server", "show", "contract-nothing")
    assert (status, complained.strip()) == (1, "No Server found for contract-nothing")


async def test_a_script_does_ordinary_work(cloud: Cloud, answer: Callable[..., None]) -> None:
    names = {"IMAGE": cloud.words["<image>"], "FLAVOR": cloud.words["<flavor>"], "NETWORK": cloud.words["<network>"]}
    places = environment(
        cloud.clouds_yaml,
        cloud.entries["member"],
        **names,
        EXTERNAL=cloud.names.external_network,
        PREFIX="contract-script",
    )
    async with noted(cloud.member, "contract-script-"):
        status, printed, complained = await once(places, sys.executable, SCRIPT)
    assert status == 0, complained
    answer("ordinary-script", Seen(200, {}, json.loads(printed)), loose=_OWN)


async def test_the_command_line_says_why_it_cannot_sign_in(cloud: Cloud, tmp_path: Path) -> None:
    entry = cloud.entry("member")
    wrong = {**entry, "auth": {**entry["auth"], "application_credential_id": "nope"}}
    clouds_yaml = tmp_path / "clouds.yaml"
    clouds_yaml.write_text(json.dumps({"clouds": {"wrong": wrong}}))
    ended, _, complained = await once(environment(clouds_yaml, "wrong"), program(), "token", "issue")
    assert ended == 1
    assert "Could not find Application Credential: nope. (HTTP 404)" in complained


async def _look_around(openstack: Shell, seen: dict[str, Any], cloud: Cloud) -> None:
    token = await openstack.shows("token issue")
    seen["token issue"] = {**token, "id": None, "id of token": token["id"]}
    for line in ("catalog list", "flavor list", "image list", "network list"):
        seen[line] = await openstack.shows(line)
    seen["flavor show"] = await openstack.shows(f"flavor show {cloud.words['<flavor>']}")
    seen["server show nothing"] = await openstack.says("server show contract-nothing")


async def _make_small_things(openstack: Shell, seen: dict[str, Any], tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.write_text(f"{KEY}\n")
    seen["keypair create"] = await openstack.shows(f"keypair create --public-key {key} contract-shell-key")
    rule = "security group rule create --protocol tcp --dst-port 8888 --remote-ip 192.0.2.7/32 contract-shell-group"
    seen["security group create"] = _ordered(await openstack.shows("security group create contract-shell-group"))
    seen["security group rule create"] = await openstack.shows(rule)
    seen["security group rule create again"] = await openstack.says(rule)
    seen["security group show"] = _ordered(await openstack.shows("security group show contract-shell-group"))
    seen["volume create"] = await openstack.shows("volume create --size 1 --property user=alice contract-shell-volume")


async def _run_a_server(openstack: Shell, seen: dict[str, Any], cloud: Cloud) -> None:
    words = cloud.words
    seen["server create"] = await openstack.shows(
        f"server create --image {words['<image>']} --flavor {words['<flavor>']} --network {words['<network>']} "
        "--key-name contract-shell-key --security-group contract-shell-group --property owner=alice "
        "--tag contract-shell-tag --wait contract-shell-server"
    )
    for line in (
        "server show contract-shell-server",
        "server list --name contract-shell-server",
        "server list --tags contract-shell-tag",
        "port list --server contract-shell-server",
    ):
        seen[line] = await openstack.shows(line)
    seen["console log show contract-shell-server"] = await openstack.says("console log show contract-shell-server")
    seen["security group delete in use"] = await openstack.says("security group delete contract-shell-group")


async def _use_a_volume(openstack: Shell, seen: dict[str, Any]) -> None:
    await openstack.until("volume show contract-shell-volume", status="available")
    seen["server add volume"] = await openstack.shows("server add volume contract-shell-server contract-shell-volume")
    await openstack.until("volume show contract-shell-volume", status="in-use")
    for line in ("volume list --name contract-shell-volume", "server volume list contract-shell-server"):
        seen[line] = await openstack.shows(line)
    seen["volume delete in use"] = await openstack.says("volume delete contract-shell-volume")
    seen["server remove volume"] = await openstack.says(
        "server remove volume contract-shell-server contract-shell-volume"
    )
    await openstack.until("volume show contract-shell-volume", status="available")


async def _rest_and_wake(openstack: Shell, seen: dict[str, Any]) -> None:
    await openstack.says("server stop contract-shell-server")
    await openstack.until_server("contract-shell-server", "SHUTOFF")
    seen["server stop again"] = await openstack.says("server stop contract-shell-server")
    await openstack.says("server image create --name contract-shell-image contract-shell-server")
    image = await openstack.shows("image show contract-shell-image")
    seen["image show"] = {key: value for key, value in image.items() if key not in _OF_UPLOADED_IMAGES}
    seen["image show"]["properties"] = sorted(set(image["properties"]) & {"base_image_ref", "image_type", "stores"})
    await openstack.until_server("contract-shell-server", "SHUTOFF")
    await openstack.says("server start contract-shell-server")
    await openstack.until_server("contract-shell-server", "ACTIVE")
    seen["server shelve"] = await openstack.says("server shelve --wait contract-shell-server")
    await openstack.until_server("contract-shell-server", "SHELVED_OFFLOADED")
    seen["server unshelve"] = await openstack.says("server unshelve --wait contract-shell-server")
    seen["server set"] = await openstack.says("server set --property desk=3 contract-shell-server")
    seen["server show at last"] = await openstack.shows("server show contract-shell-server")
    seen["server event list"] = await openstack.shows("server event list contract-shell-server")


async def _take_all_away(openstack: Shell, seen: dict[str, Any]) -> None:
    for line in (
        "server delete --wait contract-shell-server",
        "server show contract-shell-server",
        "image delete contract-shell-image",
        "volume delete contract-shell-volume",
        "security group delete contract-shell-group",
        "keypair delete contract-shell-key",
        "keypair show contract-shell-key",
    ):
        seen[line] = await openstack.says(line)


def _ordered(group: dict[str, Any]) -> dict[str, Any]:
    """Neutron lists rules in the order of their random ids, and now and then shows more of them than it wants to."""
    leaks = ("standard_attr_id", "belongs_to_default_sg")
    rules = [{key: value for key, value in rule.items() if key not in leaks} for rule in group["rules"]]
    rules.sort(key=lambda rule: (rule["direction"], rule["ethertype"]))
    return {**group, "rules": rules}


@asynccontextmanager
async def noted(member: Client, prefix: str) -> AsyncIterator[None]:
    """What the block leaves behind in the cloud under names with this prefix is deleted with what the test made."""
    try:
        yield
    finally:
        # In this order, since the last one noted is deleted first.
        for path, key, identity in (
            ("/compute/v2.1/os-keypairs", "keypairs", "name"),
            ("/network/v2.0/security-groups", "security_groups", "id"),
            ("/network/v2.0/ports", "ports", "id"),
            ("/volume/v3/volumes", "volumes", "id"),
            ("/image/v2/images", "images", "id"),
            ("/compute/v2.1/servers", "servers", "id"),
        ):
            for thing in (await member.get(path))[key]:
                thing = thing.get("keypair", thing)
                if (thing["name"] or "").startswith(prefix):
                    member.ledger.note(member, f"{path}/{thing[identity]}")
