"""One region as the fleet uses it: its cloud, the catalog's names resolved to ids, what has room, our security group.

What changes rarely (images, flavors, network, group) is asked for rarely and by nobody's start: a start that finds
the answer fresh costs no call of its own. Each desk has a client of its own, so what one region is slow with waits for
nobody in another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import FlavorEntry, ImageEntry, Region
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import BadFlavor, BadImage, CloudError
from js2spawner.cloud.records import Flavor, Image, Limits, SecurityGroupRule
from js2spawner.fleet import metrics
from js2spawner.fleet.breaker import ALWAYS_UP, Watch
from js2spawner.fleet.records_json import state_name
from js2spawner.gpu_flavors import has_gpu
from js2spawner.instance import Record
from js2spawner.library.signing import NO_KEYS, PublicKeys
from js2spawner.options import Choice, Offer
from js2spawner.resolving import Editions, resolve, resolved

T = TypeVar("T")
Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

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
    asked_at: float = float("-inf")
    _value: T | None = None
    _at: float = float("-inf")
    _asking: asyncio.Task[T] | None = field(default=None, repr=False)

    async def get(self, fresh_s: float | None = None) -> T:
        """A fresh answer, or one of at most `fresh_s`. Raises CloudError when the cloud gives none."""
        fresh_s = self.fresh_s if fresh_s is None else fresh_s
        if self._value is not None and self.clock() - self._at < fresh_s:
            return self._value
        return await asyncio.shield(self.begin())

    def begin(self) -> asyncio.Task[T]:
        """Ask, unless that is under way; nobody has to wait for it."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._refresh())
            # Nobody may be left waiting (a cancelled start): the result is still fetched, so nothing goes unheard.
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._asking

    @property
    def last(self) -> T | None:
        """The last answer, however old; None before the first."""
        return self._value

    async def _refresh(self) -> T:
        asked_at = self.clock()
        self._value = await self.ask()
        self.asked_at, self._at = asked_at, self.clock()
        return self._value


