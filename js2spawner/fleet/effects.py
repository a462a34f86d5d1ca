"""Carries out what `decide` asks for: one remote call each, whose outcome comes back as a sighting.

Each effect may be carried out twice without harm, except the create: its record is safely stored first, it is sent
once, and whatever leaves its fate open is reported as `Unanswered` so that it is looked up and never repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, Protocol

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError, Gone, Throttled, Unreachable
from js2spawner.cloud.records import NewServer
from js2spawner.failures import Failure, failure, failure_of
from js2spawner.fleet import names
from js2spawner.instance import Instant, Record
from js2spawner.sightings import (
    Accepted,
    AttachHome,
    Confirm,
    Delete,
    DeleteAnswered,
    DetachHome,
    HomeTrouble,
    Listed,
    Refused,
    Shelve,
    ShelveAnswered,
    Sighting,
    TellEnd,
    Unanswered,
    Unshelve,
    UnshelveAnswered,
)

# A create that was refused before anything was done (throttled, no connection) may be sent again, a few times.
_SEND_AGAIN = 3
_UNREACHABLE_REST_S = 2.0

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class HomeHands(Protocol):
    """What is done about homes, as `decide` asks for it.

    Both are asked for again until it is so: carrying one out twice, or while the other still runs, does no harm.
    """

    async def attach(self, record: Record) -> Sighting:
        """See to it that the home of the record's plan is attached to its instance: HomeAttached or HomeTrouble."""

    async def detach(self, record: Record) -> Sighting:
        """See to it that it is not: HomeDetached, HomeTrouble, or Tick where that is not wanted any more."""


async def about_home(
    homes: HomeHands | None, record: Record | None, effect: AttachHome | DetachHome
) -> Sighting | None:
    """Carry out one of the two. `record` is as it is by now, None when nothing of it is left in the cloud."""
    if record is None:
        return None
    if homes is None:
        return HomeTrouble(failure("home-refused", "this hub was set up without anybody who attaches homes"))
    if isinstance(effect, DetachHome):
        return await homes.detach(record)
    return None if record.parted else await homes.attach(record)


class Hands:
    """The remote calls of one region."""

    def __init__(self, cloud: Cloud, hub_id: str, user_data: Callable[[str, str], str], log: Log) -> None:
        """`user_data(attempt_id, ticket)` gives the text an instance boots with."""
        self._cloud = cloud
        self._hub_id = hub_id
        self._user_data = user_data
        self._log = log

    async def create(self, record: Record, ticket: str, wanted: Callable[[], bool]) -> Sighting:
        """Send the create. `wanted()` turns False when the start was given up before it was sent."""
        new = self._new_server(record, ticket)
        for last in (False,) * (_SEND_AGAIN - 1) + (True,):
            if not wanted():
                return Refused(failure("cancelled"))
            try:
                server_id = await self._cloud.compute.create_server(new)
            except (Throttled, Unreachable) as error:
                if last:
                    return Refused(failure_of(error))
                await asyncio.sleep(error.retry_after_s if isinstance(error, Throttled) else _UNREACHABLE_REST_S)
                continue
            except CloudError as error:
                self._log.warning("%s: attempt %s: create: %s: %s", record.owner, record.attempt_id, error.name, error)
                return Refused(failure_of(error)) if error.certain else Unanswered(f"{error.name}: {error.detail}")
            self._log.info("%s: attempt %s is instance %s", record.owner, record.attempt_id, server_id)
            return Accepted(server_id)
        raise AssertionError("unreachable")

    async def ask(
        self, effect: Delete | Confirm | TellEnd | Shelve | Unshelve, record: Record, now: Callable[[], float]
    ) -> Sighting | None:
        """Carry out what is about an instance that is there."""
        match effect:
            case Delete(server_id):
                return await self.delete(server_id)
            case Confirm(server_id):
                return await self._confirm(server_id, now)
            case TellEnd(server_id):
                await self._tell_end(server_id, record.expires_at)
                return None
            case Shelve(server_id):
                await self._tell_end(server_id, record.expires_at)
                return await self._shelve(server_id)
            case Unshelve(server_id):
                return await self._unshelve(server_id)

    async def delete(self, server_id: str) -> Sighting | None:
        """Ask for the deletion. None when it could not be asked for: it is asked again after a while."""
        try:
            await self._cloud.compute.delete_server(server_id)
        except Gone:
            return DeleteAnswered(gone=True)
        except CloudError as error:
            self._log.warning("instance %s: delete: %s: %s", server_id, error.name, error)
            return None
        return DeleteAnswered(gone=False)

    async def _shelve(self, server_id: str) -> Sighting | None:
        """Ask for it to be shelved. None when nobody knows whether it was: the next pictures tell."""
        answer = await self._act(server_id, "shelve")
        return None if answer is None else ShelveAnswered(answer is True)

    async def _unshelve(self, server_id: str) -> Sighting | None:
        """Ask for it back. None when nobody knows whether it was asked for: the next pictures tell."""
        answer = await self._act(server_id, "unshelve")
        if isinstance(answer, Failure):
            return UnshelveAnswered(taken=False, why=answer)
        return None if answer is None else UnshelveAnswered(taken=True)

    async def _tell_end(self, server_id: str, at: Instant) -> None:
        """Nothing of ours depends on it: what cannot be written now is left at that."""
        try:
            await self._cloud.compute.set_metadata(server_id, names.end_told(at))
        except CloudError as error:
            self._log.warning("instance %s: its end is not told: %s: %s", server_id, error.name, error)

    async def _act(self, server_id: str, action: str) -> Literal[True] | Failure | None:
        """True when it was taken, why it was refused, or None when nobody knows."""
        try:
            await self._cloud.compute.act(server_id, action)
        except CloudError as error:
            self._log.warning("instance %s: %s: %s: %s", server_id, action, error.name, error)
            # What could not be asked is asked again; only what Nova refused is an answer.
            return failure_of(error) if error.certain and not isinstance(error, Throttled | Unreachable) else None
        return True

    async def _confirm(self, server_id: str, now: Callable[[], float]) -> Sighting | None:
        """Look directly at a server the list no longer shows. None when nothing was learned."""
        as_of = now()
        try:
            server = await self._cloud.compute.get_server(server_id)
        except Gone:
            return Listed(None, as_of, confirmed=True)
        except CloudError:
            return None
        return Listed(server, as_of)

    def _new_server(self, record: Record, ticket: str) -> NewServer:
        return NewServer(
            name=names.instance_name(record),
            image_id=record.plan.image_id,
            flavor_id=record.plan.flavor_id,
            network_id=record.plan.network_id,
            security_groups=record.plan.security_groups,
            metadata=names.metadata(record, self._hub_id),
            tags=(names.hub_tag(self._hub_id),),
            user_data=self._user_data(record.attempt_id, ticket),
            config_drive=record.plan.config_drive,
            description=names.description(record),
        )
