"""Values for tests about the life of an instance: records in any state, servers as Nova shows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from js2spawner.cloud.records import Fault, Server
from js2spawner.instance import (
    Assigned,
    Booting,
    Building,
    Greeted,
    HomeUse,
    Idle,
    Instant,
    Owner,
    Plan,
    Planned,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
    State,
)

T0: Instant = 1_800_000_000.0
ADDRESS = "10.0.0.9"
SERVER_ID = "11111111-2222-3333-4444-555555555555"

PLAN = Plan(
    region="IU",
    image="minimal",
    image_id="image-1",
    image_title="Minimal",
    flavor="m3.small",
    flavor_id="flavor-1",
    network_id="network-1",
    security_groups=("group-1",),
    gpu=False,
    sudo=False,
    config_drive=False,
    longest_s=12 * 3600,
)


VOLUME_ID = "99999999-8888-7777-6666-555555555555"
HOME = HomeUse("volume", VOLUME_ID, "js2-home-alice", 10)


def record(state: State | None = None, **changes: object) -> Record:
    """An attempt of alice's, `Planned` at T0 unless told otherwise."""
    plain = Record(
        attempt_id="a" * 16,
        owner=Owner("alice", ""),
        plan=PLAN,
        number=1,
        begun_at=T0,
        expires_at=T0 + PLAN.longest_s,
        ticket_hash="ticket-hash",
        state=state or Planned(T0),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def building() -> Record:
    return record(Building(T0, SERVER_ID))


def booting() -> Record:
    return record(Booting(T0, SERVER_ID, ADDRESS))


def greeted() -> Record:
    return record(Greeted(T0, SERVER_ID, ADDRESS, "channel-hash"))


def assigned(stage: str = "account") -> Record:
    return record(Assigned(T0, SERVER_ID, ADDRESS, "channel-hash", stage))


def running() -> Record:
    return record(Running(T0, SERVER_ID, ADDRESS, "channel-hash"))


def at_home(plain: Record, *, attached: bool = True, idle: Idle = "delete") -> Record:
    """The same with a home on a volume."""
    return replace(plain, plan=replace(plain.plan, home=HOME, idle=idle), home_attached=attached)


def kept(plain: Record) -> Record:
    """The same, to be shelved when nobody needs it; its server has listened."""
    return replace(plain, plan=replace(plain.plan, idle="shelve"), has_run=True)


def shelving(asked_at: Instant | None = None) -> Record:
    return kept(record(Shelving(T0, SERVER_ID, ADDRESS, "channel-hash", asked_at)))


def shelved() -> Record:
    return kept(record(Shelved(T0, SERVER_ID, ADDRESS, "channel-hash"), expires_at=T0 + PLAN.shelved_s))


def returning(asked_at: Instant | None = None, asked: int = 1) -> Record:
    return kept(record(Returning(T0, SERVER_ID, "channel-hash", asked_at, asked)))


def server(status: str = "ACTIVE", **changes: object) -> Server:
    """A server as the member of a project sees it."""
    plain = Server(
        id=SERVER_ID,
        name="js2-alice",
        status=status,
        task_state=None,
        vm_state=status.lower(),
        power_state=1,
        addresses=(ADDRESS,),
        image_id="image-1",
        flavor_name="m3.small",
        metadata={"js2_hub": "hub", "js2_attempt": "a" * 16},
        tags=frozenset({"js2-hub-hub"}),
        created=datetime(2026, 11, 22, tzinfo=UTC),
        launched=datetime(2026, 11, 22, tzinfo=UTC),
        volumes=(),
        locked=False,
        fault=None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def broken_server(message: str) -> Server:
    return server("ERROR", addresses=(), launched=None, fault=Fault(500, message))
