"""Who may mount a share: let in for as long as an instance has it, and no longer.

NFS knows a client by its address, so each instance's own is let in. CephFS knows a user with a key: there is one for
each home, made when an instance is to have it and taken back with it, so that a key somebody kept is worth nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import BadAnswer, BadRequest, CloudError, Conflict, Gone
from js2spawner.cloud.records import Share, ShareAccess
from js2spawner.fleet.names import HUB_KEY
from js2spawner.handshake.messages import HomeMount
from js2spawner.instance import Record, Shelved

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

_FIRST_LOOK_S, _LOOK_EVERY_S = 0.1, 2.0
_CEPHX = "CEPHFS"


class Sharing:
    """One region's shares. Methods wait without an end of their own: callers bring it. They raise CloudError."""

    def __init__(self, cloud: Cloud, hub_id: str, records: Callable[[], Iterable[Record]], log: Log) -> None:
        self._cloud = cloud
        self._hub_id = hub_id
        self._records = records
        self._log = log

    async def admit(self, share_id: str, address: str, *, level: str = "rw") -> HomeMount:
        """Let the instance at the address mount it; how it does so. Who is not there any more is let in no longer."""
        share = await self._made(share_id)
        cephx = share.protocol == _CEPHX
        kind, to = ("cephx", _ceph_user(share_id, level)) if cephx else ("ip", address)
        rules = await self._cloud.shares.accesses(share_id)
        if level == "rw":
            await self._drop(share_id, (rule for rule in rules if self._is_stale(rule, share_id, address)))
        access = await self._active(share_id, kind, to, level)
        exports = await self._cloud.shares.exports(share_id)
        if not exports:
            raise BadAnswer(f"share {share_id} is exported nowhere")
        return HomeMount("share", export=exports[0], access=to if cephx else "", key=access.key)

    async def refuse(self, share_id: str, gone: Record) -> None:
        """Let this instance in no longer: its own rule goes, and the key of a CephX user that nobody else needs."""
        has = [
            r
            for r in self._records()
            if r.plan.home.id == share_id
            and r.attempt_id != gone.attempt_id
            and not (r.over or isinstance(r.state, Shelved))
        ]
        mine = {gone.address} - {record.address for record in has}
        if not has:
            mine.add(_ceph_user(share_id, "rw"))
        try:
            rules = await self._cloud.shares.accesses(share_id)
            await self._drop(share_id, (rule for rule in rules if rule.to in mine))
        except Gone:
            return

    async def sweep(self, share_id: str) -> None:
        """Take back what instances that are gone were let in by."""
        rules = await self._cloud.shares.accesses(share_id)
        await self._drop(share_id, (rule for rule in rules if self._is_stale(rule, share_id, "")))

    async def sweep_readers(self, share_id: str) -> None:
        """The same for a share that only is read. It is somebody else's: rules that this hub did not make stay."""
        try:
            rules = await self._cloud.shares.accesses(share_id)
        except Gone:
            # Deleted by whoever it belongs to; starts say in the log that they go without.
            return
        # Asked for after the rules: whoever was let in meanwhile has a record.
        live = {record.address for record in self._records()}
        ours = [rule for rule in rules if self._is_ours(rule) and rule.kind == "ip" and rule.to not in live]
        await self._drop(share_id, ours)

    async def _made(self, share_id: str) -> Share:
        while True:
            share = await self._cloud.shares.get(share_id)
            if share.status not in ("creating", "creating_from_snapshot"):
                return share
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _active(self, share_id: str, kind: str, to: str, level: str) -> ShareAccess:
        """The rule once the storage keeps to it, asked for if it is not there."""
        rest_s = _FIRST_LOOK_S
        while True:
            mine = [
                r for r in await self._cloud.shares.accesses(share_id) if (r.kind, r.to, r.level) == (kind, to, level)
            ]
            rule = mine[0] if mine else None
            if rule is not None and rule.state == "active" and (rule.key or kind != "cephx"):
                return rule
            if rule is not None and rule.state == "error":
                await self._drop(share_id, [rule])
            if rule is None:
                try:
                    await self._cloud.shares.allow(share_id, kind, to, level, {HUB_KEY: self._hub_id})
                except (BadRequest, Conflict) as error:
                    if "exists" not in error.detail:
                        raise
            await asyncio.sleep(rest_s)
            rest_s = min(rest_s * 2, _LOOK_EVERY_S)

    async def _drop(self, share_id: str, rules: Iterable[ShareAccess]) -> None:
        for rule in rules:
            if "deny" not in rule.state:
                try:
                    await self._cloud.shares.deny(share_id, rule.id)
                except CloudError as error:
                    # One that stays is dropped the next time; it must not keep anybody from their files.
                    self._log.warning("share %s: access of %s stays: %s", share_id, rule.to, error.name)

    def _is_ours(self, rule: ShareAccess) -> bool:
        return rule.metadata.get(HUB_KEY) == self._hub_id

    def _is_stale(self, rule: ShareAccess, share_id: str, address: str) -> bool:
        """Whether no instance needs it any more that has this share as its home.

        Rules that this hub did not make stay: an operator may have mounted somebody's home elsewhere.
        """
        has = [r for r in self._records() if r.plan.home.id == share_id and not isinstance(r.state, Shelved)]
        if rule.kind == "ip":
            needed = {address, *(record.address for record in has)}
            return self._is_ours(rule) and rule.level == "rw" and rule.to not in needed
        return rule.to == _ceph_user(share_id, "rw") and not address and not has


def _ceph_user(share_id: str, level: str) -> str:
    """One user for each home, another for those who only read it."""
    return f"js2-{share_id[:18]}" if level == "rw" else f"js2-ro-{share_id[:18]}"
