"""Which home a start gets: found wherever it lies, made where there is none, never two for one person.

What is in the cloud is found there anew; kept here is a list that is a few seconds old. A home that vanished is told
from one that never was by the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from js2spawner.catalog_entries import Home as Terms
from js2spawner.catalog_entries import Region
from js2spawner.cloud.errors import BadCloudConfig, CloudError, Gone, QuotaExceeded
from js2spawner.failures import Failure, failure, failure_of
from js2spawner.fleet.home_ledger import Doubt, HomeLedger
from js2spawner.fleet.homes_in_cloud import LOOK_EVERY_S, HomesInCloud
from js2spawner.fleet.names import HUB_KEY
from js2spawner.fleet.regions import Kept
from js2spawner.homes import (
    CURRENT,
    DELETE_AT,
    FORMATTED,
    ROLE,
    USER_ID,
    Home,
    Kind,
    busy,
    changed,
    choose,
    current_words,
    end_is_due,
    left_the_catalog,
    meaning,
    never_confirmed,
    never_held_data,
    not_this_region,
    unusable,
)
from js2spawner.instance import Ended, Instant, Owner, Record, Shelved

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

_FRESH_S = 5.0
_LOOK_UP_S = 30.0
# Where a region does not answer, what was seen of it before counts; nobody waits long for it.
_PATIENCE_S = 15.0


class HomeFailed(Exception):
    """A start cannot have its home. `why` is the failure its user is told."""

    def __init__(self, why: Failure) -> None:
        super().__init__(why.sentence)
        self.why = why


class Finding:
    """The homes of one hub in all its regions, as they are asked for."""

    def __init__(
        self,
        in_cloud: Mapping[str, HomesInCloud],
        hub_id: str,
        *,
        records: Callable[[], Iterable[Record]],
        ledger: HomeLedger,
        log: Log,
        clock: Callable[[], Instant],
        is_down: Callable[[str], bool],
    ) -> None:
        """`records`: all attempts that may have something in a cloud. `is_down`: a region is known not to answer."""
        self.in_cloud = in_cloud
        self.ledger = ledger
        self._hub_id = hub_id
        self._records = records
        self._log = log
        self._clock = clock
        self._is_down = is_down
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._lists: dict[tuple[str, Kind], Kept[list[Home]]] = {}
        self._synced: set[tuple[str, Kind]] = set()
        # Pairs of homes in two regions of which it was told that both are one person's.
        self._told: set[tuple[str, str]] = set()
        # Homes that are known to have a file system, by id.
        self.formatted: set[str] = set()

    def lock(self, user_id: str) -> asyncio.Lock:
        """Held by whoever finds, makes or ends that person's homes."""
        return self._locks[user_id]

    async def home_for(self, owner: Owner, user_id: str, terms: Terms, regions: tuple[Region, ...]) -> Home | None:
        """The home of a start; None where there is none yet and `regions` do not say where to make it.

        Raises HomeFailed.
        """
        kind = terms.kind
        assert kind != "none"
        await self.ledger.load()
        async with self.lock(user_id):
            try:
                home = await self._find(user_id, kind)
                if home is None and len(regions) > 1:
                    return None
                if home is None:
                    home = await self._create(self.in_cloud[regions[0].name], owner, user_id, terms)
                return await self._ready(home, owner, user_id, terms, regions)
            except BadCloudConfig as error:
                raise HomeFailed(failure("cloud-config", str(error))) from None
            except CloudError as error:
                # The home is where it is: another region would not help.
                raise HomeFailed(replace(failure_of(error), policy="again")) from None

    async def _find(self, user_id: str, kind: Kind) -> Home | None:
        """The person's home, wherever it lies. Raises CloudError, HomeFailed when it vanished."""
        entry = self.ledger.get(kind, user_id)
        if entry is None:
            await self._settle(user_id, kind)
            await self._look_through(kind)
            entry = self.ledger.get(kind, user_id)
        if entry is None:
            return None
        if entry.region not in self.in_cloud:
            detail = f"{kind} {entry.id} is in region {entry.region}, which is not in the catalog"
            raise HomeFailed(left_the_catalog(entry.region, detail))
        chosen = choose(await self._list(entry.region, kind), user_id, kind)
        for other in chosen.others:
            self._log.error(
                "%s %s and %s %s both say that they are the home of %s: the first is used, look at the other",
                kind, chosen.home and chosen.home.id, kind, other.id, other.user,
            )  # fmt: skip
        if chosen.home is not None:
            await self.ledger.note(user_id, chosen.home)
            return chosen.home
        return await self._vanished(user_id, kind)

    async def _vanished(self, user_id: str, kind: Kind) -> Home | None:
        """A home that the list does not show: gone for good, or only without its marks. Raises HomeFailed."""
        entry = self.ledger.get(kind, user_id)
        assert entry is not None
        there = self.in_cloud[entry.region]
        try:
            home = await there.get(kind, entry.id)
        except Gone as gone:
            home, detail = None, str(gone)
        if home is not None and meaning(home) == "gone":
            await self._being_deleted(home, user_id)
            return await self._find(user_id, kind)
        if home is not None and not (HUB_KEY in home.metadata and USER_ID in home.metadata and ROLE in home.metadata):
            self._log.warning("%s %s had lost what it says of itself: marked again as a home", kind, entry.id)
            formatted = {FORMATTED: "yes"} if entry.formatted else {}
            marks = {HUB_KEY: self._hub_id, USER_ID: user_id, ROLE: CURRENT, **formatted}
            await there.mark(home, marks)
            home = replace(home, metadata={**home.metadata, **marks})
            await self.remember(home)
            return home
        # Told once: the next start makes an empty one, which an operator can replace by a copy at any time.
        await self._forget_of(user_id, kind)
        detail = detail if home is None else f"{kind} {entry.id} is not marked as this person's home any more"
        self._log.error("the home of user %s has vanished from region %s: %s", user_id, entry.region, detail)
        raise HomeFailed(failure("home-missing", detail))

    async def _being_deleted(self, home: Home, user_id: str) -> None:
        """The end of a home that was to end is no news; of another one its owner is told, once. Raises HomeFailed."""
        await self._forget_of(user_id, home.kind)
        why = unusable(home)
        if why is not None and not end_is_due(home, self._clock()) and not never_held_data(home):
            self._log.error("the home of user %s is being deleted in region %s: %s", user_id, home.region, why.detail)
            raise HomeFailed(why)

    async def _forget_of(self, user_id: str, kind: Kind) -> None:
        """That person's home is no more. All regions are looked through again before another one is made."""
        self._synced = {(region, seen) for region, seen in self._synced if seen != kind}
        await self.ledger.forget(kind, user_id)

    async def _ready(self, home: Home, owner: Owner, user_id: str, terms: Terms, regions: tuple[Region, ...]) -> Home:
        """The home, as this start may have it. Raises HomeFailed, CloudError."""
        there = self.in_cloud[home.region]
        if home.region not in {region.name for region in regions}:
            raise HomeFailed(not_this_region(home, there.region.shown))
        if other := self._user_of(home, owner):
            raise HomeFailed(busy(other.owner.server, f"attempt {other.attempt_id} has {home.kind} {home.id}"))
        if why := unusable(home):
            if not never_held_data(home):
                raise HomeFailed(why)
            self._log.warning("%s %s never came to be a home: making another", home.kind, home.id)
            await there.delete(home)
            await self.forget(home)
            return await self._create(there, owner, user_id, terms)
        if home.delete_at is not None:
            await there.rescue(home)
            self._log.info("%s: the home %s is used again and not deleted", owner, home.id)
            home = replace(home, metadata={k: v for k, v in home.metadata.items() if k != DELETE_AT})
        if words := changed(home.metadata, current_words(owner.user, terms)):
            await there.mark(home, words)
            home = replace(home, metadata={**home.metadata, **words})
        await self.remember(home)
        return home

    def _user_of(self, home: Home, owner: Owner) -> Record | None:
        """Another server of the same person that has the home, or is about to. One on the shelf has let go of it."""
        return next(
            (
                record
                for record in self._records()
                if record.plan.home.id == home.id
                and record.owner != owner
                and not record.over
                and not isinstance(record.state, Shelved | Ended)
            ),
            None,
        )

    async def _create(self, there: HomesInCloud, owner: Owner, user_id: str, terms: Terms) -> Home:
        kind = terms.kind
        assert kind != "none"
        for same in await self._list(there.region.name, kind):
            if same.user == owner.user and same.user_id != user_id:
                self._log.warning(
                    "%s: %s %s is the home of a user of that name with another id: not theirs, and left alone",
                    owner, kind, same.id,
                )  # fmt: skip
        await self.ledger.begin_create(kind, user_id, Doubt(there.region.name, self._clock()))
        try:
            home = await there.create(kind, owner.user, user_id, terms)
        except CloudError as error:
            detail = f"{error.name}: {error}"
            if error.certain:
                await self.ledger.settle(kind, user_id)
            if isinstance(error, QuotaExceeded):
                raise HomeFailed(failure("home-quota", str(error))) from None
            if error.certain:
                raise
            found = await self._look_up(there, user_id, kind, _LOOK_UP_S)
            if found is None:
                raise HomeFailed(never_confirmed(there.region.shown, detail)) from None
            home = found
        self._log.info("%s: %s %s is a new home in region %s", owner, kind, home.id, home.region)
        await self.remember(home)
        return home

    async def _settle(self, user_id: str, kind: Kind) -> None:
        """Find out what came of a create whose answer never came, and note it.

        Raises HomeFailed while its region cannot be asked: nothing may be made anywhere else before that.
        """
        doubt = self.ledger.doubt(kind, user_id)
        if doubt is None:
            return
        there = self.in_cloud.get(doubt.region)
        if there is None:
            # Nobody has used what may be there, so nobody misses it.
            self._log.warning(
                "a home of user %s may be in region %s, which is not in the catalog", user_id, doubt.region
            )
        elif self._is_down(doubt.region):
            raise HomeFailed(never_confirmed(there.region.shown, "the region does not answer"))
        else:
            left_s = doubt.since + _LOOK_UP_S - self._clock()
            home = await self._look_up(there, user_id, kind, min(max(left_s, 0.0), _LOOK_UP_S))
            if home is not None:
                self._log.info("%s %s is the home of user %s of which no answer told", kind, home.id, user_id)
                await self.remember(home)
                return
        await self.ledger.settle(kind, user_id)

    async def _look_up(self, there: HomesInCloud, user_id: str, kind: Kind, within_s: float) -> Home | None:
        """The home of a create whose answer was lost. It is never sent a second time before it was looked for.

        None if it does not show within that time. Raises HomeFailed if the cloud does not answer at the end of it.
        """
        until = time.monotonic() + within_s
        while True:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    found, silent = choose(await there.of_kind(kind), user_id, kind).home, ""
            except (CloudError, TimeoutError) as error:
                found, silent = None, f"{error.name}: {error}" if isinstance(error, CloudError) else "no answer"
            if found is not None or time.monotonic() >= until:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        if silent:
            raise HomeFailed(never_confirmed(there.region.shown, silent))
        return found

    # ---- what is in the clouds --------------------------------------------------------------------------------------

    async def _list(self, region: str, kind: Kind) -> list[Home]:
        """Everybody's homes of the kind, a few seconds old at most; one question serves all who ask."""
        key = (region, kind)
        if key not in self._lists:
            self._lists[key] = Kept(lambda: self.in_cloud[region].of_kind(kind), _FRESH_S, self._clock)
        homes = await self._lists[key].get()
        self.formatted.update(home.id for home in homes if home.formatted)
        return homes

    async def _look_through(self, kind: Kind) -> None:
        """See to it that the homes of every region are known. Raises CloudError for one that was never seen."""
        missing = [name for name in self.in_cloud if (name, kind) not in self._synced]
        await asyncio.gather(*(self._sync(name, kind) for name in missing))

    async def _sync(self, region: str, kind: Kind) -> None:
        try:
            # Whoever has no home yet would wait for it here, wherever they want to start.
            async with asyncio.timeout(0 if self._is_down(region) else _PATIENCE_S):
                homes = await self._list(region, kind)
        except BadCloudConfig:
            # No such service there, so none of those homes either. A start that wants one is told.
            if kind == "volume":
                raise
            homes = []
        except (CloudError, TimeoutError) as error:
            if self.ledger.has_seen(kind, region):
                self._log.warning("region %s: homes are taken as they were last seen: %s", region, error)
                return
            if isinstance(error, CloudError):
                raise
            raise HomeFailed(replace(failure("unreachable", f"region {region}"), policy="again")) from None
        await self.seen(region, kind, homes)

    async def seen(self, region: str, kind: Kind, homes: list[Home]) -> None:
        """Take in a whole list of one region's homes."""
        people = {home.user_id for home in homes}
        chosen = (choose(homes, person, kind).home for person in people)
        doubles = await self.ledger.note_region(kind, region, [home for home in chosen if home is not None])
        self._synced.add((region, kind))
        for first, other in doubles:
            if (first.id, other.id) not in self._told:
                self._told.add((first.id, other.id))
                self._log.error(
                    "%s %s in region %s and %s %s in region %s both say that they are the home of the same user: "
                    "the first is used, look at the other",
                    kind, first.id, first.region, kind, other.id, other.region,
                )  # fmt: skip

    async def remember(self, home: Home) -> None:
        """Put one home as it is now into the list that others see."""
        homes = await self._list(home.region, home.kind)
        homes[:] = [each for each in homes if each.id != home.id] + [home]
        if home.formatted:
            self.formatted.add(home.id)
        await self.ledger.note(home.user_id, home)

    async def forget(self, home: Home) -> None:
        """It is no more, and that is as it should be."""
        homes = await self._list(home.region, home.kind)
        homes[:] = [each for each in homes if each.id != home.id]
        await self.ledger.forget(home.kind, home.user_id, home.id)
