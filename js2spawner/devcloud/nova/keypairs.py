"""Public SSH keys of a user. Nova makes no key pairs of its own any more (microversion 2.92), and neither does this."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.nova.schema import check_name, refuse
from js2spawner.devcloud.records import Keypair

_NAME = re.compile(r"[A-Za-z0-9 _.@-]+")
_NAME_SHAPE = r"^[_\\-\\@\\. a-zA-Z0-9]+$"
_TYPES = ["ssh", "x509"]


async def list_keypairs(call: Call) -> Answer:
    own = [key for key in call.cloud.store.all(Keypair) if key.user_id == call.caller.user.id]
    return Answer({"keypairs": [{"keypair": _view(call, key)} for key in own]})


async def create_keypair(call: Call) -> Answer:
    asked = call.member("keypair")
    name, public_key = asked.get("name"), asked.get("public_key")
    if public_key is None:
        raise refuse("keypair", asked, "'public_key' is a required property")
    check_name("name", name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refuse("name", name, f"{name!r} does not match '{_NAME_SHAPE}'")
    if (kind := asked.get("type", "ssh")) not in _TYPES:
        raise refuse("type", kind, f"{kind!r} is not one of {_TYPES}")
    user_id = call.caller.user.id
    if call.cloud.store.get(Keypair, f"{user_id}/{name}"):
        raise Refusal(409, f"Key pair '{name}' already exists.")
    own = sum(1 for key in call.cloud.store.all(Keypair) if key.user_id == user_id)
    if call.cloud.over(call.project_id, "compute.key_pairs", own + 1):
        raise Refusal(403, "Quota exceeded, too many key pairs.")
    key = Keypair(
        f"{user_id}/{name}", user_id, name, kind, str(public_key),
        _fingerprint(str(public_key)), call.cloud.clock.now(),
    )  # fmt: skip
    return Answer({"keypair": _view(call, call.cloud.store.put(key))}, 201 if call.at_least(2) else 200)


async def show_keypair(call: Call) -> Answer:
    key = _keypair_of(call)
    extra = {"created_at": iso_micro(key.created), "deleted": False, "deleted_at": None, "id": 1, "updated_at": None}
    return Answer({"keypair": _view(call, key) | {"user_id": key.user_id} | extra})


async def delete_keypair(call: Call) -> Answer:
    call.cloud.store.remove(_keypair_of(call))
    return Answer(status=204 if call.at_least(2) else 202)


def _keypair_of(call: Call) -> Keypair:
    name = call.names["name"]
    key = call.cloud.store.get(Keypair, f"{call.caller.user.id}/{name}")
    if key is None:
        raise Refusal(404, f"Keypair {name} not found for user {call.caller.user.id}")
    return key


def _view(call: Call, key: Keypair) -> dict[str, Any]:
    view = {"name": key.name, "public_key": key.public_key, "fingerprint": key.fingerprint}
    if call.at_least(2):
        view["type"] = key.type
    if call.method == "POST":
        view["user_id"] = key.user_id
    return view


def _fingerprint(public_key: str) -> str:
    try:
        raw = base64.b64decode(public_key.split()[1], validate=True)
    except (IndexError, binascii.Error) as problem:
        raise Refusal(400, "Keypair data is invalid: failed to generate fingerprint") from problem
    text = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return ":".join(text[place : place + 2] for place in range(0, 32, 2))


ROUTES = (
    Route("GET", "/v2.1/os-keypairs", "keypairs.list", list_keypairs),
    Route("POST", "/v2.1/os-keypairs", "keypairs.create", create_keypair),
    Route("GET", "/v2.1/os-keypairs/{name}", "keypairs.show", show_keypair),
    Route("DELETE", "/v2.1/os-keypairs/{name}", "keypairs.delete", delete_keypair),
)
