"""One region as the fleet uses it: its cloud, the catalog's names resolved to ids, what has room, our security group.

What changes rarely (images, flavors, network, group) is asked for rarely and by nobody's start: a start that finds
the answer fresh costs no call of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import Region
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import BadFlavor, BadImage, CloudError
from js2spawner.cloud.records import Flavor, Image, Limits, SecurityGroupRule
from js2spawner.library.signing import NO_KEYS, PublicKeys
from js2spawner.options import Choice, Offer
from js2spawner.resolving import resolve, resolved

T = TypeVar("T")

NOTEBOOK_PORT = 8888
_CONSOLE_MOST = 16 * 1024

IMAGES_FRESH_S = 60.0
"""How long a promotion of the library's images may go unnoticed by a start."""

_FRESH_S = 300.0


@dataclass(slots=True)
class Kept(Generic[T]):
    """One answer kept for `fresh_s` seconds, one question in flight for all who ask; an old one outlives trouble."""

    ask: Callable[[], Awaitable[T]]
    fresh_s: float
    clock: Callable[[], float]
    _value: T | None = None
    _at: float = float("-inf")
    _asking: asyncio.Task[T] | None = field(default=None, repr=False)

    async def get(self) -> T:
        """A fresh answer. Raises CloudError when the cloud gives none."""
        if self._value is not None and self.clock() - self._at < self.fresh_s:
            return self._value
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._refresh())
            # Nobody may be left waiting (a cancelled start): the result is still fetched, so nothing goes unheard.
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._asking)

    @property
    def last(self) -> T | None:
        """The last answer, however old; None before the first."""
        return self._value

    async def _refresh(self) -> T:
        self._value = await self.ask()
        self._at = self.clock()
        return self._value


@dataclass(frozen=True, slots=True)
class Ids:
    """A choice in OpenStack's ids."""

    image_id: str
    flavor_id: str
    network_id: str
    security_groups: tuple[str, ...]


class RegionDesk:
    """What the fleet knows of one region of the catalog."""

    def __init__(
        self,
        region: Region,
        cloud: Cloud,
        catalog: Catalog,
        *,
        hub_id: str,
        hub_cidrs: tuple[str, ...],
        clock: Callable[[], float],
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
        image_keys: PublicKeys = NO_KEYS,
    ) -> None:
        self.region = region
        self.cloud = cloud
        self._catalog = catalog
        self._hub_id = hub_id
        self._hub_cidrs = hub_cidrs
        self._clock = clock
        self._log = log
        self.image_keys = image_keys
        self._full_since: dict[str, float] = {}
        # A lone start would pay for each list; where nothing is promoted, a name in Glance may wait a little.
        promotes = any(entry.library for entry in catalog.images)
        self._images = Kept(cloud.images.list, IMAGES_FRESH_S if promotes else _FRESH_S, clock)
        self._flavors = Kept(cloud.compute.flavors, _FRESH_S, clock)
        self._limits = Kept(cloud.compute.limits, 15, clock)
        self._network = Kept(self._find_network, 3600, clock)
        self._group = Kept(self._ensure_group, 3600, clock)

    async def ids(self, choice: Choice) -> Ids:
        """The choice in ids.

        Raises BadImage (ImageChanged, ImageNotPublished), BadFlavor, BadNetwork, or what the cloud answered.
        """
        images, flavors, network_id, group = await asyncio.gather(
            self._images.get(), self._flavors.get(), self._network.get(), self._group.get()
        )
        try:
            # A saved image was asked for by its id a moment ago; the list may be older than it is.
            image = choice.saved.image if choice.saved else resolve(choice.image, images, self.image_keys)
        except BadImage as error:
            self._log.error("region %s: image %s: %s", self.region.name, choice.image.name, error.detail)
            raise
        flavor = next((f for f in flavors if f.name == choice.flavor.name and not f.disabled), None)
        if flavor is None:
            raise BadFlavor(f"no flavor named {choice.flavor.name!r} in region {self.region.name}")
        return Ids(image.id, flavor.id, network_id, (group,))

    async def offer(self, typical: Mapping[tuple[str, str], tuple[float, float]], *, patience_s: float) -> Offer:
        """What can be had here, for the form: never raises; after `patience_s` the last known answers serve."""
        answers = asyncio.gather(self._images.get(), self._flavors.get(), self._limits.get())
        known = True
        try:
            await asyncio.wait_for(answers, patience_s)
        except (CloudError, TimeoutError) as error:
            self._log.warning("region %s: offering what was known before: %s", self.region.name, error)
            known = self._images.last is not None and self._flavors.last is not None
        return self._offer(self._images.last or [], self._flavors.last or [], self._limits.last, typical, known)

    async def images(self) -> list[Image]:
        """The images of this region, as fresh as starts see them. Raises CloudError."""
        return await self._images.get()

    async def console(self, server_id: str, lines: int) -> str:
        """The end of an instance's console log, bounded; empty when the cloud gives none (it may be gone already)."""
        try:
            return (await self.cloud.compute.console_log(server_id, lines=lines))[-_CONSOLE_MOST:]
        except CloudError:
            return ""

    def no_room(self, flavor: str) -> None:
        """The cloud had no capacity for this flavor just now."""
        self._full_since[flavor] = self._clock()

    def had_room(self, flavor: str) -> None:
        """An instance of this flavor was built just now."""
        self._full_since.pop(flavor, None)

    def _offer(
        self,
        images: list[Image],
        flavors: list[Flavor],
        limits: Limits | None,
        typical: Mapping[tuple[str, str], tuple[float, float]],
        known: bool,
    ) -> Offer:
        found = {entry.name: resolved(entry, images, self.image_keys) for entry in self._catalog.images}
        return Offer(
            flavors={flavor.name: flavor for flavor in flavors if not flavor.disabled},
            images={name: image for name, image in found.items() if image is not None},
            limits=limits,
            full_since={name: datetime.fromtimestamp(at, UTC) for name, at in self._full_since.items()},
            typical_s=typical,
            known=known,
        )

    async def _find_network(self) -> str:
        if self.region.network == "auto_allocated_network":
            # Neutron makes it when a project first asks for it, and then always gives the same one.
            return (await self.cloud.network.get_me_a_network()).id
        return (await self.cloud.network.find_network(self.region.network)).id

    async def _ensure_group(self) -> str:
        rules = [_admit(cidr, NOTEBOOK_PORT) for cidr in self._hub_cidrs]
        group = await self.cloud.network.ensure_group(
            f"{self.region.security_group}-{self._hub_id[:8]}",
            "Instances of a JupyterHub: only the hub reaches the notebook.",
            rules,
        )
        return group.id


def _admit(cidr: str, port: int) -> SecurityGroupRule:
    return SecurityGroupRule("", "ingress", "IPv4", "tcp", port, port, cidr)
