"""What happens to a server, in order: every operation as a plan of steps.

A step waits for its phase, does what is asked of the machine (`act`), then changes the record (`change`, never waiting,
on the record as it is then). So a restart finds a server between two steps and goes on, and the states a client may see
are those written here. The order and the names are those recorded from Nova 34.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from js2spawner.devcloud.cinder.attaching import detach_all, hold_all, reserve_all
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.files import sweep
from js2spawner.devcloud.neutron.groups import default_group, find_group
from js2spawner.devcloud.neutron.ports import bind, interfaces, set_status, unbind
from js2spawner.devcloud.nova import machine_of
from js2spawner.devcloud.records import Image, Server, ServerFault
from js2spawner.devcloud.scheduler import NoValidHost, place

Act = Callable[[DevCloud, Server], Awaitable[None]]
Change = Callable[[DevCloud, Server], Server]

ACTIVE, SHUTDOWN, NOSTATE = 1, 4, 0


@dataclass(frozen=True, slots=True)
class Step:
    phase: str
    change: Change
    act: Act | None = None
    when: Callable[[Server], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Plan:
    """`failed` makes the record of a server whose plan went wrong."""

    steps: tuple[Step, ...]
    failed: Callable[[Server, ServerFault], Server]


def in_error(server: Server, fault: ServerFault) -> Server:
    return replace(server, vm_state="error", task_state=None, power_state=NOSTATE, fault=fault, updated=fault.created)


def still_offloaded(server: Server, fault: ServerFault) -> Server:
    """A failed unshelve is never ERROR: the server is SHELVED_OFFLOADED again, and only its action log says so."""
    return replace(server, vm_state="shelved_offloaded", task_state=None, host=None, updated=fault.created)


def as_before(server: Server, fault: ServerFault) -> Server:
    return replace(server, task_state=None, updated=fault.created)


def task(name: str | None) -> Change:
    """Only the task changes."""
    return lambda cloud, server: replace(server, task_state=name, updated=cloud.clock.now())


def _placed(cloud: DevCloud, server: Server) -> Server:
    if "No valid host" in server.behaviour.error:
        raise NoValidHost(server.behaviour.error)
    host = place(server.flavor, cloud.servers(None), cloud.capacity)
    next_task = "spawning" if server.vm_state == "shelved_offloaded" else None
    return replace(server, host=host, task_state=next_task, updated=cloud.clock.now())


def _networked(cloud: DevCloud, server: Server) -> Server:
    names = server.group_names or (default_group(cloud, server.project_id).name,)
    found = (find_group(cloud, server.project_id, name) for name in names)
    bind(cloud, server, tuple(group.id for group in found if group))
    task_state = "block_device_mapping" if server.volumes else "spawning"
    shown = interfaces(cloud, server.id) if server.behaviour.addresses == "early" else ()
    return replace(server, task_state=task_state, interfaces=shown, updated=cloud.clock.now())


def _active(cloud: DevCloud, server: Server) -> Server:
    now = cloud.clock.now()
    late = server.behaviour.addresses == "late" and not server.interfaces
    return replace(
        server,
        vm_state="active",
        task_state=None,
        power_state=ACTIVE,
        launched=now,
        updated=now,
        interfaces=() if late else interfaces(cloud, server.id),
    )


def _addressed(cloud: DevCloud, server: Server) -> Server:
    return replace(server, interfaces=interfaces(cloud, server.id), updated=cloud.clock.now())


def _active_without_network(cloud: DevCloud, server: Server) -> Server:
    """The trap of deleting while spawning: for about a second the server is ACTIVE, has no task and no address."""
    unbind(cloud, server.id)
    now = cloud.clock.now()
    return replace(
        server, vm_state="active", task_state=None, power_state=ACTIVE, launched=now, updated=now, interfaces=()
    )


def deleted(cloud: DevCloud, server: Server) -> Server:
    """The record of a server that is gone; what belonged to it is set free."""
    unbind(cloud, server.id)
    detach_all(cloud, server)
    _drop_shelved_image(cloud, server)
    now = cloud.clock.now()
    return replace(
        server,
        vm_state="deleted",
        task_state=None,
        power_state=NOSTATE,
        terminated=now,
        updated=now,
        interfaces=(),
        group_names=(),
        tags=(),
        locked_by="",
    )


def _unplugged(cloud: DevCloud, server: Server) -> Server:
    unbind(cloud, server.id)
    return replace(server, interfaces=(), updated=cloud.clock.now())


def _same(cloud: DevCloud, server: Server) -> Server:  # noqa: ARG001
    return server


def _powered(vm_state: str, power_state: int) -> Change:
    return lambda cloud, server: replace(
        server, vm_state=vm_state, task_state=None, power_state=power_state, updated=cloud.clock.now()
    )


def _shelved(cloud: DevCloud, server: Server) -> Server:
    image_id = _finish_image(cloud, server)
    return replace(
        server,
        vm_state="shelved",
        task_state="shelving_offloading",
        power_state=SHUTDOWN,
        shelved_image_id=image_id,
        updated=cloud.clock.now(),
    )


def _offloaded(cloud: DevCloud, server: Server) -> Server:
    set_status(cloud, server.id, "DOWN")
    now = cloud.clock.now()
    gone = replace(server, vm_state="shelved_offloaded", task_state=None, host=None, power_state=SHUTDOWN, updated=now)
    return reserve_all(cloud, gone)


def _connected(cloud: DevCloud, server: Server) -> Server:
    hold_all(cloud, server)
    return replace(server, task_state="spawning", updated=cloud.clock.now())


def _unshelved(cloud: DevCloud, server: Server) -> Server:
    hold_all(cloud, server)
    _drop_shelved_image(cloud, server)
    set_status(cloud, server.id, "ACTIVE")
    return replace(_active(cloud, server), shelved_image_id="")


def _drop_shelved_image(cloud: DevCloud, server: Server) -> None:
    """The image that a shelved server is kept in goes with the shelving, and with the server."""
    image = cloud.store.get(Image, server.shelved_image_id)
    if image is not None:
        cloud.store.remove(image)
        cloud.life.spawn(sweep(cloud))


def _imaged(cloud: DevCloud, server: Server) -> Server:
    _finish_image(cloud, server)
    return replace(server, task_state=None, updated=cloud.clock.now())


def _finish_image(cloud: DevCloud, server: Server) -> str:
    """Make the image of a snapshot usable; returns its id."""
    image_id = server.operation.arguments["image_id"] if server.operation else ""
    image = cloud.store.get(Image, image_id)
    if image is not None:
        size = server.flavor.disk_gb * 2**20
        cloud.store.put(replace(image, status="active", size=size, updated=cloud.clock.now()))
    return image_id


def _resized(cloud: DevCloud, server: Server) -> Server:
    now = cloud.clock.now()
    return replace(server, vm_state="resized", task_state=None, power_state=ACTIVE, launched=now, updated=now)


def _reverted(cloud: DevCloud, server: Server) -> Server:
    return replace(_active(cloud, server), old_flavor=None)


PLANS: dict[str, Plan] = {
    "create": Plan(
        (
            Step("scheduling", _placed),
            Step("claiming", task("networking")),
            Step("networking", _networked),
            Step("block_devices", _connected, when=lambda server: bool(server.volumes)),
            Step("spawning", _active, act=machine_of.power_on),
            Step("addresses", _addressed, when=lambda server: not server.interfaces),
        ),
        in_error,
    ),
    "delete": Plan((Step("deleting", deleted, act=machine_of.destroy), Step("deleted", _same)), in_error),
    "delete_spawning": Plan(
        (
            Step("deleting_spawning", _active_without_network),
            Step("deleting", deleted, act=machine_of.destroy),
            Step("deleted", _same),
        ),
        in_error,
    ),
    # Without a host nobody has to be asked: the record goes as soon as its ports are gone.
    "delete_offloaded": Plan((Step("deleting", _unplugged), Step("deleted", deleted)), in_error),
    "stop": Plan((Step("powering", _powered("stopped", SHUTDOWN), act=machine_of.power_off),), as_before),
    "start": Plan((Step("powering", _powered("active", ACTIVE), act=machine_of.power_on),), as_before),
    "reboot": Plan(
        (
            Step("rebooting", task("reboot_started"), when=lambda server: server.task_state == "rebooting"),
            Step("rebooting", task("reboot_started_hard"), when=lambda server: server.task_state == "rebooting_hard"),
            Step("rebooting", _powered("active", ACTIVE), act=machine_of.reboot),
        ),
        in_error,
    ),
    "rebuild": Plan(
        (Step("rebuilding", task("rebuild_spawning")), Step("spawning", _active, act=machine_of.rebuild)), in_error
    ),
    "shelve": Plan(
        (
            Step("shelving", task("shelving_image_pending_upload"), act=machine_of.power_off),
            Step("snapshot", task("shelving_image_uploading")),
            Step("snapshot", _shelved, act=machine_of.snapshot),
            Step("offloading", _offloaded, act=machine_of.destroy),
        ),
        in_error,
    ),
    "offload": Plan((Step("offloading", _offloaded, act=machine_of.destroy),), as_before),
    "unshelve": Plan(
        (Step("unshelving", _placed), Step("spawning", _unshelved, act=machine_of.power_on)), still_offloaded
    ),
    "create_image": Plan(
        (
            Step("snapshot", task("image_snapshot")),
            Step("snapshot", task("image_pending_upload")),
            Step("snapshot", task("image_uploading"), act=machine_of.snapshot),
            Step("snapshot", _imaged),
        ),
        as_before,
    ),
    "resize": Plan(
        (
            Step("resizing", task("resize_migrating")),
            Step("resizing", task("resize_migrated")),
            Step("resizing", task("resize_finish")),
            Step("resizing", _resized, act=machine_of.change_size),
        ),
        in_error,
    ),
    "revert": Plan((Step("resizing", _reverted, act=machine_of.change_size),), in_error),
}
