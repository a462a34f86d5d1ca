"""Places in the line that outlive those who wait in them: in the hub's own table, and for who comes back."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from js2spawner.fleet.store import KeptPlace, Store
from js2spawner.instance import Instant, Owner
from js2spawner.line import Candidate, Place

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


@dataclass(frozen=True, slots=True)
class Away:
    """A place whose user is away, with what they chose."""

    place: Place
    options: Mapping[str, object]


class KeptPlaces:
    """`kept_s`: how long a place is kept for who is away."""

    def __init__(self, store: Store, clock: Callable[[], Instant], kept_s: float, log: Log) -> None:
        self._store = store
        self._clock = clock
        self._kept_s = kept_s
        self._log = log
        self._away: dict[str, Away] = {}
        # What is in the table, with what its users chose.
        self._stored: dict[str, Mapping[str, object]] = {}

    @property
    def any(self) -> bool:
        return bool(self._away)

    def __contains__(self, place_id: str) -> bool:
        """Whether somebody waits, or waited, in it."""
        return place_id in self._stored

    async def load(self) -> int:
        """Find the places of an earlier hub process; nobody waits in them yet. Raises StoreFailed."""
        now = self._clock()
        for row in await self._store.places():
            try:
                place, options = _load(row)
            except (KeyError, TypeError, ValueError) as error:
                # Of another version: its user joins the line anew.
                self._log.warning("a place in the line of %s cannot be read (%r) and is given up", row.owner, error)
                self._store.drop_place(row.place_id)
                continue
            self._stored[place.id] = options
            self._away[place.id] = Away(replace(place, away_since=now), options)
        return len(self._away)

    def put(self, place: Place, options: Mapping[str, object]) -> None:
        """Somebody waits in it."""
        self._stored[place.id] = options
        self._store.put_place(_dump(place, options))

    def drop(self, place_id: str) -> None:
        """It is over."""
        self._away.pop(place_id, None)
        if self._stored.pop(place_id, None) is not None:
            self._store.drop_place(place_id)

    def away(self, place: Place) -> None:
        """Nobody waits in it any more, or for now: a hub that is going down cannot tell."""
        options = self._stored.get(place.id, {})
        self._away[place.id] = Away(replace(place, away_since=self._clock()), options)

    def returned(self, place_id: str) -> None:
        """Somebody waits in it again."""
        self._away.pop(place_id, None)

    def back(self, owner: Owner, image: str, candidates: tuple[Candidate, ...]) -> Place | None:
        """The place of a server whose user is back with the same wish; one of another wish is given up."""
        found = self.of(owner)
        if found is None:
            return None
        if (found.place.image, found.place.candidates) != (image, candidates):
            self.drop_of(owner)
            return None
        del self._away[found.place.id]
        return replace(found.place, away_since=None)

    def of(self, owner: Owner) -> Away | None:
        return next((away for away in self._away.values() if away.place.owner == owner), None)

    def drop_of(self, owner: Owner) -> bool:
        """Give up what is kept of a server; whether there was anything."""
        mine = [place_id for place_id, away in self._away.items() if away.place.owner == owner]
        for place_id in mine:
            self.drop(place_id)
        return bool(mine)

    def all_away(self) -> list[Place]:
        return [away.place for away in self._away.values()]

    def forget_the_late(self) -> None:
        """Who has been away for too long has left."""
        now = self._clock()
        for away in list(self._away.values()):
            if now - (away.place.away_since or now) > self._kept_s:
                self.drop(away.place.id)


def _dump(place: Place, options: Mapping[str, object]) -> KeptPlace:
    wish = {"owner": dataclasses.asdict(place.owner), "image": place.image, "options": dict(options)}
    return KeptPlace(
        place_id=place.id,
        owner=str(place.owner),
        since=place.since,
        turn_at=place.turn_at,
        candidates=json.dumps([list(candidate) for candidate in place.candidates]),
        wish=json.dumps(wish, default=str),
    )


def _load(row: KeptPlace) -> tuple[Place, Mapping[str, object]]:
    wish = json.loads(row.wish)
    place = Place(
        id=row.place_id,
        owner=Owner(**wish["owner"]),
        image=wish["image"],
        candidates=tuple(Candidate(*each) for each in json.loads(row.candidates)),
        since=row.since,
        turn_at=row.turn_at,
    )
    return place, dict(wish["options"])
