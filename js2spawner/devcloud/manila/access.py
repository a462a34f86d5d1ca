"""Access rules: which addresses may mount a share, and how. A rule counts once it is active."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import HTML, Refusal
from js2spawner.devcloud.manila.common import share_of
from js2spawner.devcloud.manila.exports import apply
from js2spawner.devcloud.manila.shares import extend
from js2spawner.devcloud.records import Behaviour, Share, ShareRule

_LEVELS = ("rw", "ro")


async def act_on_share(call: Call) -> Answer:
    share = share_of(call)
    action, asked = next(iter(call.body.items())) if isinstance(call.body, dict) and call.body else ("", None)
    arguments = asked if isinstance(asked, dict) else {}
    match action:
        case "extend":
            return extend(call, share, arguments)
        case "allow_access":
            return _allow(call, share, arguments)
        case "deny_access":
            return _deny(call, share, arguments)
        case "reset_status" if call.caller.admin:
            call.cloud.store.put(replace(share, status=str(arguments.get("status", "available"))))
            return Answer(status=202, content_type=HTML)
    raise Refusal(400, f"There is no such action: {action}")


async def list_rules(call: Call) -> Answer:
    share_id = call.query.get("share_id")
    if not share_id:
        raise Refusal(400, "The parameter 'share_id' is required.")
    share = call.cloud.store.get(Share, share_id)
    if share is None or share.project_id != call.project_id:
        raise Refusal(400, f"Share {share_id} not found.")
    return Answer({"access_list": [_view(rule) for rule in share.rules]})


def _allow(call: Call, share: Share, arguments: dict[str, Any]) -> Answer:
    if share.status != "available":
        text = (
            f"New access rules cannot be applied while the share or any of its replicas are in status {share.status}."
        )
        raise Refusal(400, f"Invalid share: {text}")
    if arguments.get("access_type") != "ip":
        raise Refusal(400, "Invalid share access: Only IP access type is supported by this share.")
    to, level = str(arguments.get("access_to")), arguments.get("access_level") or "rw"
    try:
        IPv4Network(to, strict=False)
    except ValueError:
        raise Refusal(400, f"Invalid share access: Supplied network address is not valid: {to}.") from None
    if level not in _LEVELS:
        raise Refusal(400, f"Invalid share access level: {level}.")
    if any(rule.to == to for rule in share.rules):
        raise Refusal(400, f"Share access ip:{to} exists.")
    now = call.cloud.clock.now()
    rule = ShareRule(new_id(), "ip", to, level, "queued_to_apply", now)
    call.cloud.store.put(replace(share, rules=(*share.rules, rule)))
    call.cloud.life.spawn(_apply(call.cloud, share.id, rule.id, call.behaviour or Behaviour()))
    return Answer({"access": {**_view(rule), "share_id": share.id}})


def _deny(call: Call, share: Share, arguments: dict[str, Any]) -> Answer:
    key = str(arguments.get("access_id"))
    rule = next((known for known in share.rules if known.id == key), None)
    if rule is None:
        raise Refusal(404, f"Share access {key} could not be found.")
    _put_rule(call.cloud, share.id, replace(rule, state="queued_to_deny"))
    call.cloud.life.spawn(_take_back(call.cloud, share.id, rule.id, call.behaviour or Behaviour()))
    return Answer(status=202, content_type=HTML)


async def _apply(cloud: DevCloud, share_id: str, rule_id: str, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("access", behaviour):
        return
    failing = behaviour.error and behaviour.error_phase == "access"
    rule = _rule(cloud, share_id, rule_id)
    if rule is not None and rule.state == "queued_to_apply":
        _put_rule(cloud, share_id, replace(rule, state="error" if failing else "active"))
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
        "access_key": None,
        "state": rule.state,
        "created_at": iso_micro(rule.created),
        "updated_at": None,
        "metadata": {},
    }


ROUTES = (
    Route("POST", "/v2/shares/{id}/action", "shares.action", act_on_share),
    Route("GET", "/v2/share-access-rules", "access_rules.list", list_rules, since=45),
)
