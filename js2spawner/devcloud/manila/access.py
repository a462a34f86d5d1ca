"""Access rules: which addresses or users may mount a share, and how. A rule counts once it is active."""

from __future__ import annotations

import secrets
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import HTML, Refusal
from js2spawner.devcloud.manila.common import UNKNOWN_TO_ACTIONS, checked_metadata, share_of
from js2spawner.devcloud.manila.exports import apply
from js2spawner.devcloud.manila.shares import extend
from js2spawner.devcloud.records import Behaviour, Share, ShareRule

_LEVELS = ("rw", "ro")
_KINDS = ("ip", "user", "cert", "cephx")
# What each protocol's storage takes. The API takes all kinds, and the storage puts the others in error.
_TAKEN = {"NFS": "ip", "CEPHFS": "cephx"}


async def act_on_share(call: Call) -> Answer:
    action, asked = next(iter(call.body.items())) if isinstance(call.body, dict) and call.body else ("", None)
    arguments = asked if isinstance(asked, dict) else {}
    match action:
        case "extend":
            return extend(call, arguments)
        case "allow_access":
            return _allow(call, arguments)
        case "deny_access":
            return _deny(call, arguments)
        case "reset_status" if call.caller.admin:
            call.cloud.store.put(replace(share_of(call), status=str(arguments.get("status", "available"))))
            return Answer(status=202, content_type=HTML)
    raise Refusal(400, f"There is no such action: {action}")


async def list_rules(call: Call) -> Answer:
    share_id = call.query.get("share_id")
    if not share_id:
        raise Refusal(400, "The field 'share_id' has to be specified.")
    share = call.cloud.store.get(Share, share_id)
    if share is None or share.project_id != call.project_id:
        raise Refusal(400, f"Share {share_id} not found.")
    return Answer({"access_list": [_view(rule) for rule in share.rules]})


def _allow(call: Call, arguments: dict[str, Any]) -> Answer:
    share = share_of(call, f"NotFound: {UNKNOWN_TO_ACTIONS}")
    kind, to, level = (arguments.get(f"access_{part}") for part in ("type", "to", "level"))
    _check_whom(kind, str(to))
    if level not in (*_LEVELS, None):
        raise Refusal(400, f"Invalid access rule: Invalid share access level: {level}.")
    metadata = checked_metadata(arguments.get("metadata") or {})
    if any((rule.kind, rule.to) == (kind, to) for rule in share.rules):
        raise Refusal(400, f"Share access {kind}:{to} exists.")
    if share.status != "available":
        text = "New access rules cannot be applied while the share or any of its replicas or migration copies"
        raise Refusal(400, f"{text} lacks a valid host or is in an invalid state.")
    now = call.cloud.clock.now()
    rule = ShareRule(new_id(), str(kind), str(to), level or "rw", "queued_to_apply", now, metadata=metadata)
    call.cloud.store.put(replace(share, rules=(*share.rules, rule)))
    call.cloud.life.spawn(_apply(call.cloud, share.id, rule.id, call.behaviour or Behaviour()))
    return Answer({"access": {**_view(rule), "share_id": share.id}})


def _check_whom(kind: object, to: str) -> None:
    if kind not in _KINDS:
        raise Refusal(400, "Only 'ip', 'user', 'cert' or 'cephx' access types are supported.")
    if kind == "ip":
        try:
            ip_network(to)
        except ValueError as problem:
            raise Refusal(400, str(problem)) from None
    elif kind == "cephx" and not to:
        raise Refusal(400, "Ceph IDs may not be empty.")
    elif kind == "cephx" and "." in to:
        raise Refusal(400, "Ceph IDs may not contain periods.")


def _deny(call: Call, arguments: dict[str, Any]) -> Answer:
    share = share_of(call, f"NotFound: {UNKNOWN_TO_ACTIONS}")
    rule = next((known for known in share.rules if known.id == arguments.get("access_id")), None)
    if rule is None:
        raise Refusal(404, UNKNOWN_TO_ACTIONS)
    _put_rule(call.cloud, share.id, replace(rule, state="queued_to_deny"))
    call.cloud.life.spawn(_take_back(call.cloud, share.id, rule.id, call.behaviour or Behaviour()))
    return Answer(status=202, content_type=HTML)


async def _apply(cloud: DevCloud, share_id: str, rule_id: str, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("access", behaviour):
        return
    share, rule = cloud.store.get(Share, share_id), _rule(cloud, share_id, rule_id)
    if share is not None and rule is not None and rule.state == "queued_to_apply":
        failing = (behaviour.error and behaviour.error_phase == "access") or rule.kind != _TAKEN[share.protocol]
        key = secrets.token_urlsafe() if rule.kind == "cephx" and not failing else None
        state = "error" if failing else "active"
        _put_rule(cloud, share_id, replace(rule, state=state, key=key, updated=cloud.clock.now()))
        await apply(cloud)
    await cloud.store.flush()


async def _take_back(cloud: DevCloud, share_id: str, rule_id: str, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("access", behaviour):
        return
    share = cloud.store.get(Share, share_id)
    if share is not None:
        left = tuple(rule for rule in share.rules if rule.id != rule_id)
        cloud.store.put(replace(share, rules=left))
        await apply(cloud)
    await cloud.store.flush()


def _rule(cloud: DevCloud, share_id: str, rule_id: str) -> ShareRule | None:
    share = cloud.store.get(Share, share_id)
    return next((rule for rule in share.rules if rule.id == rule_id), None) if share is not None else None


def _put_rule(cloud: DevCloud, share_id: str, changed: ShareRule) -> None:
    share = cloud.store.get(Share, share_id)
    if share is not None:
        rules = tuple(changed if rule.id == changed.id else rule for rule in share.rules)
        cloud.store.put(replace(share, rules=rules))


def _view(rule: ShareRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "access_type": rule.kind,
        "access_to": rule.to,
        "access_level": rule.level,
        "access_key": rule.key,
        "state": rule.state,
        "created_at": iso_micro(rule.created),
        "updated_at": iso_micro(rule.updated) if rule.updated else None,
        "metadata": dict(rule.metadata),
    }


ROUTES = (
    Route("POST", "/v2/shares/{id}/action", "shares.action", act_on_share),
    Route("GET", "/v2/share-access-rules", "access_rules.list", list_rules, since=45),
)
