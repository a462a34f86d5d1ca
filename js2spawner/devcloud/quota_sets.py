"""Quota sets as Cinder and Manila have them: shown to their own project, set by an admin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from js2spawner.devcloud.calls import Answer, Call
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal


@dataclass(frozen=True, slots=True)
class QuotaSets:
    """`resource` is what limits are kept under, `policy` the rules' name in a refusal.

    `used(cloud, project_id)` names what there are limits of; `in_full(call)`: whether use is asked for, too.
    `no_change` is what whoever may not set them is told.
    """

    resource: str
    policy: str
    used: Callable[[DevCloud, str], dict[str, int]]
    in_full: Callable[[Call], bool]
    no_change: str = ""

    async def show(self, call: Call) -> Answer:
        project_id = call.names["id"]
        if project_id != call.project_id and not call.caller.admin:
            raise self._forbidden("show")
        held = self.used(call.cloud, project_id)
        limits = {name: call.cloud.limit(project_id, f"{self.resource}.{name}") for name in held}
        if not self.in_full(call):
            return Answer({"quota_set": {"id": project_id, **limits}})
        full = {name: {"limit": limits[name], "in_use": held[name], "reserved": 0} for name in held}
        return Answer({"quota_set": {"id": project_id, **full}})

    async def update(self, call: Call) -> Answer:
        if not call.caller.admin:
            raise Refusal(403, self.no_change) if self.no_change else self._forbidden("update")
        asked = {name: value for name, value in call.member("quota_set").items() if isinstance(value, int)}
        call.cloud.set_limits(call.names["id"], {f"{self.resource}.{name}": value for name, value in asked.items()})
        return Answer({"quota_set": asked})

    def _forbidden(self, what: str) -> Refusal:
        return Refusal(403, f"Policy doesn't allow {self.policy}:{what} to be performed.")
