"""Saves under way: feeds what is seen into `saving.decide` and carries out what follows.

From the moment the cloud begins to copy, the image itself says whose it is and which attempt's, and the attempt's
record says which image, since what an image says can be copied to another. So a hub that was restarted finds it and
goes on. A save that had not come so far is over, and its owner is told.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from js2spawner.cloud.errors import CloudError, Throttled, Unreachable
from js2spawner.failures import failure
from js2spawner.fleet import metrics, names
from js2spawner.fleet.background import Background
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.saved_images import SavedImages
from js2spawner.fleet.store import Timing
from js2spawner.fleet.typical import Typical
from js2spawner.handshake.messages import Quiet
from js2spawner.instance import Instant, Record, Running
from js2spawner.saved import Unfinished, Words
from js2spawner.saving import (
    Asked,
    Begun,
    Checking,
    Copy,
    Copying,
    Discard,
    Dropped,
    Effect,
    Failed,
    Look,
    Looked,
    Patience,
    Ready,
    Refused,
    Said,
    Save,
    Seal,
    Sealed,
    Sighting,
    State,
    Tick,
    Unanswered,
    decide,
    refusal_of,
)

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

PREPARE, COPY = "save-prepare", "save-copy"
_STAGES: dict[type, str] = {Asked: PREPARE, Copying: COPY, Checking: "save-check"}
_SEND_AGAIN = 3
_REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two looks at a copy, between reports of a guest that is saved or may be soon, between sweeps."""

    look_s: float = 3.0
    report_s: float = 1.0
    soon_report_s: float = 2.0
    soon_for_s: float = 180.0
    sweep_s: float = 300.0


