"""The hub's settings for its fleet, and the one fleet of this hub process.

`Js2Fleet` is configured like any other JupyterHub class (`c.Js2Fleet.hub_id = …`). It opens on first use: the table,
the handshake's listener, the regions of the catalog.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import time
import uuid
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets import Dict, Enum, Float, Integer, List, Unicode, default
from traitlets.config import SingletonConfigurable

from js2spawner.catalog import Catalog, CatalogError
from js2spawner.catalog_entries import Region
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.hearing import NOBODY
from js2spawner.cloud.settings import CloudSettings
from js2spawner.fleet.admission import Admission, LineSettings
from js2spawner.fleet.book import FleetBook
from js2spawner.fleet.breaker import Breaker
from js2spawner.fleet.fleet import Fleet, FleetSettings
from js2spawner.fleet.home_keeping import HomeKeeping, kinds_of
from js2spawner.fleet.home_ledger import HomeLedger
from js2spawner.fleet.homes import Homes
from js2spawner.fleet.inventory import Pace
from js2spawner.fleet.regions import RegionDesk
from js2spawner.fleet.saved_images import SavedImages, read_key
from js2spawner.fleet.saves import Saves
from js2spawner.fleet.store import Store, StoreFailed
from js2spawner.handshake.authority import Authority, BadAuthority
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.server import HandshakeServer
from js2spawner.handshake.userdata import user_data
from js2spawner.instance import Deadlines
from js2spawner.library.signing import NO_KEYS, KeyFileError, PublicKeys
from js2spawner.resolving import Editions
from js2spawner.saved import Key
from js2spawner.saving import Patience


class FleetNotReady(RuntimeError):
    """The fleet could not be opened. The message says what is wrong and where."""


class Js2Fleet(SingletonConfigurable):
    """All instances of this hub: where they are made, where the hub is reached, how patient it is."""

    hub_id = Unicode(
        help="""UUID that marks everything this hub makes in a cloud.
        Default: made at the first start and kept in `state_dir/hub-id`. Keep it: a hub with another id does not see the
        instances of this one.""",
    ).tag(config=True)
    state_dir = Unicode(
        "js2-state",
        help="Directory (0700) of the hub id, the handshake's authority and the default table. Default: `js2-state`.",
    ).tag(config=True)
    database_url = Unicode(
        help="""SQLAlchemy URL of the hub's own table. Default: SQLite in `state_dir/js2.sqlite`.
        A PostgreSQL URL may be JupyterHub's own database: our tables begin with `js2_`.""",
    ).tag(config=True)
    clouds_yaml = Unicode(
        help="""Path of clouds.yaml.
        Default: empty, which is where openstacksdk looks by itself (OS_CLIENT_CONFIG_FILE, ~/.config/openstack).""",
    ).tag(config=True)
    catalog_file = Unicode(
        "catalog.yaml",
        help="Path of the catalog: images, flavors, regions, profiles. Default: `catalog.yaml`.",
    ).tag(config=True)
    image_keys_file = Unicode(
        help="""Path of the public keys that vouch for the images of the library, one a line, as `js2 image publish`
        writes them to `signing.pub`. Needed as soon as the catalog has an image with `library`. Default: empty.""",
    ).tag(config=True)
    idle_minutes = Float(
        None,
        allow_none=True,
        help="Minutes without use after which a server ends, whatever its profile says. Default: as that says.",
    ).tag(config=True)
    handshake_bind_address = Unicode(
        "127.0.0.1",
        help="""Address the hub listens on for its instances: its private one.
        Default: 127.0.0.1, which is right only for the embedded cloud.""",
    ).tag(config=True)
    handshake_port = Integer(8710, help="Port the hub listens on for its instances. Default: 8710.").tag(config=True)
    handshake_connect_url = Unicode(
        help="""URL at which instances reach that port, `https://ADDRESS:PORT`; the address goes into the certificate.
        Default: the bind address and port.""",
    ).tag(config=True)
    hub_cidrs = List(
        Unicode(),
        help="""Where connections of the hub and its proxy come from, in CIDR form: only these reach a notebook.
        Default: the address of `handshake_connect_url`. Add the proxy's if it runs on another machine.""",
    ).tag(config=True)
    list_interval_s = Float(
        2.0,
        help="""Most seconds between two lists of instances while the cloud builds or deletes any of them. Default: 2.
        When one is likely to be built, going by this hub's history, the list comes sooner, down to 0.4 s.
        Every 10 s are enough while systems and notebooks start, since the instances tell of that themselves.""",
    ).tag(config=True)
    quiet_list_interval_s = Float(
        20.0,
        help="Seconds between two lists of instances when all is quiet. Default: 20.",
    ).tag(config=True)
    orphan_grace_s = Float(
        900.0,
        help="Seconds an instance with our id but without any record is kept before it is deleted. Default: 900.",
    ).tag(config=True)
    calls_per_second = Float(
        20.0,
        help="Most calls a second this hub makes to one cloud. Default: 20. Lower it if the cloud answers 429.",
    ).tag(config=True)
    call_timeout_s = Float(
        60.0,
        help="Seconds after which a cloud call without an answer is given up. Default: 60.",
    ).tag(config=True)
    report_interval_s = Float(
        20.0,
        min=0.2,
        help="""Seconds between two reports of an instance. A busy kernel is noticed, and use of an instance is written
        down, within three of them. Default: 20. At least 0.2.""",
    ).tag(config=True)
    save_timeout_s = Float(
        3000.0,
        min=10,
        max=3300,
        help="""Seconds the cloud may take to copy an instance that is saved as an image. Default: 3000.
        At most 3300: an instance that is being saved is kept an hour beyond its end, and no longer.""",
    ).tag(config=True)
    creates_at_once = Integer(
        10,
        min=1,
        help="""Most instances that are asked for at the same time in one region; further starts wait a moment.
        Default: 10. Lower it if the cloud answers 429.""",
    ).tag(config=True)
    place_kept_s = Float(
        900.0,
        help="""Seconds a place in the line is kept for who is not there: after a restart of the hub, until the progress
        page has asked for the same start again. Default: 900.""",
    ).tag(config=True)
    longest_wait_s = Float(
        12 * 3600.0,
        help="Seconds a start may wait in the line before it is given up. Default: 43200 (12 hours).",
    ).tag(config=True)
    most_places = Integer(
        2000, min=1, help="Most starts that may wait at the same time; more are refused. Default: 2000."
    ).tag(config=True)
    deadlines = Dict(
        key_trait=Enum([each.name for each in fields(Deadlines)]),
        value_trait=Float(),
        help="""Seconds each phase of a start may last, by name; those left out keep their default.
        `look_up_s` 120 (a create that was never answered), `build_s` 600, `boot_s` 600, `home_s` 600 (attaching homes),
        `assign_s` 120, `gpu_s` 360, `notebook_s` 300, `leave_s` 60 (a guest that is to leave), `shelve_s` 3600 (a cloud
        that does not shelve an instance, which is deleted then), `return_s` 600 (from the shelf), `delete_again_s` 30,
        `hold_broken_s` 300 (an instance whose GPU does not answer keeps its card, so that the next attempt gets another
        one); and how long is kept what nobody claims: `powered_off_s` 600, `unclaimed_starting_s` 600,
        `unclaimed_running_s` 3600. Default: empty.""",
    ).tag(config=True)

    @default("hub_id")
    def _hub_id(self) -> str:
        path = Path(self.state_dir) / "hub-id"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(f"{uuid.uuid4()}\n")
        return path.read_text().strip()

    @default("database_url")
    def _database_url(self) -> str:
        return f"sqlite:///{Path(self.state_dir).resolve() / 'js2.sqlite'}"

    @default("handshake_connect_url")
    def _handshake_connect_url(self) -> str:
        return f"https://{self.handshake_bind_address}:{self.handshake_port}"

    @default("hub_cidrs")
    def _hub_cidrs(self) -> list[str]:
        return [f"{urlsplit(self.handshake_connect_url).hostname}/32"]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._opening: asyncio.Task[Fleet] | None = None
        self._server: HandshakeServer | None = None
        self._catalog: Catalog | None = None
        self._breaker: Breaker | None = None
        self.book: FleetBook | None = None
        self.saves: Saves | None = None
        self.admission: Admission | None = None
        self.homes: Homes | None = None
        self._home_keeping: HomeKeeping | None = None

    @property
    def catalog(self) -> Catalog:
        """The catalog, read once. Raises CatalogError with file and line."""
        if self._catalog is None:
            self._catalog = Catalog.load(self.catalog_file, idle_minutes=self.idle_minutes)
        return self._catalog

    @property
    def fleet(self) -> Fleet | None:
        """The fleet if it is open."""
        opening = self._opening
        if opening is None or not opening.done() or opening.cancelled() or opening.exception() is not None:
            return None
        return opening.result()

    async def ready(self) -> Fleet:
        """The open fleet. All callers share one opening; one that failed is tried again by the next caller.

        Raises FleetNotReady with one sentence for the operator.
        """
        if self._opening is None or (self._opening.done() and self.fleet is None):
            self._opening = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Let go of sockets and files; nothing is deleted in any cloud."""
        if self._server is not None:
            await self._server.stop()
        if self.saves is not None:
            await self.saves.stop()
        if self._home_keeping is not None:
            await self._home_keeping.stop()
        if self.homes is not None:
            await self.homes.stop()
        if self.admission is not None:
            await self.admission.stop()
        if self.fleet is not None:
            await self.fleet.stop()

    async def _open(self) -> Fleet:
        try:
            self._check_settings()
            catalog = self.catalog
            image_keys = self._image_keys(catalog)
            authority = await asyncio.to_thread(
                Authority.open, Path(self.state_dir) / "handshake", str(urlsplit(self.handshake_connect_url).hostname)
            )
            fleet = self._make_fleet(catalog, authority, image_keys)
            await self._start(fleet, authority, await self._read_saves_key())
        except (CatalogError, KeyFileError, BadAuthority, StoreFailed) as error:
            raise FleetNotReady(str(error)) from error
        _set_aside_what_stays()
        return fleet

    def _check_settings(self) -> None:
        try:
            self.plan_deadlines()
        except TypeError as error:
            raise FleetNotReady(f"Js2Fleet.deadlines: {error}") from None
        for cidr in self.hub_cidrs:
            try:
                ipaddress.ip_network(cidr)
            except ValueError:
                raise FleetNotReady(
                    f"Js2Fleet.hub_cidrs: {cidr!r} is no network; set it to where the hub's connections come from, "
                    "for example ['10.0.0.5/32'] (by default it is the host of handshake_connect_url)"
                ) from None

    def _image_keys(self, catalog: Catalog) -> PublicKeys:
        """The keys that vouch for images. Raises KeyFileError; FleetNotReady when the catalog needs some."""
        if self.image_keys_file:
            return PublicKeys.read(Path(self.image_keys_file))
        if of_library := [entry.name for entry in catalog.images if entry.library]:
            raise FleetNotReady(
                f"{self.catalog_file}: {', '.join(of_library)} come from the library, but no key vouches for it; set "
                "Js2Fleet.image_keys_file (JS2_IMAGE_KEYS) to a file with the publisher's signing.pub"
            )
        return NO_KEYS

    def _make_fleet(self, catalog: Catalog, authority: Authority, image_keys: PublicKeys) -> Fleet:
        self._breaker = Breaker((region.name for region in catalog.regions), log=self.log)
        return Fleet(
            FleetSettings(self.hub_id, Pace(self.list_interval_s, self.quiet_list_interval_s), self.orphan_grace_s),
            Store(self.database_url, self.hub_id),
            self._desks(catalog, image_keys, self._breaker),
            user_data=lambda attempt_id, ticket: user_data(
                hub_url=self.handshake_connect_url,
                authority_pem=authority.ca_pem,
                attempt_id=attempt_id,
                ticket=ticket,
            ),
            log=self.log,
            breaker=self._breaker,
        )

    async def _read_saves_key(self) -> Key:
        try:
            return await asyncio.to_thread(read_key, Path(self.state_dir) / "saves.key", self.hub_id)
        except OSError as error:
            raise FleetNotReady(f"the key of saved images cannot be used: {error}") from error

    def _make_homes(self, fleet: Fleet) -> Homes:
        ledger = HomeLedger(Path(self.state_dir) / "homes.json", self.log)
        homes = Homes(
            fleet.desks,
            self.catalog,
            self.hub_id,
            records=fleet.recorded,
            ledger=ledger,
            log=self.log,
            clock=fleet.clock,
        )
        fleet.homes = homes
        return homes

    def _make_admission(self, fleet: Fleet) -> Admission:
        settings = LineSettings(
            creates_at_once=self.creates_at_once,
            place_kept_s=self.place_kept_s,
            longest_wait_s=self.longest_wait_s,
            most_places=self.most_places,
        )
        return Admission(fleet, self.catalog, settings, self.log)

    async def _start(self, fleet: Fleet, authority: Authority, saves_key: Key) -> None:
        """Load the records, then listen: a guest must never meet a hub that does not know its attempts yet."""
        homes = self._make_homes(fleet)
        admission = self._make_admission(fleet)
        saves = Saves(
            fleet,
            SavedImages(fleet.desks, saves_key, fleet.clock),
            log=self.log,
            patience=Patience(copy_s=self.save_timeout_s),
        )
        book = FleetBook(fleet, saves, homes=homes)
        server = HandshakeServer(
            book,
            bind_address=self.handshake_bind_address,
            port=self.handshake_port,
            authority=authority,
            settings=HandshakeSettings(report_s=self.report_interval_s),
        )
        try:
            await fleet.start()
            for desk in fleet.desks.values() if len(fleet.desks) > 1 or self.catalog.limits else ():
                desk.learn_ahead()
            await admission.start()
            await server.start()
        except BaseException as error:
            # A fleet that stayed behind would end what nobody can claim from it.
            await admission.stop()
            await fleet.stop()
            if isinstance(error, OSError):
                where = f"{self.handshake_bind_address}:{self.handshake_port}"
                raise FleetNotReady(f"the handshake cannot listen on {where}: {error.strerror or error}") from error
            raise
        saves.start()
        self.homes, self._home_keeping = homes, HomeKeeping(homes, kinds=kinds_of(self.catalog))
        self._home_keeping.start()
        self.book, self.saves, self._server, self.admission = book, saves, server, admission

    def plan_deadlines(self) -> Deadlines:
        """The deadlines every new plan carries."""
        return Deadlines(**self.deadlines)

    def cloud_of(self, region: Region) -> Cloud:
        """The client of one region of the catalog: its own connections, pace and sign-in, whatever the others do."""
        settings = CloudSettings(calls_per_second=self.calls_per_second, call_timeout_s=self.call_timeout_s)
        return Cloud(
            region.cloud,
            region=region.region,
            config_file=self.clouds_yaml or None,
            settings=settings,
            listener=self._breaker.ear(region.name) if self._breaker else NOBODY,
        )

    def _desks(self, catalog: Catalog, image_keys: PublicKeys, breaker: Breaker) -> dict[str, RegionDesk]:
        editions = Editions()
        return {
            region.name: RegionDesk(
                region,
                self.cloud_of(region),
                catalog,
                hub_id=self.hub_id,
                hub_cidrs=tuple(self.hub_cidrs),
                clock=time.time,
                log=self.log,
                image_keys=image_keys,
                watch=breaker.watch(region.name),
                editions=editions,
            )
            for region in catalog.regions
        }


def _set_aside_what_stays() -> None:
    """Spare the collector what a hub consists of: going through all of it again and again stands in everybody's way.

    With some hundred users a full collection stopped the event loop for a quarter of a second, half of it over modules,
    classes and tables that live as long as the hub.
    """
    gc.collect()
    gc.freeze()
