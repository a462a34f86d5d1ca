"""What an instance learns about itself: the metadata service's documents, and the same as files on a config drive.

OpenStack's own paths and Amazon's older ones (Nova's documentation, "Metadata service" and "Config drives").
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from pathlib import Path

from aiohttp import web

from js2spawner.devcloud.hypervisor import MachineSpec

OPENSTACK_VERSIONS: tuple[str, ...] = (
    *("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22"),
    *("2018-08-27", "2020-10-14", "latest"),
)
EC2_VERSIONS = ("1.0", "2007-01-19", "2008-02-01", "2009-04-04", "latest")
ZONE = "nova"
# Nova's own bound on what a guest may post there (nova.api.metadata.password.MAX_SIZE).
PASSWORD_LIMIT_BYTES = 1024

Lookup = Callable[[str], MachineSpec | None]


def hostname(spec: MachineSpec) -> str:
    """The name as a host name: Nova turns whatever does not belong into dashes and cuts at 63 characters."""
    letters = "".join(character if character.isascii() and character.isalnum() else "-" for character in spec.name)
    return letters[:63].strip("-").lower() or f"server-{spec.server_id}"


def openstack_documents(spec: MachineSpec) -> dict[str, bytes]:
    """The files below /openstack/<version>/, by name; there is no `user_data` if none was given."""
    documents: dict[str, object] = {
        "meta_data.json": _meta_data(spec),
        "network_data.json": _network_data(spec),
        "vendor_data.json": {},
        "vendor_data2.json": {},
    }
    encoded = {name: json.dumps(content).encode() for name, content in documents.items()}
    return encoded | ({"user_data": spec.user_data} if spec.user_data else {})


def write_config_drive(folder: Path, spec: MachineSpec) -> None:
    """The documents as the files a config drive holds, readable by root alone."""
    latest = folder / "openstack" / "latest"
    latest.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in openstack_documents(spec).items():
        file = latest / name
        file.touch(mode=0o600)
        file.write_bytes(content)


def _meta_data(spec: MachineSpec) -> dict[str, object]:
    content: dict[str, object] = {
        "uuid": spec.server_id,
        "name": spec.name,
        "hostname": f"{hostname(spec)}.novalocal",
        "launch_index": 0,
        "availability_zone": ZONE,
        "project_id": spec.project_id,
        # The same at every look and every boot, as Nova's is, and no secret: it only has to differ between instances.
        "random_seed": base64.b64encode(hashlib.shake_256(spec.server_id.encode()).digest(512)).decode(),
        "devices": [],
        "dedicated_cpus": [],
    }
    if spec.metadata:
        content["meta"] = dict(spec.metadata)
    if spec.key is not None:
        content["public_keys"] = {"key": spec.key}
        content["keys"] = [{"name": "key", "type": "ssh", "data": spec.key}]
    return content


def _network_data(spec: MachineSpec) -> dict[str, object]:
    link = {"id": "tap0", "type": "ovs", "ethernet_mac_address": spec.mac, "mtu": 65536, "vif_id": spec.server_id}
    network = IPv4Network("127.0.0.0/8")
    address = {
        "id": "network0",
        "type": "ipv4",
        "link": "tap0",
        "ip_address": spec.address,
        "netmask": str(network.netmask),
        "network_id": spec.project_id,
        "routes": [],
    }
    return {"links": [link], "networks": [address], "services": []}


def _ec2_documents(spec: MachineSpec) -> dict[str, str]:
    documents = {
        "ami-id": f"ami-{spec.image_id[:8]}",
        "ami-launch-index": "0",
        "hostname": f"{hostname(spec)}.novalocal",
        "instance-id": f"i-{hashlib.sha256(spec.server_id.encode()).hexdigest()[:8]}",
        "instance-type": spec.flavor_name,
        "local-hostname": f"{hostname(spec)}.novalocal",
        "local-ipv4": spec.address,
        "placement/availability-zone": ZONE,
        "public-ipv4": "",
        "reservation-id": f"r-{spec.server_id[:8]}",
    }
    return documents | ({"public-keys/0/openssh-key": spec.key} if spec.key is not None else {})


def _listing(names: Mapping[str, object], below: str) -> str | None:
    """The entries of one folder, as the service lists them; None if there is no such folder."""
    prefix = f"{below.strip('/')}/" if below.strip("/") else ""
    rest = sorted({name[len(prefix) :] for name in names if name.startswith(prefix)})
    entries = dict.fromkeys(head + slash for head, slash, _ in (name.partition("/") for name in rest))
    return "\n".join(entries) or None


def metadata_app(lookup: Lookup) -> web.Application:
    """The service. Who asks is known by the source address alone; a stranger is told that there is nothing (404)."""
    desk = _Desk(lookup)
    app = web.Application(client_max_size=PASSWORD_LIMIT_BYTES)
    app.router.add_get("/openstack", desk.openstack_versions)
    app.router.add_get("/openstack/", desk.openstack_versions)
    app.router.add_get("/openstack/{version}/password", desk.password)
    app.router.add_post("/openstack/{version}/password", desk.set_password)
    app.router.add_get("/openstack/{version}{name:/?.*}", desk.openstack)
    app.router.add_get("/{version}/user-data", desk.user_data)
    app.router.add_get("/{version}/meta-data{name:/?.*}", desk.ec2)
    app.router.add_get("/", desk.ec2_versions)
    return app


class _Desk:
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._passwords: dict[str, bytes] = {}

    def _instance(self, request: web.Request, versions: tuple[str, ...]) -> MachineSpec:
        spec = self._lookup(request.remote or "")
        if spec is None or request.match_info.get("version", "latest") not in versions:
            raise web.HTTPNotFound
        return spec

    async def openstack_versions(self, request: web.Request) -> web.Response:
        self._instance(request, OPENSTACK_VERSIONS)
        return web.Response(text="\n".join(OPENSTACK_VERSIONS))

    async def openstack(self, request: web.Request) -> web.Response:
        documents = openstack_documents(self._instance(request, OPENSTACK_VERSIONS))
        name = request.match_info["name"].strip("/")
        if not name:
            return web.Response(text="\n".join(sorted([*documents, "password"])))
        if name not in documents:
            raise web.HTTPNotFound
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        return web.Response(body=documents[name], content_type=kind)

    async def password(self, request: web.Request) -> web.Response:
        spec = self._instance(request, OPENSTACK_VERSIONS)
        return web.Response(body=self._passwords.get(spec.server_id, b""))

    async def set_password(self, request: web.Request) -> web.Response:
        """Written once in the life of the instance; Nova answers a second try with 409 as well."""
        spec = self._instance(request, OPENSTACK_VERSIONS)
        if self._passwords.get(spec.server_id):
            raise web.HTTPConflict
        body = await request.read()
        # Asked again, for the body was awaited.
        if self._passwords.setdefault(spec.server_id, body) is not body:
            raise web.HTTPConflict
        return web.Response()

    async def user_data(self, request: web.Request) -> web.Response:
        spec = self._instance(request, EC2_VERSIONS)
        if not spec.user_data:
            raise web.HTTPNotFound
        return web.Response(body=spec.user_data, content_type="application/octet-stream")

    async def ec2_versions(self, request: web.Request) -> web.Response:
        self._instance(request, EC2_VERSIONS)
        return web.Response(text="\n".join(EC2_VERSIONS))

    async def ec2(self, request: web.Request) -> web.Response:
        documents = _ec2_documents(self._instance(request, EC2_VERSIONS))
        name = request.match_info["name"].strip("/")
        text = documents.get(name, _listing(documents, name))
        if text is None:
            raise web.HTTPNotFound
        return web.Response(text=text)
