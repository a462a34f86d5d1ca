"""Servers that stand in a certain state for the whole suite: a real one takes seconds to get there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.contract.clouds import Cloud

USER_DATA = "I2Nsb3VkLWNvbmZpZwo="
TAGS = ["js2", "hub-1"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Ids of the member's servers. Tests look at them, and leave them as they were.

    `failed` is in ERROR because no hypervisor had room; `shelved` is SHELVED_OFFLOADED.
    """

    active: str
    failed: str
    shelved: str


async def stand(cloud: Cloud) -> Standing:
    """All of them, made at the same time."""
    with cloud.ledger.for_good():
        return Standing(*await asyncio.gather(_active(cloud), _failed(cloud), _shelved(cloud)))


async def _active(cloud: Cloud) -> str:
    labels = {"tags": TAGS, "metadata": {"k": "v"}, "description": "hello"}
    server = await cloud.member.active("contract-active", user_data=USER_DATA, **labels)
    return str(server["id"])


async def _failed(cloud: Cloud) -> str:
    server_id = await cloud.member.created("contract-failed", flavorRef=cloud.names.nowhere_flavor)
    await cloud.member.settled(server_id, "ERROR")
    return server_id


async def _shelved(cloud: Cloud) -> str:
    server = await cloud.member.active("contract-shelved")
    await cloud.member.act(server["id"], "shelve")
    await cloud.member.settled(server["id"], "SHELVED_OFFLOADED")
    return str(server["id"])