@dataclass(frozen=True, slots=True)
class Ids:
    """A choice in OpenStack's ids. `gpu`: an instance of that flavor has one, as the catalog or the cloud says."""

    image_id: str
    flavor_id: str
    network_id: str
    security_groups: tuple[str, ...]
    gpu: bool = False


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
        log: Log,
        image_keys: PublicKeys = NO_KEYS,
        watch: Watch = ALWAYS_UP,
        editions: Editions | None = None,
    ) -> None:
        """`watch` is the breaker's word on this region; `editions` is shared by the desks of all regions."""
        self.region = region
        self.cloud = cloud
        self._catalog = catalog
        self._hub_id = hub_id
        self._hub_cidrs = hub_cidrs
        self._clock = clock
        self._log = log
        self.image_keys = image_keys
        self._watch = watch
        self._editions = editions or Editions()
        self._full_since: dict[str, float] = {}
        self._had_at: dict[str, float] = {}
        # A lone start would pay for each list; where nothing is promoted, a name in Glance may wait a little.
        promotes = any(entry.library for entry in catalog.images)
        self._images = Kept(self._list_images, IMAGES_FRESH_S if promotes else _FRESH_S, clock)
        self._flavors = Kept(cloud.compute.flavors, _FRESH_S, clock)
        self._limits = Kept(cloud.compute.limits, 15, clock)
        self._network = Kept(self._find_network, 3600, clock)
        self._group = Kept(self._ensure_group, 3600, clock)

    @property
    def down(self) -> bool:
        """Whether the region does not answer at the moment: nobody should wait for it."""
        return self._watch.down

    async def ids(self, choice: Choice, flavor: FlavorEntry | None = None) -> Ids:
        """The choice in ids, on one of its flavors (the wanted one without).

        Raises BadImage (ImageChanged, ImageNotPublished), BadFlavor, BadNetwork, Unreachable as soon as the region is
        down, or what the cloud answered. Those say that this region cannot; another of the choice's regions may.
        """
        wanted = flavor or choice.flavor
        images, flavors, network_id, group = await self._watch.unless_down(
            asyncio.gather(self._images.get(), self._flavors.get(), self._network.get(), self._group.get())
        )
        try:
            # A saved image was asked for by its id a moment ago; the list may be older than it is.
            image = choice.saved.image if choice.saved else self._resolve(choice.image, images)
        except BadImage as error:
            self._log.error("region %s: image %s: %s", self.region.name, choice.image.name, error.detail)
            raise
        found = next((f for f in flavors if f.name == wanted.name and not f.disabled), None)
        if found is None:
            raise BadFlavor(f"no flavor named {wanted.name!r} in region {self.region.name}")
        return Ids(image.id, found.id, network_id, (group,), has_gpu(wanted, found))

    async def offer(self, typical: Mapping[tuple[str, str], tuple[float, float]], *, patience_s: float) -> Offer:
        """What can be had here, for the form: never raises; after `patience_s` the last known answers serve.

        Of a region that is down nobody waits for an answer.
        """
        known = self._images.last is not None and self._flavors.last is not None
        if not self.down:
            answers = asyncio.gather(self._images.get(), self._flavors.get(), self._limits.get())
            try:
                await asyncio.wait_for(answers, patience_s)
                known = True
            except (CloudError, TimeoutError) as error:
                why = str(error) or "no answer in time"
                self._log.warning("region %s: offering what was known before: %s", self.region.name, why)
                known = self._images.last is not None and self._flavors.last is not None
        return self._offer(self._images.last or [], self._flavors.last or [], self._limits.last, typical, known)

    def learn_ahead(self) -> None:
        """Ask before anybody needs it: for images, which other regions' are compared with, and for flavors' GPUs."""
        self._images.begin()
        self._flavors.begin()

    async def images(self) -> list[Image]:
        """The images of this region, as fresh as starts see them. Raises CloudError."""
        return await self._images.get()

    async def limits(self, fresh_s: float) -> tuple[Limits, float]:
        """What the quotas are and how much of them is used, and when that was asked for. Raises CloudError."""
        limits = await self._limits.get(fresh_s)
        return limits, self._limits.asked_at

    def limits_seen(self) -> tuple[Limits, float] | None:
        """The last such answer, however old; None before the first."""
        return None if self._limits.last is None else (self._limits.last, self._limits.asked_at)

    def flavor(self, name: str) -> Flavor | None:
        """A flavor as the cloud last told it."""
        return next((flavor for flavor in self._flavors.last or () if flavor.name == name), None)

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
        self._had_at[flavor] = self._clock()

    def _offer(
        self,
        images: list[Image],
        flavors: list[Flavor],
        limits: Limits | None,
        typical: Mapping[tuple[str, str], tuple[float, float]],
        known: bool,
    ) -> Offer:
        found: dict[str, Image] = {}
        lacks: dict[str, str] = {}
        for entry in self._catalog.images:
            try:
                found[entry.name] = self._resolve(entry, images)
            except BadImage as error:
                lacks[entry.name] = error.sentence
        return Offer(
            flavors={flavor.name: flavor for flavor in flavors if not flavor.disabled},
            images=found,
            limits=limits,
            full_since=_instants(self._full_since),
            had_at=_instants(self._had_at),
            typical_s=typical,
            known=known,
            state=self._watch.state,
            lacks=lacks,
        )

    async def _list_images(self) -> list[Image]:
        images = await self.cloud.images.list()
        for entry in self._catalog.images:
            # Only what is compared with another region's; the others would cost their signatures' checks for nothing.
            if entry.image is not None and len(self._regions(entry)) > 1:
                self._editions.note(entry, self.region.name, resolved(entry, images, self.image_keys))
        return images

    def _resolve(self, entry: ImageEntry, images: list[Image]) -> Image:
        """The image of an entry here. Raises BadImage."""
        image = resolve(entry, images, self.image_keys)
        self._editions.check(entry, self._regions(entry), self.region.name, image)
        return image

    def _regions(self, entry: ImageEntry) -> tuple[str, ...]:
        return tuple(region.name for region in self._catalog.regions_of(entry))

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


async def offers_of(
    desks: Mapping[str, RegionDesk], typical: Mapping[tuple[str, str], tuple[float, float]], *, patience_s: float
) -> dict[str, Offer]:
    """What each region has, asked side by side: the slowest takes `patience_s` and no longer. Never raises."""
    offers = await asyncio.gather(*(desk.offer(typical, patience_s=patience_s) for desk in desks.values()))
    return dict(zip(desks, offers, strict=True))


def _instants(times: Mapping[str, float]) -> dict[str, datetime]:
    return {name: datetime.fromtimestamp(at, UTC) for name, at in times.items()}


def stranded(records: Iterable[Record], regions: Container[str], log: Log) -> tuple[Record, ...]:
    """Those in regions that have left the catalog, told in the log and the metrics.

    One forgotten record must not close the hub for everybody, and nothing of what it stands for may be lost: nothing is
    done about it until its region is back.
    """
    found = tuple(record for record in records if record.plan.region not in regions)
    for region, number in Counter(record.plan.region for record in found).items():
        log.error(
            "region %s is no longer in the catalog, and instances are recorded there (%d): put it back until they have "
            "ended; until then nothing is done about them",
            region,
            number,
        )
    for (region, state), number in Counter((record.plan.region, state_name(record)) for record in found).items():
        metrics.INSTANCES.labels(region=region, state=state).set(number)
    return found


def _admit(cidr: str, port: int) -> SecurityGroupRule:
    return SecurityGroupRule("", "ingress", "IPv4", "tcp", port, port, cidr)
