"""Gathers what JupyterHub, the fleet and the line know of servers, for the pages that list them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from jupyterhub.user import User

from js2spawner import limits
from js2spawner.catalog import Catalog
from js2spawner.fleet.admission import Standing
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.instance import Owner, Record
from js2spawner.lease_shown import lease_model
from js2spawner.line import Place
from js2spawner.servers_shown import Seen, Terms, limits_told

_AT_A_TIME = 25


@dataclass(frozen=True, slots=True)
class _Named:
    """As much of a server as JupyterHub's scopes ask of one; it may have no instance, and no row in the database."""

    user: Any
    name: str


class Servers:
    """All servers this process knows of.

    `users_named` finds those of some names that are JupyterHub's users, `may_see(server, kind="server")` is the filter
    of one of its scopes, `may_open` says whether whoever looks may use the server itself.
    """

    def __init__(
        self,
        js2: Js2Fleet,
        users_named: Callable[[Sequence[str]], Iterable[User]],
        *,
        may_see: Callable[..., Any],
        may_open: Callable[[Owner], bool],
    ) -> None:
        self._js2 = js2
        self._users_named = users_named
        self._may_see = may_see
        self._may_open = may_open

    async def everybodys(self) -> list[Seen]:
        """What has an instance or waits in the line."""
        every = await self._seen({record.owner for record in self._live()} | self._waiting())
        return [each for each in every if each.record is not None or each.place is not None]

    async def of(self, user: User) -> list[Seen]:
        """All servers of one person, those that are stopped, too."""
        owners = {Owner(user.name, name) for name in user.orm_spawners} | {Owner(user.name, "")}
        return await self._seen(owners | {record.owner for record in self._live() if record.owner.user == user.name})

    async def one(self, owner: Owner, attempt_id: str = "") -> Seen | None:
        """One server: what it is now, rather than an earlier instance of it, unless that attempt is asked for."""
        every = await self._seen({owner})
        return next((s for s in every if not attempt_id or (s.record and s.record.attempt_id == attempt_id)), None)

    def limits_of(self, user: User) -> list[str]:
        """How much of what somebody may have is in use, in sentences."""
        admission = self._js2.admission
        if admission is None:
            return []
        most = limits.most_for(self._js2.catalog.limits, frozenset(group.name for group in user.groups))
        return limits_told(admission.use_of(user.name), most)

    def _live(self) -> list[Record]:
        return self._js2.fleet.recorded() if self._js2.fleet else []

    def _waiting(self) -> set[Owner]:
        return self._js2.admission.owners() if self._js2.admission else set()

    async def _seen(self, owners: set[Owner]) -> list[Seen]:
        """Few users at a time: each takes a part of a millisecond of the database, and the hub has others to serve."""
        waiting = self._waiting()
        records: defaultdict[Owner, list[Record]] = defaultdict(list)
        for record in self._live():
            records[record.owner].append(record)
        servers: defaultdict[str, list[Owner]] = defaultdict(list)
        for owner in owners:
            servers[owner.user].append(owner)
        names = sorted(servers)
        found: list[Seen] = []
        for first in range(0, len(names), _AT_A_TIME):
            for user in self._users_named(names[first : first + _AT_A_TIME]):
                for owner in sorted(servers[user.name], key=str):
                    if self._may_see(_Named(user, owner.server), kind="server"):
                        found += self._of_server(owner, user, records[owner], waits=owner in waiting)
            await asyncio.sleep(0)
        return found

    def _of_server(self, owner: Owner, user: User, records: list[Record], *, waits: bool) -> list[Seen]:
        """A server as it is now, then earlier instances of it that still cost something, and what is out of reach."""
        spawner = user.spawners.get(owner.server)
        orm_spawner = user.orm_spawners.get(owner.server)
        fleet = self._js2.fleet
        stranded = [record for record in records if fleet and record in fleet.stranded]
        records = sorted(
            (record for record in records if record not in stranded), key=lambda record: record.begun_at, reverse=True
        )
        # As `Fleet.current` has it, which goes through all records for each question.
        current = next((record for record in records if not record.over and not record.set_aside), None)
        standing = self._js2.admission.where(owner) if waits and self._js2.admission else None
        # One that is only going is what the server is, unless something newer is there.
        newest = current or (records[0] if records and standing is None else None)
        title = (orm_spawner and orm_spawner.display_name) or owner.server or "Default server"
        seen = self._one(owner, title, newest, spawner, orm_spawner)
        if standing is not None and current is None:
            seen = replace(seen, place=_place(standing), terms=_wanted_terms(self._js2.catalog, standing.place))
        others = [*(record for record in records if record is not newest), *stranded]
        shown = (self._one(owner, title, record, None, orm_spawner) for record in others)
        return [seen, *(replace(each, earlier=True, stranded=each.record in stranded) for each in shown)]

    def _one(
        self,
        owner: Owner,
        title: str,
        record: Record | None,
        spawner: Any,
        orm_spawner: Any,
    ) -> Seen:
        catalog = self._js2.catalog
        asked = (orm_spawner.user_options if orm_spawner else None) or {}
        told = Seen(
            owner=owner,
            title=title,
            terms=terms_of(catalog, record) if record else asked_terms(catalog, asked),
            record=record,
            may_open=self._may_open(owner),
        )
        if spawner is None:
            return told
        told = replace(told, stopping=spawner.pending == "stop")
        if record is None or spawner.record is not record:
            return told
        return replace(
            told,
            lease=lease_model(spawner.lease(), owner.server, datetime.now(UTC)),
            health=spawner.health,
            home=spawner.home_report,
            saving=spawner.saving is not None,
        )


