"""Manila: shares, where they are exported, and who may mount them. (Shared File Systems API v2 reference.)"""

from __future__ import annotations

from collections.abc import Mapping

from .caller import Call, Caller, path
from .errors import BadRequest, Gone
from .reading import Json, instant, objects, read, strings, text, words
from .records import Share, ShareAccess

MICROVERSION = "2.45"
"""The lowest that has all we use (Rocky, 2018): paths of an export 2.9, CephX keys in access rules 2.21, access rules
as a resource of their own, with metadata, 2.45."""

SERVICE = "shared-file-system"


class Shares:
    """The file shares of one cloud, which not every cloud has. Every method raises CloudError; Gone where the share is
    no more, BadCloudConfig in a cloud without Manila."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self, name: str, size_gb: int, protocol: str, metadata: Mapping[str, str], *, share_type: str | None = None
    ) -> Share:
        """Ask for an empty share. Errors with `certain` False may have made one."""
        new: dict[str, object] = {
            "name": name,
            "size": size_gb,
            "share_proto": protocol,
            "metadata": dict(metadata),
            "is_public": False,
        }
        if share_type:
            new["share_type"] = share_type
        answer = await self._call("create-share", "POST", path("shares"), {"share": new})
        return read(share_from_json, answer.get("share"), "share")

    async def get(self, share_id: str) -> Share:
        answer = await self._call("get-share", "GET", path("shares", share_id))
        return read(share_from_json, answer.get("share"), "share")

    async def list(self, metadata: Mapping[str, str] | None = None) -> list[Share]:
        """The project's shares that carry all of these items."""
        wanted = dict(metadata or {})
        # Manila evaluates the parameter as Python's clients write a dictionary.
        params = {"metadata": repr(wanted)} if wanted else {}
        call = self._request("list-shares", "GET", path("shares", "detail"), params=params)
        shares = [read(share_from_json, each, "share") for each in await self._caller.pages(call, "shares")]
        return [share for share in shares if wanted.items() <= share.metadata.items()]

    async def delete(self, share_id: str) -> None:
        """Start deleting. Raises Conflict or Forbidden while it has snapshots or is in no state for it."""
        await self._call("delete-share", "DELETE", path("shares", share_id))

    async def extend(self, share_id: str, size_gb: int) -> None:
        """Start growing a share to this size; whoever has it mounted sees it grow."""
        await self._act("extend-share", share_id, {"extend": {"new_size": size_gb}})

    async def set_metadata(self, share_id: str, values: Mapping[str, str]) -> None:
        """Add or change these items; others stay."""
        body = {"metadata": dict(values)}
        await self._call("set-share-metadata", "POST", path("shares", share_id, "metadata"), body)

    async def delete_metadata(self, share_id: str, key: str) -> None:
        """Remove one item; one that is not there is no error."""
        try:
            await self._call("delete-share-metadata", "DELETE", path("shares", share_id, "metadata", key))
        except Gone as gone:
            # Manila: "Metadata item is not found.", as opposed to "Share … could not be found."
            if "etadata" not in gone.detail:
                raise

    async def exports(self, share_id: str) -> tuple[str, ...]:
        """Where it is mounted from, the preferred place first: `host:/path`, or CephFS monitors and a path."""
        answer = await self._call("list-exports", "GET", path("shares", share_id, "export_locations"))
        found = objects(answer, "export_locations")
        return tuple(text(each, "path") for each in sorted(found, key=lambda each: each.get("preferred") is not True))

    # ---- who may mount it -------------------------------------------------------------------------------------------

    async def accesses(self, share_id: str) -> tuple[ShareAccess, ...]:
        """The rules of a share, with the keys of CephX users: never to be logged or kept."""
        call = self._request("list-access", "GET", path("share-access-rules"), params={"share_id": share_id})
        try:
            answer = await self._caller.call(call)
        except BadRequest as refused:
            # Manila 23 of a share that is no more: 400 "Share … not found."
            if "not found" not in refused.detail:
                raise
            raise Gone(refused.detail) from None
        return tuple(read(access_from_json, each, "access rule") for each in objects(answer, "access_list"))

    async def allow(
        self, share_id: str, kind: str, to: str, level: str = "rw", metadata: Mapping[str, str] | None = None
    ) -> ShareAccess:
        """Let an address ("ip") or a CephX user ("cephx") mount it. BadRequest where that rule is there already."""
        asked = {"access_type": kind, "access_to": to, "access_level": level, "metadata": dict(metadata or {})}
        answer = await self._act("allow-access", share_id, {"allow_access": asked})
        return read(access_from_json, answer.get("access"), "access rule")

    async def deny(self, share_id: str, access_id: str) -> None:
        """Take a rule back; one that is gone, be it with its share, is no error: Manila's 404 does not tell which."""
        try:
            await self._act("deny-access", share_id, {"deny_access": {"access_id": access_id}})
        except Gone:
            return

    async def _act(self, operation: str, share_id: str, action: object) -> Json:
        return await self._call(operation, "POST", path("shares", share_id, "action"), action)

    async def _call(self, operation: str, method: str, where: str, body: object = None) -> Json:
        return await self._caller.call(self._request(operation, method, where, body))

    @staticmethod
    def _request(
        operation: str, method: str, where: str, body: object = None, params: Mapping[str, str] | None = None
    ) -> Call:
        return Call(
            service=SERVICE,
            operation=operation,
            method=method,
            path=where,
            body=body,
            params=params or {},
            headers={"X-OpenStack-Manila-API-Version": MICROVERSION},
        )


def share_from_json(share: Json) -> Share:
    return Share(
        id=text(share, "id"),
        name=words(share, "name"),
        status=text(share, "status"),
        size_gb=int(share["size"]),
        protocol=words(share, "share_proto").upper(),
        metadata=strings(share.get("metadata")),
        created=instant(text(share, "created_at")),
    )


def access_from_json(access: Json) -> ShareAccess:
    return ShareAccess(
        id=text(access, "id"),
        kind=words(access, "access_type"),
        to=words(access, "access_to"),
        level=words(access, "access_level"),
        state=words(access, "state"),
        key=words(access, "access_key"),
        metadata=strings(access.get("metadata")),
    )
