from __future__ import annotations

import logging

import pytest

from js2spawner.cloud import errors
from js2spawner.cloud.caller import Caller
from js2spawner.cloud.shares import Shares

from .stand_in import StandIn

SHARES = "/share/v2/shares"
# As the API's reference shows it, shortened to what is read.
SHARE = {
    "id": "011d21e2",
    "name": "js2-home-alice",
    "status": "available",
    "size": 10,
    "share_proto": "CEPHFS",
    "metadata": {"js2_hub": "h"},
    "created_at": "2026-11-18T10:25:24.000000",
}
RULE = {"id": "r1", "access_type": "cephx", "access_to": "js2-011d", "access_level": "rw", "state": "active"}


@pytest.fixture
def shares(caller: Caller) -> Shares:
    return Shares(caller)


async def test_a_share_is_made_with_protocol_type_and_metadata(shares: Shares, stand_in: StandIn) -> None:
    stand_in.on("POST", SHARES, {"share": SHARE})
    share = await shares.create("js2-home-alice", 10, "CEPHFS", {"js2_hub": "h"}, share_type="cephfs")
    assert (share.id, share.size_gb, share.protocol) == ("011d21e2", 10, "CEPHFS")
    asked = stand_in.seen[0]
    assert asked.body["share"]["share_proto"] == "CEPHFS"
    assert asked.body["share"]["share_type"] == "cephfs"
    assert asked.body["share"]["is_public"] is False
    assert asked.headers["X-OpenStack-Manila-API-Version"] == "2.45"


async def test_only_shares_with_the_wanted_metadata_are_listed_even_if_the_filter_is_ignored(
    shares: Shares, stand_in: StandIn
) -> None:
    stand_in.on("GET", f"{SHARES}/detail", {"shares": [SHARE, {**SHARE, "id": "other", "metadata": {}}]})
    assert [share.id for share in await shares.list({"js2_hub": "h"})] == ["011d21e2"]
    assert stand_in.seen[0].query["metadata"] == "{'js2_hub': 'h'}"


async def test_the_preferred_export_comes_first(shares: Shares, stand_in: StandIn) -> None:
    found = [{"path": "10.0.0.2:/v", "preferred": False}, {"path": "10.0.0.3:/v", "preferred": True}]
    stand_in.on("GET", f"{SHARES}/s/export_locations", {"export_locations": found})
    assert await shares.exports("s") == ("10.0.0.3:/v", "10.0.0.2:/v")


async def test_a_user_of_cephx_gets_a_key_that_shows_in_no_repr_and_no_log(
    shares: Shares, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stand_in.on("GET", "/share/v2/share-access-rules", {"access_list": [{**RULE, "access_key": "AQDsecret=="}]})
    (rule,) = await shares.accesses("s")
    assert rule.key == "AQDsecret=="
    assert "AQDsecret" not in repr(rule) + caplog.text


async def test_the_rules_of_a_share_that_is_no_more_are_gone_though_manila_calls_the_question_bad(
    shares: Shares, stand_in: StandIn
) -> None:
    refused = {"badRequest": {"code": 400, "message": "Share s not found."}}
    stand_in.on("GET", "/share/v2/share-access-rules", refused, status=400)
    with pytest.raises(errors.Gone):
        await shares.accesses("s")


async def test_access_is_given_and_taken_back(shares: Shares, stand_in: StandIn) -> None:
    stand_in.on("POST", f"{SHARES}/s/action", {"access": {**RULE, "state": "queued_to_apply"}}, "")
    assert (await shares.allow("s", "ip", "10.0.0.9", metadata={"js2_hub": "h"})).state == "queued_to_apply"
    await shares.deny("s", "r1")
    asked = [seen.body for seen in stand_in.seen]
    rule = {"access_type": "ip", "access_to": "10.0.0.9", "access_level": "rw", "metadata": {"js2_hub": "h"}}
    assert asked[0] == {"allow_access": rule}
    assert asked[1] == {"deny_access": {"access_id": "r1"}}


# Manila's own words (exception.ShareLimitExceeded, exception.ShareSizeExceedsAvailableQuota).
FULL = {
    "shares": "Maximum number of shares allowed (10) either per project/user or share type quota is exceeded.",
    "gigabytes": "Requested share exceeds allowed project/user or share type gigabytes quota.",
}


@pytest.mark.parametrize("quota", FULL)
async def test_a_full_allocation_is_named(shares: Shares, stand_in: StandIn, quota: str) -> None:
    stand_in.on("POST", SHARES, {"overLimit": {"code": 413, "message": FULL[quota], "retryAfter": "0"}}, status=413)
    with pytest.raises(errors.QuotaExceeded) as caught:
        await shares.create("home", 10, "NFS", {})
    assert caught.value.quota == quota


async def test_a_share_grows(shares: Shares, stand_in: StandIn) -> None:
    stand_in.on("POST", f"{SHARES}/s/action", "", status=202)
    await shares.extend("s", 20)
    assert stand_in.seen[0].body == {"extend": {"new_size": 20}}