class Saves:
    """The shell around `saving.decide`; one per fleet."""

    def __init__(
        self,
        fleet: Fleet,
        images: SavedImages,
        *,
        log: Log,
        patience: Patience = Patience(),  # noqa: B008 - a frozen value
        pace: Pace = Pace(),
    ) -> None:
        self.images = images
        self._fleet = fleet
        self._log = log
        self._patience = patience
        self._pace = pace
        self._clock: Callable[[], Instant] = fleet.clock
        self._saves: OrderedDict[str, Save] = OrderedDict()
        self._seconds: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._soon: dict[str, Instant] = {}
        self._busy: set[tuple[str, Effect]] = set()
        self._background = Background(log)
        self._recovered_at: dict[str, Instant] = {}
        self._left_behind: dict[str, set[str]] = {}
        self._quiet_for: dict[str, str] = {}
        fleet.when_parted(self._over)

    def start(self) -> None:
        """Find again what was under way, and from then on what is left behind."""
        for region in self._fleet.desks:
            self._background.spawn(self._look_after(region), f"looking after saves in {region}")

    async def stop(self) -> None:
        await self._background.end()

    # ---- reading ----------------------------------------------------------------------------------------------------

    def get(self, save_id: str) -> Save | None:
        """A save of this process, over or not."""
        return self._saves.get(save_id)

    def under_way(self, attempt_id: str) -> Save | None:
        """What is being saved of an attempt at the moment."""
        return next((s for s in self._saves.values() if s.words.attempt_id == attempt_id and not s.over), None)

    def latest(self, attempt_id: str) -> Save | None:
        """The newest save of an attempt, over or not."""
        return next((s for s in reversed(self._saves.values()) if s.words.attempt_id == attempt_id), None)

    def of_owner(self, owner_id: str) -> list[Save]:
        """What somebody saves at the moment."""
        return [save for save in self._saves.values() if save.words.owner_id == owner_id and not save.over]

    def seconds(self, save_id: str) -> dict[str, float]:
        """How long the stages took that are through."""
        return dict(self._seconds.get(save_id, {}))

    def typical(self, save: Save) -> Callable[[str], Typical | None]:
        """How long the stages of a save like this usually take here."""
        return lambda stage: self._fleet.history.typical(save.words.parent, save.flavor, stage)

    def now(self) -> Instant:
        """The time that saves are told by."""
        return self._clock()

    # ---- changing ---------------------------------------------------------------------------------------------------

    def begin(self, record: Record, title: str, note: str, *, owner_id: str, most_gb: float) -> Save:
        """Begin to save a running instance; the caller has checked that it may be."""
        now = self._clock()
        words = Words(
            save_id=secrets.token_hex(8),
            owner=record.owner.user,
            owner_id=owner_id,
            title=title,
            note=note,
            parent=record.plan.image,
            saved_at=datetime.fromtimestamp(now, UTC),
            attempt_id=record.attempt_id,
        )
        save = self._save(record, words, most_gb, now, Asked(now))
        self._log.info("%s: attempt %s: save %s begins", record.owner, record.attempt_id, save.id)
        self._add(save)
        return save

    def soon(self, attempt_id: str) -> None:
        """Somebody looks at the page: have this guest ask often for a while, so that an order reaches it at once."""
        self._soon[attempt_id] = self._clock() + self._pace.soon_for_s

    def cancel(self, attempt_id: str) -> None:
        """The user does not want it any more."""
        if save := self.under_way(attempt_id):
            self.feed(save.id, Dropped(failure("save-cancelled")))

    def orders(self, record: Record, quiet_for: str) -> tuple[Quiet | None, float | None]:
        """What a guest is told that reports to keep quiet for this save, and in how many seconds to report again."""
        attempt_id = record.attempt_id
        self._quiet_for[attempt_id] = quiet_for
        save = self.under_way(attempt_id)
        if save is not None:
            self.feed(save.id, Said(quiet_for == save.id))
            save = self.under_way(attempt_id)
        if save is not None:
            return Quiet(save.id, self._patience.guest_s), self._pace.report_s
        if quiet_for and quiet_for not in self._saves and self.may_be_found_in(record.plan.region):
            # An earlier hub process had it keep quiet, and its copy may be under way.
            return Quiet(quiet_for, self._patience.guest_s), self._pace.report_s
        if quiet_for:
            return None, self._pace.report_s
        return None, self._pace.soon_report_s if self._soon.get(attempt_id, 0.0) > self._clock() else None

    def hello(self, attempt_id: str) -> None:
        """A guest that says hello was restarted, and has its credential from the disk."""
        if save := self.under_way(attempt_id):
            self.feed(save.id, Dropped(failure("save-interrupted")))

    def feed(self, save_id: str, sighting: Sighting) -> None:
        """Take in one sighting."""
        before = self._saves.get(save_id)
        if before is None:
            return
        now = self._clock()
        step = decide(before, sighting, now)
        save = self._saves[save_id] = step.save
        if save.image_id != before.image_id and not save.over:
            self._fleet.amend(save.words.attempt_id, lambda r: replace(r, copy_id=save.image_id, copy_gb=save.most_gb))
            # Now and not with the next change: a hub that dies before it is written takes nothing up.
            self._background.spawn(self._fleet.saved(), f"record of the copy of save {save_id}")
        if type(save.state) is not type(before.state):
            self._moved(before, save, now)
            self._fleet.announce(save.words.attempt_id)
        for effect in step.effects:
            if (save_id, effect) not in self._busy:
                self._busy.add((save_id, effect))
                self._background.spawn(self._perform(save, effect), f"{type(effect).__name__} of save {save_id}")

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _save(self, record: Record, words: Words, most_gb: float, begun_at: Instant, state: State) -> Save:
        return Save(
            words=words,
            server=record.owner.server,
            server_id=record.server_id,
            region=record.plan.region,
            flavor=record.plan.flavor,
            most_gb=most_gb,
            begun_at=begun_at,
            state=state,
            patience=self._patience,
        )

    def _add(self, save: Save) -> None:
        self._saves[save.id] = save
        self._fleet.announce(save.words.attempt_id)
        while len(self._saves) > _REMEMBERED and next(iter(self._saves.values())).over:
            forgotten, _ = self._saves.popitem(last=False)
            self._seconds.pop(forgotten, None)
        self._background.spawn(self._watch(save.id), f"save {save.id}")

    async def _watch(self, save_id: str) -> None:
        while not self._saves[save_id].over:
            await asyncio.sleep(self._pace.look_s)
            self.feed(save_id, Tick())

    def _moved(self, before: Save, save: Save, now: Instant) -> None:
        stage = _STAGES[type(before.state)]
        self._seconds[save.id][stage] = seconds = now - before.state.since
        metrics.SAVE_SECONDS.labels(stage=stage.removeprefix("save-")).observe(seconds)
        match save.state:
            case Ready():
                metrics.SAVES.labels(outcome="ready").inc()
                took = self._seconds[save.id]
                parent, flavor = save.words.parent, save.flavor
                self._fleet.learn(
                    [Timing(parent, flavor, each, took[each], now) for each in (PREPARE, COPY) if each in took]
                )
                self._log.info("%s: save %s is image %s", save.words.owner, save.id, save.image_id)
            case Failed(because=why):
                metrics.SAVES.labels(outcome=why.name).inc()
                self._log.warning("%s: save %s: %s: %s", save.words.owner, save.id, why.name, why.detail)

    async def _perform(self, save: Save, effect: Effect) -> None:
        sighting: Sighting | None = None
        try:
            match effect:
                case Copy():
                    sighting = await self._copy(save)
                case Look():
                    image = await self.images.look(save.region, save.id, save.image_id)
                    sighting = Looked(image)
                case Seal() if isinstance(save.state, Checking):
                    await self.images.seal(save.region, save.state.image, save.words)
                    sighting = Sealed()
                case Discard(image_id):
                    # One that cannot be deleted now is found by the sweep.
                    await self.images.discard(save.region, image_id)
        except CloudError as error:
            self._log.warning("save %s: %s: %s: %s", save.id, type(effect).__name__, error.name, error)
        except Exception:  # noqa: BLE001
            self._log.exception("save %s: %s failed", save.id, type(effect).__name__)
            sighting = Unanswered() if isinstance(effect, Copy) else None
        finally:
            self._busy.discard((save.id, effect))
        if sighting is not None:
            self.feed(save.id, sighting)

    async def _copy(self, save: Save) -> Sighting:
        """Ask for the copy. Only what surely had no effect is sent again."""
        compute = self._fleet.desks[save.region].cloud.compute
        name = names.saved_name(save.words.owner, save.id)
        for last in (False,) * (_SEND_AGAIN - 1) + (True,):
            try:
                return Begun(await compute.create_image(save.server_id, name, self.images.key.begin(save.words)))
            except (Throttled, Unreachable) as error:
                if last:
                    return Refused(refusal_of(error))
                await asyncio.sleep(error.retry_after_s if isinstance(error, Throttled) else self._pace.look_s)
                if self._saves[save.id].over:
                    # Given up while we waited. Nobody is quiet for it any longer, and nobody wants it.
                    return Refused(refusal_of(error))
            except CloudError as error:
                self._log.warning("save %s: copy: %s: %s", save.id, error.name, error)
                return Refused(refusal_of(error)) if error.certain else Unanswered()
        raise AssertionError("unreachable")

    def _over(self, record: Record) -> None:
        self._soon.pop(record.attempt_id, None)
        self._quiet_for.pop(record.attempt_id, None)
        if save := self.under_way(record.attempt_id):
            self.feed(save.id, Dropped(failure("save-stopped")))

    def may_be_found(self) -> bool:
        """Whether a save that an earlier hub process began may still turn up."""
        return any(map(self.may_be_found_in, self._fleet.desks))

    def may_be_found_of(self, record: Record) -> bool:
        """Whether a save of this instance may: nobody has looked yet, or its guest is quiet for one that is unknown."""
        region = record.plan.region
        if region not in self._left_behind:
            return True
        quiet_for = self._quiet_for.get(record.attempt_id, "")
        return bool(quiet_for) and quiet_for not in self._saves and self.may_be_found_in(region)

    def may_be_found_in(self, region: str) -> bool:
        """The same, in one region."""
        found_at = self._recovered_at.get(region)
        return found_at is None or self._clock() - found_at < self._patience.look_up_s

    async def _look_after(self, region: str) -> None:
        """Each region by itself: one that is away keeps nobody in another one waiting."""
        trouble = ""
        while True:
            before, trouble = trouble, await self._look_through(region)
            if not trouble:
                self._recovered_at.setdefault(region, self._clock())
            elif trouble != before:
                # Once, and not every few seconds for as long as a region is away.
                self._log.warning("region %s: saved images cannot be listed: %s", region, trouble)
            soon = self.may_be_found_in(region) or trouble
            await asyncio.sleep(self._pace.look_s if soon else self._pace.sweep_s)

    async def _look_through(self, region: str) -> str:
        """See to what is unfinished in a region; what kept from it, or nothing."""
        try:
            self._sort(region, await self.images.unfinished(region))
        except CloudError as error:
            return f"{error.name}: {error}"
        except Exception:  # noqa: BLE001
            # A fault of ours in one round must not leave what is unfinished to itself for ever.
            self._log.exception("region %s: saved images could not be looked after", region)
            return "a fault of ours"
        return ""

    def _sort(self, region: str, unfinished: list[Unfinished]) -> None:
        """Take up what an earlier hub process began, and delete what nobody will finish, once it was seen twice."""
        strays: set[str] = set()
        # Ours before what only says the same: whichever is met first is taken for the save.
        for each in sorted(unfinished, key=lambda found: not self._written_down(found)):
            known = self._saves.get(each.words.save_id)
            if known is None and self._take_up(each):
                continue
            if known is None or known.over or known.image_id not in ("", each.image.id):
                strays.add(each.image.id)
                if each.image.id in self._left_behind.get(region, ()):
                    self._log.warning("image %s of an unfinished save: deleting it", each.image.id)
                    self._background.spawn(self._discard(each), f"delete of image {each.image.id}")
        self._left_behind[region] = strays

    def _take_up(self, found: Unfinished) -> bool:
        record, now = self._fleet.get(found.words.attempt_id), self._clock()
        if record is None or not isinstance(record.state, Running) or record.plan.region != found.region:
            return False
        begun_at = found.words.saved_at.timestamp()
        if not self._written_down(found):
            # Begun when the hub died before it could write that down, or somebody's who says what ours said.
            self._log.warning("%s: save %s is lost", record.owner, found.words.save_id)
            lost = Failed(now, failure("save-interrupted"), found.image.id)
            self._saves[found.words.save_id] = self._save(record, found.words, 0, begun_at, lost)
            return False
        self._log.info("%s: save %s is found again", record.owner, found.words.save_id)
        copying = Copying(now, found.image.id)
        self._add(self._save(record, found.words, record.copy_gb, begun_at, copying))
        return True

    def _written_down(self, found: Unfinished) -> bool:
        record = self._fleet.get(found.words.attempt_id)
        return record is not None and found.image.id == record.copy_id

    async def _discard(self, unfinished: Unfinished) -> None:
        try:
            await self.images.discard(unfinished.region, unfinished.image.id)
        except CloudError as error:
            self._log.warning("image %s: %s: %s", unfinished.image.id, error.name, error)
