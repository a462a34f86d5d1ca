"""Projects of our own on the real services, so that no test meets another's quota, tokens or instances.

Neutron takes a subnet of loopback when no DHCP is wanted for it. What has an address there can be played on this very
machine (player.py), and the hub reaches it as it reaches an instance.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tests.browser.whole import until
from tests.openstack.place import Place
from tests.openstack.relay import Relay

CATALOG = Path(__file__).with_name("catalog.yaml")
GONE_WITHIN_S = 120
# More gigabytes than any hypervisor has, and nothing that a quota counts.
_DISK_OF_NO_HOST_GB = 2_000_000
_REGION = "RegionOne"

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """One project: its id, its one user's, and its network's."""

    id: str
    user_id: str
    network_id: str


@dataclass(frozen=True, slots=True)
class Estate:
    """What a test may do with as it likes: a project for the hub and one for strangers."""

    name: str
    people: Place
    own: Project
    other: Project

    def connection(self, entry: str) -> Connection:
        return connect(self.people, entry)

    def catalog(self, directory: Path, template: Path = CATALOG) -> Path:
        """A catalog for a hub on this estate."""
        directory.mkdir(parents=True, exist_ok=True)
        written = directory / "catalog.yaml"
        words = {"cloud": self.people.member, "estate": self.name}
        written.write_text(Template(template.read_text()).substitute(words))
        return written

    def introduce(self, other: Estate) -> None:
        """Put another estate's hub into the clouds.yaml of this one's, so that one hub has both."""
        self._amend(other.people.member, other.people.entry(other.people.member))

    @contextmanager
    def ways(self) -> Iterator[tuple[Relay, ...]]:
        """Ways of its own for the hub, from its start on, to every service that it uses, Keystone included."""
        owner = self.connection(self.people.user)
        auth = self.people.entry(self.people.member)["auth"]
        with ExitStack() as ways:
            identity = ways.enter_context(Relay(auth["auth_url"]))
            found = {
                kind: ways.enter_context(Relay(owner.session.get_endpoint(service_type=kind, interface="public")))
                for kind in ("compute", "network", "image", "block-storage")
            }
            overrides = {f"{kind.replace('-', '_')}_endpoint_override": way.url for kind, way in found.items()}
            self._amend(self.people.member, {"auth": {**auth, "auth_url": identity.url}, **overrides})
            yield (identity, *found.values())

    @contextmanager
    def relay(self, service: str, *others: str) -> Iterator[Relay]:
        """A way of its own to a service (`compute`) for the hub, from its next sign-in on, and for other entries."""
        url = self.connection(self.people.user).session.get_endpoint(service_type=service, interface="public")
        with Relay(url) as relay:
            for entry in (self.people.member, *others):
                self._amend(entry, {f"{service.replace('-', '_')}_endpoint_override": relay.url})
            yield relay

    def delete_credential(self) -> None:
        """Delete the hub's application credential, as its owner may at any time."""
        owner = self.connection(self.people.user)
        known = self.people.entry(self.people.member)["auth"]["application_credential_id"]
        owner.identity.delete_application_credential(owner.current_user_id, known)

    def replace_credential(self) -> None:
        """Put a new application credential into the hub's clouds.yaml, as its operator would."""
        credential = _credential(self.connection(self.people.user), self.name)
        auth = self.people.entry(self.people.member)["auth"]
        self._amend(self.people.member, {"auth": {**auth, **credential}})

    def _amend(self, entry: str, change: Entry) -> None:
        clouds = yaml.safe_load(self.people.clouds_yaml.read_text())["clouds"]
        _write(self.people, {**clouds, entry: {**clouds.get(entry, {}), **change}})


def connect(place: Place, entry: str) -> Connection:
    config = OpenStackConfig(config_files=[str(place.clouds_yaml)], load_envvars=False)
    return Connection(config=config.get_one(entry))


