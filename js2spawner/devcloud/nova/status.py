"""What Nova shows as `status`: a function of a server's vm_state and task_state (nova/api/openstack/common.py)."""

from __future__ import annotations

_BY_STATE: dict[str, tuple[str, dict[str, str]]] = {
    "active": (
        "ACTIVE",
        {
            "rebooting": "REBOOT",
            "reboot_started": "REBOOT",
            "rebooting_hard": "HARD_REBOOT",
            "reboot_started_hard": "HARD_REBOOT",
            "rebuilding": "REBUILD",
            "rebuild_spawning": "REBUILD",
            "resize_prep": "RESIZE",
            "resize_migrating": "RESIZE",
            "resize_migrated": "RESIZE",
            "resize_finish": "RESIZE",
        },
    ),
    "building": ("BUILD", {}),
    "stopped": ("SHUTOFF", {"rebuilding": "REBUILD", "rebuild_spawning": "REBUILD"}),
    "resized": ("VERIFY_RESIZE", {"resize_reverting": "REVERT_RESIZE"}),
    "error": ("ERROR", {"rebuilding": "REBUILD", "rebuild_spawning": "REBUILD"}),
    "deleted": ("DELETED", {}),
    "shelved": ("SHELVED", {}),
    "shelved_offloaded": ("SHELVED_OFFLOADED", {}),
}
STATES_OF_STATUS = {status.lower(): state for state, (status, _) in _BY_STATE.items()}


def status_of(vm_state: str, task_state: str | None) -> str:
    plain, by_task = _BY_STATE[vm_state]
    return by_task.get(task_state or "", plain)
