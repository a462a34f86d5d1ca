"""Manila: a share's life, what is said of it, who may mount it, and the hub's own calls about all that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from js2spawner.cloud import errors
from js2spawner.cloud.cloud import Cloud as OurCloud
from js2spawner.cloud.shares import MICROVERSION
from tests.contract.client import LOOK_EVERY_S, PATIENCE_S, Client, Seen
from tests.contract.clouds import Cloud

Answer = Callable[..., None]
NOWHERE = "11111111-1111-1111-1111-111111111111"
SHARES, RULES = "/share/v2/shares", "/share/v2/share-access-rules"
# Who runs a cloud names its zones and types, and says what its storage can do.
LOOSE = ("availability_zone", "share_type", "share_type_name", "volume_type")
ADDRESS, USER = "10.77.0.12", "js2-contract"


@pytest.fixture(autouse=True)
def _with_shares(cloud: Cloud) -> None:
    if "share" not in cloud.member.roots:
        pytest.skip("this cloud has no Manila")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def ours(cloud: Cloud) -> AsyncIterator[OurCloud]:
    ours = OurCloud(cloud.entries["member"], config_file=str(cloud.clouds_yaml))
    yield ours
    await ours.close()


async def test_a_share_is_made_shown_and_deleted(cloud: Cloud, answer: Answer) -> None:
    made = await _create(cloud.member, "contract-made", metadata={"user": "alice"}, description="a home")
    answer("share-made", made, loose=LOOSE)
    path = f"{SHARES}/{made.body['share']['id']}"
    await _until(cloud.member, path, "available")
    answer("share-available", await _call(cloud.member, "GET", path), loose=LOOSE)
    answer("share-listed", await _call(cloud.member, "GET", f"{SHARES}/detail?name=contract-made"), loose=LOOSE)
    answer("share-listed-briefly", await _call(cloud.member, "GET", f"{SHARES}?name=contract-made"))
    answer("share-deleted", await _call(cloud.member, "DELETE", path))
    await cloud.member.gone(path)
    for method, name in (("GET", "share-gone"), ("DELETE", "share-gone-again")):
        answer(name, await _call(cloud.member, method, path))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("size-zero", {"size": 0}),
        ("negative-size", {"size": -1}),
        ("size-as-word", {"size": "big"}),
        ("unknown-protocol", {"share_proto": "AFS"}),
        ("unknown-type", {"share_type": "nope"}),
        ("unknown-zone", {"availability_zone": "nope"}),
        ("unknown-snapshot", {"snapshot_id": NOWHERE}),
        ("name-too-long", {"name": "n" * 256}),
        ("metadata-empty", {"metadata": {"k": ""}}),
        ("metadata-too-long", {"metadata": {"k": "v" * 1024}}),
        ("metadata-key-too-long", {"metadata": {"k" * 256: "v"}}),
        ("public", {"is_public": True}),
        ("public-as-word", {"is_public": "perhaps"}),
    ],
)
async def test_a_share_that_makes_no_sense_is_refused(
    cloud: Cloud, answer: Answer, name: str, asked: Mapping[str, Any]
) -> None:
    answer(f"share-refused-{name}", await _create(cloud.member, **{"name": "contract-bad", **asked}))


async def test_a_request_that_is_no_share_is_refused(cloud: Cloud, answer: Answer) -> None:
    answer("share-no-share", await _call(cloud.member, "POST", SHARES, {"volume": {"size": 1}}))
    answer("share-unknown-version", await _call(cloud.member, "GET", SHARES, version="2.999"))
    answer("share-no-version", await _call(cloud.member, "GET", SHARES, version="two"))
    answer("share-nobody", await _call(cloud.nobody, "GET", SHARES))


async def test_a_share_that_is_not_made_yet_waits_for_nothing_but_its_end(cloud: Cloud, answer: Answer) -> None:
    with cloud.slow("share"):
        path = f"{SHARES}/{(await _create(cloud.member, 'contract-early')).body['share']['id']}"
        answer("share-early-exports", await _call(cloud.member, "GET", f"{path}/export_locations"))
        answer("share-early-rule", await _allow(cloud.member, path, "ip", ADDRESS))
        answer("share-early-extend", await _extend(cloud.member, path, 2))
        answer("share-early-delete", await _call(cloud.member, "DELETE", path))
    await _until(cloud.member, path, "available")


async def test_a_share_is_labelled(cloud: Cloud, answer: Answer) -> None:
    path = await _share(cloud.member, "contract-labels", metadata={"user": "alice"})
    metadata = f"{path}/metadata"
    answer("share-metadata-added", await _call(cloud.member, "POST", metadata, {"metadata": {"desk": "3"}}))
    answer("share-metadata", await _call(cloud.member, "GET", metadata))
    answer("share-metadata-replaced", await _call(cloud.member, "PUT", metadata, {"metadata": {"desk": "4"}}))
    answer("share-metadata-deleted", await _call(cloud.member, "DELETE", f"{metadata}/desk"))
    answer("share-metadata-gone", await _call(cloud.member, "DELETE", f"{metadata}/desk"))
    for name, bad in (("empty", ""), ("too-long", "v" * 1024)):
        answer(f"share-metadata-refused-{name}", await _call(cloud.member, "POST", metadata, {"metadata": {"k": bad}}))
    answer("share-metadata-no-metadata", await _call(cloud.member, "POST", metadata, {"meta": {"k": "v"}}))
    nowhere = f"{SHARES}/{NOWHERE}/metadata"
    answer("share-metadata-nowhere", await _call(cloud.member, "GET", nowhere))
    answer("share-metadata-added-nowhere", await _call(cloud.member, "POST", nowhere, {"metadata": {"k": "v"}}))
    answer("share-metadata-deleted-nowhere", await _call(cloud.member, "DELETE", f"{nowhere}/k"))


async def test_shares_are_found_by_metadata_name_and_status(cloud: Cloud, answer: Answer) -> None:
    labels = {"contract": 'o\'neil, "x": {y}', "hub": "1"}
    share = (await _share(cloud.member, "contract-found", metadata=labels)).rpartition("/")[2]
    for query, found in (
        ({"metadata": repr(labels)}, {share}),
        ({"metadata": repr({"contract": labels["contract"]})}, {share}),
        ({"metadata": repr({**labels, "hub": "2"})}, set()),
        ({"name": "contract-found"}, {share}),
        ({"name": "contract-f"}, set()),
        ({"name": "contract-found", "status": "available"}, {share}),
        ({"name": "contract-found", "status": "error"}, set()),
        ({"name": "contract-found", "nope": "1"}, {share}),
    ):
        listed = (await _call(cloud.member, "GET", _with(f"{SHARES}/detail", query))).body["shares"]
        assert {each["id"] for each in listed} == found, query
    assert (await _call(cloud.other, "GET", f"{SHARES}/detail?name=contract-found")).body == {"shares": []}
    # The hub writes a dictionary of texts and nothing else.
    answer("share-list-bad-metadata", await _call(cloud.member, "GET", _with(SHARES, {"metadata": "['a']"})))


async def test_a_list_of_shares_comes_in_parts_by_number(cloud: Cloud, answer: Answer) -> None:
    names = {(await _share(cloud.member, "contract-page")).rpartition("/")[2] for _ in range(3)}
    base = f"{SHARES}?name=contract-page"
    pages = [(await _call(cloud.member, "GET", f"{base}&limit=2&offset={offset}")).body for offset in (0, 2)]
    assert [len(page["shares"]) for page in pages] == [2, 1]
    assert {each["id"] for page in pages for each in page["shares"]} == names
    # Manila names a next page with a marker, and reads none: whoever follows gets the first one again.
    answer("share-page", await _call(cloud.member, "GET", f"{base}&limit=2"))
    marker = pages[0]["shares"][-1]["id"]
    assert (await _call(cloud.member, "GET", f"{base}&limit=2&marker={marker}")).body["shares"] == pages[0]["shares"]
    assert "shares_links" not in (await _call(cloud.member, "GET", base)).body
    answer("share-list-bad-limit", await _call(cloud.member, "GET", f"{SHARES}?limit=many"))
    answer("share-list-negative-limit", await _call(cloud.member, "GET", f"{SHARES}?limit=-1"))
    answer("share-list-bad-offset", await _call(cloud.member, "GET", f"{SHARES}?offset=many"))


async def test_a_share_grows_and_does_not_shrink_by_growing(cloud: Cloud, answer: Answer) -> None:
    path = await _share(cloud.member, "contract-grows")
    answer("share-extend-same", await _extend(cloud.member, path, 1))
    answer("share-extend-word", await _extend(cloud.member, path, "big"))
    answer("share-extend-negative", await _extend(cloud.member, path, -1))
    answer("share-extend-nowhere", await _extend(cloud.member, f"{SHARES}/{NOWHERE}", 2))
    with cloud.slow("share"):
        answer("share-extended", await _extend(cloud.member, path, 2))
        shown = (await _call(cloud.member, "GET", path)).body["share"]
        assert (shown["status"], shown["size"]) == ("extending", 1)
    await _until(cloud.member, path, "available")
    assert (await _call(cloud.member, "GET", path)).body["share"]["size"] == 2
    answer("share-unknown-action", await _call(cloud.member, "POST", f"{path}/action", {"nope": {}}))


async def test_where_a_share_is_mounted_from_is_told_the_preferred_place_among_them(cloud: Cloud) -> None:
    path = await _share(cloud.member, "contract-exports")
    seen = await _call(cloud.member, "GET", f"{path}/export_locations")
    assert seen.status == 200
    found = seen.body["export_locations"]
    assert {frozenset(each) for each in found} == {frozenset({"id", "path", "preferred"})}
    assert [each["preferred"] for each in found].count(True) == 1


@pytest.mark.parametrize(
    ("protocol", "kind", "to", "other"), [("NFS", "ip", ADDRESS, "cephx"), ("CEPHFS", "cephx", USER, "ip")]
)
async def test_somebody_is_let_in_and_no_longer(
    cloud: Cloud, answer: Answer, protocol: str, kind: str, to: str, other: str
) -> None:
    path = await _share(cloud.member, "contract-rules", share_proto=protocol)
    allowed = await _allow(cloud.member, path, kind, to, metadata={"hub": "1"})
    answer(f"share-rule-{kind}", allowed)
    await _rule(cloud.member, path, to, "active")
    listed = await _call(cloud.member, "GET", f"{RULES}?share_id={_id(path)}")
    answer(f"share-rules-{kind}", listed, loose=["access_key"])
    answer(f"share-rule-{kind}-again", await _allow(cloud.member, path, kind, to, "ro"))
    # Which kind a protocol takes the storage knows, and not the API.
    wrong = USER if other == "cephx" else ADDRESS
    answer(f"share-rule-wrong-{other}", await _allow(cloud.member, path, other, wrong))
    await _rule(cloud.member, path, wrong, "error")
    await _rules_status(cloud.member, path, "error")
    for rule in await _rules(cloud.member, path):
        answer_name = "share-rule-denied" if rule["access_to"] == to else "share-rule-denied-in-error"
        answer(f"{answer_name}-{kind}", await _deny(cloud.member, path, rule["id"]))
    await _no_rules(cloud.member, path)
    answer(f"share-rule-{kind}-gone", await _deny(cloud.member, path, allowed.body["access"]["id"]))
    await _rules_status(cloud.member, path, "active")


async def test_rules_that_make_no_sense_are_refused(cloud: Cloud, answer: Answer) -> None:
    path = await _share(cloud.member, "contract-bad-rules")
    for name, kind, to, level in (
        ("address", "ip", "10.77.0.300", "rw"),
        ("network", "ip", "10.77.0.12/8", "rw"),
        ("user", "cephx", "client.alice", "rw"),
        ("no-user", "cephx", "", "rw"),
        ("kind", "telnet", "alice", "rw"),
        ("level", "ip", ADDRESS, "rwx"),
    ):
        answer(f"share-rule-refused-{name}", await _allow(cloud.member, path, kind, to, level))
    answer("share-rule-nowhere", await _allow(cloud.member, f"{SHARES}/{NOWHERE}", "ip", ADDRESS))
    answer("share-rule-denied-nowhere", await _deny(cloud.member, f"{SHARES}/{NOWHERE}", NOWHERE))
    answer("share-rules-of-nothing", await _call(cloud.member, "GET", RULES))
    answer("share-rules-nowhere", await _call(cloud.member, "GET", f"{RULES}?share_id={NOWHERE}"))
    answer("share-rules-old-version", await _call(cloud.member, "GET", f"{RULES}?share_id={NOWHERE}", version="2.44"))
    assert await _rules(cloud.member, path) == []


async def test_another_projects_share_is_not_there(cloud: Cloud, answer: Answer) -> None:
    path = await _share(cloud.member, "contract-mine", metadata={"k": "v"})
    for name, call in (
        ("shown", _call(cloud.other, "GET", path)),
        ("deleted", _call(cloud.other, "DELETE", path)),
        ("grown", _extend(cloud.other, path, 2)),
        ("labelled", _call(cloud.other, "POST", f"{path}/metadata", {"metadata": {"k": "w"}})),
        ("labels", _call(cloud.other, "GET", f"{path}/metadata")),
        ("unlabelled", _call(cloud.other, "DELETE", f"{path}/metadata/k")),
        ("exports", _call(cloud.other, "GET", f"{path}/export_locations")),
        ("rules", _call(cloud.other, "GET", f"{RULES}?share_id={_id(path)}")),
        ("rule", _allow(cloud.other, path, "ip", ADDRESS)),
    ):
        answer(f"share-others-{name}", await call)
    assert (await _call(cloud.member, "GET", path)).body["share"]["metadata"] == {"k": "v"}


async def test_more_than_the_quota_is_refused_and_says_of_what(cloud: Cloud, answer: Answer) -> None:
    sets = f"/share/v2/quota-sets/{cloud.other.project_id}"
    before = (await _call(cloud.admin, "GET", sets)).body["quota_set"]
    path = await _share(cloud.other, "contract-quota")
    changed = {"shares": 1, "gigabytes": 2}
    answer("share-quota-by-member", await _call(cloud.other, "PUT", sets, {"quota_set": changed}))
    assert (await _call(cloud.admin, "PUT", sets, {"quota_set": changed})).status == 200
    try:
        answer("share-over-gigabytes", await _create(cloud.other, "contract-large", size=5))
        answer("share-over-number", await _create(cloud.other, "contract-many"))
        answer("share-extend-over-gigabytes", await _extend(cloud.other, path, 5))
    finally:
        back = {name: before[name] for name in changed}
        assert (await _call(cloud.admin, "PUT", sets, {"quota_set": back})).status == 200
    assert (await _call(cloud.member, "GET", sets)).status == 403


# ---- the hub's own calls --------------------------------------------------------------------------------------------


async def test_our_own_share_from_create_to_gone(cloud: Cloud, ours: OurCloud) -> None:
    labels = {"user": "o'neil", "contract": "ours"}
    made = await ours.shares.create("contract-ours", 1, "NFS", labels)
    path = f"{SHARES}/{made.id}"
    cloud.ledger.note(cloud.member, path)
    assert (made.name, made.size_gb, made.protocol, made.metadata) == ("contract-ours", 1, "NFS", labels)
    await _until(cloud.member, path, "available")
    assert [each.id for each in await ours.shares.list(labels)] == [made.id]
    assert await ours.shares.list({"contract": "ours", "user": "bob"}) == []
    assert made.id in [each.id for each in await ours.shares.list()]
    await ours.shares.set_metadata(made.id, {"user": "bob", "late": "yes"})
    for _ in range(2):
        await ours.shares.delete_metadata(made.id, "late")
    assert (await ours.shares.get(made.id)).metadata == {"user": "bob", "contract": "ours"}
    assert all(":" in place for place in await ours.shares.exports(made.id))
    with pytest.raises(errors.BadRequest):
        await ours.shares.extend(made.id, 1)
    await ours.shares.extend(made.id, 2)
    await _until(cloud.member, path, "available")
    assert (await ours.shares.get(made.id)).size_gb == 2
    await ours.shares.delete(made.id)
    await cloud.member.gone(path)
    for refused in (
        ours.shares.get(made.id),
        ours.shares.delete(made.id),
        ours.shares.extend(made.id, 3),
        ours.shares.set_metadata(made.id, {"a": "b"}),
        ours.shares.delete_metadata(made.id, "a"),
        ours.shares.exports(made.id),
        ours.shares.accesses(made.id),
        ours.shares.allow(made.id, "ip", ADDRESS),
    ):
        with pytest.raises(errors.Gone):
            await refused
    await ours.shares.deny(made.id, NOWHERE)


async def test_our_own_rules_come_with_the_key_that_cephx_needs(cloud: Cloud, ours: OurCloud) -> None:
    made = await ours.shares.create("contract-ours-ceph", 1, "CEPHFS", {})
    path = f"{SHARES}/{made.id}"
    cloud.ledger.note(cloud.member, path)
    await _until(cloud.member, path, "available")
    rule = await ours.shares.allow(made.id, "cephx", USER, "rw", {"hub": "1"})
    await _rule(cloud.member, path, USER, "active")
    (seen,) = await ours.shares.accesses(made.id)
    assert (seen.id, seen.kind, seen.to, seen.level, seen.state) == (rule.id, "cephx", USER, "rw", "active")
    assert seen.key
    assert seen.metadata == {"hub": "1"}
    with pytest.raises(errors.BadRequest, match="exists"):
        await ours.shares.allow(made.id, "cephx", USER, "ro")
    await ours.shares.deny(made.id, rule.id)
    await _no_rules(cloud.member, path)
    # One that is gone is no error.
    await ours.shares.deny(made.id, rule.id)


async def test_a_share_over_the_quota_is_a_quota_and_no_throttling(cloud: Cloud) -> None:
    ours = OurCloud(cloud.entries["other"], config_file=str(cloud.clouds_yaml))
    try:
        with pytest.raises(errors.QuotaExceeded) as raised:
            await ours.shares.create("contract-ours-quota", 1_000_000, "NFS", {})
        assert raised.value.quota == "gigabytes"
    finally:
        await ours.close()


# ---- asking ---------------------------------------------------------------------------------------------------------


async def _call(by: Client, method: str, path: str, body: Any = None, *, version: str = MICROVERSION) -> Seen:
    return await by.call(method, path, body, headers={"X-OpenStack-Manila-API-Version": version})


async def _create(by: Client, name: str, **more: Any) -> Seen:
    asked = {"name": name, "size": 1, "share_proto": "NFS", "is_public": False, **more}
    return await _call(by, "POST", SHARES, {"share": asked})


async def _share(by: Client, name: str, **more: Any) -> str:
    """The path of a new share that is available."""
    made = await _create(by, name, **more)
    assert made.status == 200, made
    path = f"{SHARES}/{made.body['share']['id']}"
    await _until(by, path, "available")
    return path


async def _extend(by: Client, path: str, size: Any) -> Seen:
    return await _call(by, "POST", f"{path}/action", {"extend": {"new_size": size}})


async def _allow(by: Client, path: str, kind: str, to: str, level: str = "rw", **more: Any) -> Seen:
    asked = {"access_type": kind, "access_to": to, "access_level": level, **more}
    return await _call(by, "POST", f"{path}/action", {"allow_access": asked})


async def _deny(by: Client, path: str, rule_id: str) -> Seen:
    return await _call(by, "POST", f"{path}/action", {"deny_access": {"access_id": rule_id}})


async def _rules(by: Client, path: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = (await _call(by, "GET", f"{RULES}?share_id={_id(path)}")).body["access_list"]
    return rules


async def _rule(by: Client, path: str, to: str, state: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (to, state) not in [(rule["access_to"], rule["state"]) for rule in await _rules(by, path)]:
            await asyncio.sleep(LOOK_EVERY_S)


async def _rules_status(by: Client, path: str, status: str) -> None:
    """It follows the last rule a moment later."""
    async with asyncio.timeout(PATIENCE_S):
        while (await _call(by, "GET", path)).body["share"]["access_rules_status"] != status:
            await asyncio.sleep(LOOK_EVERY_S)


async def _no_rules(by: Client, path: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await _rules(by, path):
            await asyncio.sleep(LOOK_EVERY_S)


async def _until(by: Client, path: str, status: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await _call(by, "GET", path)).body["share"]["status"] != status:
            await asyncio.sleep(LOOK_EVERY_S)


def _id(path: str) -> str:
    return path.rpartition("/")[2]


def _with(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}"