@contextmanager
def estate(place: Place, directory: Path) -> Iterator[Estate]:
    """Made for as long as the block lasts, by the admin of `place`. Its clouds.yaml is below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    name = f"m-{secrets.token_hex(3)}"
    people = Place(directory / "clouds.yaml", name)
    admin_entry = place.entry(place.admin)
    auth_url = admin_entry["auth"]["auth_url"]
    admin = connect(place, place.admin)
    with ExitStack() as afterwards:
        entries: dict[str, Entry] = {people.admin: admin_entry}
        for entry in (people.user, people.other):
            entries[entry] = _person(admin, entry, auth_url, afterwards)
        _write(people, entries)
        own, other = (_settle(connect(people, entry), admin, name, afterwards) for entry in (people.user, people.other))
        _flavor_of_no_host(admin, name, own.id, afterwards)
        credential = _credential(connect(people, people.user), name)
        entries[people.member] = {
            "auth_type": "v3applicationcredential",
            "auth": {"auth_url": auth_url, **credential},
            "region_name": _REGION,
        }
        _write(people, entries)
        yield Estate(name, people, own, other)


def _person(admin: Connection, name: str, auth_url: str, afterwards: ExitStack) -> Entry:
    """An unprivileged member of a project of the same name, as an entry of clouds.yaml."""
    identity, password = admin.identity, secrets.token_urlsafe(16)
    project = identity.create_project(name=name, domain_id="default")
    afterwards.callback(identity.delete_project, project)
    user = identity.create_user(name=name, password=password, domain_id="default", default_project_id=project.id)
    afterwards.callback(identity.delete_user, user)
    identity.assign_project_role_to_user(project, user, identity.find_role("member"))
    auth = {"auth_url": auth_url, "username": name, "password": password, "project_name": name}
    return {"auth": {**auth, "user_domain_id": "default", "project_domain_id": "default"}, "region_name": _REGION}


def _settle(person: Connection, admin: Connection, name: str, afterwards: ExitStack) -> Project:
    """A network of loopback and an image for a person's project, made by the person and removed by the admin."""
    project_id = person.current_project_id
    afterwards.callback(_remove_groups, admin, project_id)
    network = person.network.create_network(name=name)
    afterwards.callback(_remove_network, admin, network.id)
    person.network.create_subnet(
        network_id=network.id, name=name, ip_version=4, cidr=_some_loopback(), enable_dhcp=False, gateway_ip=None
    )
    image = person.image.create_image(name, data=b"\0" * 1024, disk_format="raw", container_format="bare", wait=True)
    afterwards.callback(admin.image.delete_image, image.id)
    afterwards.callback(_remove_volumes, admin, project_id)
    afterwards.callback(_remove_servers, admin, project_id)
    return Project(project_id, person.current_user_id, network.id)


def _some_loopback() -> str:
    # Apart from 127.0.0.0/16, where everybody's listeners are.
    return f"127.{80 + secrets.randbelow(40)}.{secrets.randbelow(256)}.0/24"


def _flavor_of_no_host(admin: Connection, name: str, project_id: str, afterwards: ExitStack) -> None:
    compute = admin.compute
    flavor = compute.create_flavor(name=name, vcpus=1, ram=512, disk=_DISK_OF_NO_HOST_GB, is_public=False)
    afterwards.callback(compute.delete_flavor, flavor)
    compute.flavor_add_tenant_access(flavor, project_id)


def _credential(owner: Connection, name: str) -> Entry:
    made = owner.identity.create_application_credential(owner.current_user_id, f"{name}-{secrets.token_hex(3)}")
    return {"application_credential_id": made.id, "application_credential_secret": made.secret}


def _write(people: Place, entries: Mapping[str, Entry]) -> None:
    people.clouds_yaml.touch(mode=0o600)
    people.clouds_yaml.write_text(yaml.safe_dump({"clouds": {name: dict(entry) for name, entry in entries.items()}}))


def _remove_servers(admin: Connection, project_id: str) -> None:
    def left() -> list[Any]:
        return list(admin.compute.servers(all_projects=True, project_id=project_id))

    for server in left():
        admin.compute.delete_server(server)
    until(lambda: not left(), "every instance of the estate is gone", GONE_WITHIN_S)


def _remove_volumes(admin: Connection, project_id: str) -> None:
    for volume in admin.block_storage.volumes(all_projects=True, project_id=project_id):
        # Whatever state a test left it in.
        admin.block_storage.delete_volume(volume, force=True)


def _remove_network(admin: Connection, network_id: str) -> None:
    for port in admin.network.ports(network_id=network_id):
        admin.network.delete_port(port)
    admin.network.delete_network(network_id)


def _remove_groups(admin: Connection, project_id: str) -> None:
    for group in admin.network.security_groups(project_id=project_id):
        admin.network.delete_security_group(group)
