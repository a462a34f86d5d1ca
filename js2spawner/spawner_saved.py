"""What a spawner has to do with saved images: which one is asked for, which there are, what is saved of its server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from js2spawner.cloud.errors import CloudError
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.instance import Record, Running
from js2spawner.saved import NOTHING_KEPT, Allowance, Saved, saved_id
from js2spawner.saving import Save


class WithSavedImages:
    """The part of our spawner that knows of saved images. It stands for one attempt, or for none ("").

    Not a Spawner by itself: JupyterHub wants the whole contract of each of those.
    """

    config: Any
    log: Any
    user_options: dict[str, Any]
    _attempt_id: str

    @property
    def hub_fleet(self) -> Js2Fleet:
        """The hub's fleet and its settings; one per process."""
        return Js2Fleet.instance(config=self.config, log=self.log)

    @property
    def record(self) -> Record | None:
        """The attempt this spawner stands for, as the open fleet knows it."""
        fleet = self.hub_fleet.fleet
        return fleet.get(self._attempt_id) if fleet and self._attempt_id else None

    @property
    def saving(self) -> Save | None:
        """What is being saved of the instance at the moment."""
        saves = self.hub_fleet.saves
        return saves.under_way(self._attempt_id) if saves and self._attempt_id else None

    @property
    def allowance(self) -> Allowance:
        """What may be kept of the server that runs; nothing while none does."""
        record = self.record
        running = record is not None and isinstance(record.state, Running)
        return self.hub_fleet.catalog.allowance_for(record.plan.image) if record and running else NOTHING_KEPT

    @property
    def image_shown(self) -> str:
        """What the pages call the image of the server: of a saved one the name its owner gave it."""
        chosen = (self.user_options or {}).get("image")
        if not saved_id(chosen):
            return str(chosen or "")
        record = self.record
        return record.plan.image_title if record is not None and record.plan.saved else "a saved image"

    async def saved_of(self, raw: object) -> list[Saved]:
        """The saved image that is asked for, as the cloud has it now: a change behind our back must not be missed.

        Raises FleetNotReady, CloudError.
        """
        image_id = saved_id(raw.get("image")) if isinstance(raw, Mapping) else ""
        if not image_id:
            return []
        await self.hub_fleet.ready()
        saves = self.hub_fleet.saves
        found = await saves.images.find(image_id) if saves else None
        return [found] if found else []

    async def all_saved(self, patience_s: float) -> list[Saved]:
        """Everybody's saved images; none when the cloud does not answer in time."""
        saves = self.hub_fleet.saves
        if saves is None:
            return []
        try:
            return await saves.images.all(patience_s=patience_s)
        except CloudError as error:
            self.log.warning("the choice page goes without saved images: %s", error)
            return []