def terms_of(catalog: Catalog, record: Record) -> Terms:
    """What the catalog says of an instance. Entries that have left it are known by their names only."""
    plan = record.plan
    image = catalog.image(plan.image) or catalog.default_image
    return replace(
        _of_flavor(catalog, plan.flavor),
        image_title=plan.image_title,
        region_title=_region(catalog, plan.region),
        idle=catalog.profile_of(image).idle,
    )


def asked_terms(catalog: Catalog, asked: Mapping[str, Any]) -> Terms:
    """What is known of a server that has no instance: what was asked for last time."""
    name, flavor = asked.get("image"), asked.get("flavor")
    image = catalog.image(name) if isinstance(name, str) else None
    known = _of_flavor(catalog, flavor) if isinstance(flavor, str) else Terms()
    return replace(known, image_title=image.title if image else "")


def _wanted_terms(catalog: Catalog, place: Place) -> Terms:
    """What somebody in the line would have most."""
    wanted = place.candidates[0]
    image = catalog.image(place.image)
    known = _of_flavor(catalog, wanted.flavor)
    return replace(
        known, image_title=image.title if image else "a saved image", region_title=_region(catalog, wanted.region)
    )


def _place(standing: Standing) -> dict[str, Any]:
    """A place in the line; `waits`: a start waits in it, else it is kept for who comes back."""
    waits = standing.waits
    number = f"number {waits.position} of {waits.of}" if waits else "its turn comes"
    kept = standing.place.away_since is not None
    return {
        "position": waits.position if waits else None,
        "of": waits.of if waits else None,
        "waits": not kept,
        "flavor": standing.place.candidates[0].flavor,
        "since": standing.place.since,
        "text": f"{number}, kept for a while" if kept else number,
    }


def _region(catalog: Catalog, name: str) -> str:
    return next((region.shown for region in catalog.regions if region.name == name), name)


def _of_flavor(catalog: Catalog, name: str) -> Terms:
    flavor = catalog.flavor(name)
    if flavor is None:
        return Terms(flavor_title=name)
    gpu = f"{flavor.gpu.kind}, {flavor.gpu.memory_gb:g} GB" if flavor.gpu else ""
    return Terms(flavor_title=flavor.title, su_per_hour=flavor.su_per_hour, gpu=gpu)
