"""An instance of the base, for nobody: found by its marks whatever becomes of us, in a group that lets nobody in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError
from js2spawner.cloud.records import Image, NewServer, Server
from js2spawner.library import properties
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.derived.settings import AUTO_NETWORK, Settings
from js2spawner.library.derived.waiting import seen
from js2spawner.library.scratch.tools import CannotBuild

BUILDER = "js2_builder"
ATTEMPT = "js2_attempt"
EXPIRES = "js2_expires"
PURPOSE = "js2_purpose"
BUILDING = "image-build"


@dataclass(frozen=True, slots=True)
class Marks:
    """What everything of one build carries in the cloud: whose it is, of which image, and when it must be gone."""

    builder: str
    image: str
    build: str
    attempt: str
    expires: datetime

    @property
    def tag(self) -> str:
        return tag_of(self.builder)

    @property
    def name(self) -> str:
        return f"js2-build-{self.image}-{self.attempt[-6:]}"

    @property
    def group(self) -> str:
        return group_of(self.builder, self.image)

    @property
    def metadata(self) -> dict[str, str]:
        return {
            PURPOSE: BUILDING,
            BUILDER: self.builder,
            ATTEMPT: self.attempt,
            EXPIRES: self.expires.astimezone(UTC).isoformat(timespec="seconds"),
            properties.IMAGE: self.image,
            properties.BUILD: self.build,
        }


def tag_of(builder: str) -> str:
    """The Nova tag of one builder's instances."""
    return f"js2-builder-{builder}"


def group_of(builder: str, image: str) -> str:
    """One name for all builds of an image by one builder, of which there is one at a time: so the next one finds it."""
    return f"js2-build-{builder[:8]}-{image}"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a definition's base and settings are in this cloud."""

    base: Image
    flavor_id: str
    network_id: str

    @property
    def holds_guest(self) -> bool:
        """Whether the base is one of ours, which starts the guest program by itself."""
        return properties.IMAGE in self.base.properties


async def survey(cloud: Cloud, definition: Definition, settings: Settings) -> Ground:
    """Look up base, flavor and network. Raises CannotBuild for what is not there, CloudError."""
    assert isinstance(definition.base, Derived)
    base = newest(await cloud.images.list(name=definition.base.image), definition.base.image)
    if base is None:
        raise CannotBuild(
            f"{definition.name}: cloud {cloud.name} has no usable image named {definition.base.image!r}; set base.cloud"
            " to one that `openstack image list` shows as active."
        )
    wanted = settings.flavor or definition.smallest
    flavor = next((each for each in await cloud.compute.flavors() if each.name == wanted and not each.disabled), None)
    if flavor is None:
        raise CannotBuild(
            f"{definition.name}: cloud {cloud.name} has no flavor {wanted!r}; name another with --flavor."
        )
    if settings.network == AUTO_NETWORK:
        network = await cloud.network.get_me_a_network()
    else:
        network = await cloud.network.find_network(settings.network)
    return Ground(base, flavor.id, network.id)


def newest(images: Sequence[Image], name: str) -> Image | None:
    """The same name is published again and again; the newest that can be launched is meant.

    A public one first, which takes an operator of the cloud: what is made of the base we sign, and everybody on the
    allocation can make an image of that name.
    """
    usable = [
        image
        for image in images
        if image.name == name and image.status == "active" and image.properties.get(PURPOSE) != BUILDING
    ]
    return max(usable, key=lambda image: (image.visibility == "public", image.created), default=None)


async def launch(cloud: Cloud, ground: Ground, marks: Marks, user_data: str, settings: Settings) -> Server:
    """Ask for the instance and wait until it is on and has an address. Raises CannotBuild, CloudError."""
    # No rule at all: it may reach out, to packages and to us, and nobody reaches it.
    group = await cloud.network.ensure_group(marks.group, "An image is being built; nobody is let in.", [])
    new = NewServer(
        name=marks.name,
        image_id=ground.base.id,
        flavor_id=ground.flavor_id,
        network_id=ground.network_id,
        security_groups=(group.id,),
        metadata=marks.metadata,
        tags=(marks.tag,),
        user_data=user_data,
        description=f"Becomes a version of image {marks.image}; deleted when it is saved.",
    )
    try:
        server_id = await cloud.compute.create_server(new)
    except CloudError as error:
        if error.certain:
            raise
        server_id = await _look_up(cloud, marks, settings, error)
    return await _up(cloud, server_id, settings)


async def _look_up(cloud: Cloud, marks: Marks, settings: Settings, error: CloudError) -> str:
    """A create whose answer was lost may have worked; asked again, there might be two."""

    async def look() -> str | None:
        servers = await cloud.compute.list_servers(tag=marks.tag)
        return next((server.id for server in servers if server.metadata.get(ATTEMPT) == marks.attempt), None)

    patience = settings.patience
    found = await seen(look, patience.look_up_s, patience.look_every_s)
    if found is None:
        raise error
    return found


async def _up(cloud: Cloud, server_id: str, settings: Settings) -> Server:
    async def look() -> Server | None:
        server = await cloud.compute.get_server(server_id)
        if server.status == "ERROR":
            why = server.fault.message if server.fault else "Nova gives no reason"
            raise CannotBuild(f"the instance could not be made ({why})")
        return server if server.status == "ACTIVE" and server.addresses else None

    patience = settings.patience
    server = await seen(look, patience.create_s, patience.look_every_s)
    if server is None:
        raise CannotBuild(f"the instance was not built within {patience.create_s:.0f} s")
    return server
