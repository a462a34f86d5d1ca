"""Lists of servers: filters, order, pages, and who sees what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from tests.contract.client import server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import Standing

SERVERS = "/compute/v2.1/servers"
TAGS = {"only-a": ["a", "all"], "both": ["a", "b", "all"], "only-b": ["b", "all"], "none": ["all"]}


def tag(name: str) -> str:
    return f"contract-{name}"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def four(cloud: Cloud) -> AsyncIterator[dict[str, str]]:
    """Ids of four servers in ERROR, by name, made one after the other: those cost a real cloud least."""
    cloud.ledger.begin()
    made = {}
    for name, tags in TAGS.items():
        labels = {"tags": list(map(tag, tags)), "metadata": {"who": name}}
        made[name] = await cloud.member.created(tag(name), flavorRef=cloud.names.nowhere_flavor, **labels)
        await asyncio.sleep(1.1)  # `created` has seconds, and the order of a list goes by it
    for server_id in made.values():
        await cloud.member.settled(server_id, "ERROR")
    yield made
    await cloud.ledger.end()


async def listed(cloud: Cloud, query: str) -> list[str]:
    """The names of those of the four that a list shows."""
    servers = (await cloud.member.get(f"{SERVERS}{query}"))["servers"]
    return [name for server in servers if (name := server["name"].removeprefix("contract-")) in TAGS]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?tags=contract-a", ["both", "only-a"]),
        ("/detail?tags=contract-a", ["both", "only-a"]),
        ("?tags=contract-a,contract-b", ["both"]),
        ("?tags-any=contract-a,contract-b", ["only-b", "both", "only-a"]),
        ("?tags=contract-all&not-tags=contract-a", ["none", "only-b"]),
        ("?tags=contract-all&not-tags-any=contract-a,contract-b", ["none"]),
        ("?tags=contract-all&not-tags=contract-a,contract-b", ["none", "only-b", "only-a"]),
        ("?tags=contract-all,nope", []),
        ("?tags=contract-all&name=only", ["only-b", "only-a"]),
        ("?tags=contract-all&name=^contract-only", ["only-b", "only-a"]),
        ("?tags=contract-all&status=ERROR", ["none", "only-b", "both", "only-a"]),
        ("?tags=contract-all&status=error", ["none", "only-b", "both", "only-a"]),
        ("?tags=contract-all&status=ACTIVE", []),
        ("?tags=contract-all&status=ACTIVE&status=ERROR", ["none", "only-b", "both", "only-a"]),
        ("?tags=contract-all&vm_state=error", ["none", "only-b", "both", "only-a"]),
        ("?tags=contract-all&sort_key=display_name&sort_dir=asc", ["both", "none", "only-a", "only-b"]),
        ("?tags=contract-all&sort_dir=asc", ["only-a", "both", "only-b", "none"]),
        ("?tags=contract-all&sort_key=created_at&sort_dir=asc", ["only-a", "both", "only-b", "none"]),
        ('?tags=contract-all&metadata={"who":"both"}', ["none", "only-b", "both", "only-a"]),
        ("?tags=contract-all&host=nope", ["none", "only-b", "both", "only-a"]),
        ("?tags=contract-all&limit=0", []),
        ("?tags=contract-all&deleted=true", ["none", "only-b", "both", "only-a"]),
        ("?tags=contract-all&all_tenants=0", ["none", "only-b", "both", "only-a"]),
    ],
)
async def test_filters_and_order(cloud: Cloud, four: dict[str, str], query: str, names: list[str]) -> None:
    assert await listed(cloud, query) == names


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("status-unknown", "status=NONSENSE"),
        ("marker", "marker=11111111-1111-1111-1111-111111111111"),
        ("marker-no-id", "marker=nope"),
        ("limit", "limit=many"),
        ("limit-negative", "limit=-1"),
        ("sort-key", "sort_key=nope"),
        ("sort-dir", "sort_dir=sideways"),
        ("changes-since", "changes-since=yesterday"),
        ("tags-none", "tags=nope"),
        ("member", "bogus=1"),
        ("all-tenants", "all_tenants=1"),
        ("all-tenants-nonsense", "all_tenants=maybe"),
    ],
)
async def test_a_list_with_a_mistake(cloud: Cloud, answer: Callable[..., None], name: str, query: str) -> None:
    answer(f"list-{name}", await cloud.member.call("GET", f"{SERVERS}?{query}"))


async def test_tags_do_not_filter_before_2_26(cloud: Cloud, four: dict[str, str]) -> None:
    names = await listed_at(cloud, "2.25", "?tags=contract-a&name=contract-")
    assert {"only-b", "none"} <= set(names)


async def listed_at(cloud: Cloud, version: str, query: str) -> list[str]:
    servers = (await cloud.member.get(f"{SERVERS}{query}", version=version))["servers"]
    return [server["name"].removeprefix("contract-") for server in servers]


@pytest.mark.parametrize("rest", ["", "/detail"])
async def test_pages_follow_each_other_to_the_end(cloud: Cloud, four: dict[str, str], rest: str) -> None:
    found: list[str] = []
    query = "?limit=3&tags=contract-all"
    while query:
        page = await cloud.member.get(f"{SERVERS}{rest}{query}")
        found += [server["name"] for server in page["servers"]]
        links = page.get("servers_links", [])
        query = f"?{urlsplit(links[0]['href']).query}" if links else ""
    assert found == [tag(name) for name in ("none", "only-b", "both", "only-a")]


async def test_a_page_names_the_next_one(cloud: Cloud, answer: Callable[..., None], four: dict[str, str]) -> None:
    first = await cloud.member.call("GET", f"{SERVERS}?limit=1&tags=contract-all")
    answer("list-page", first)
    query = parse_qs(urlsplit(first.body["servers_links"][0]["href"]).query)
    assert query["marker"] == [first.body["servers"][0]["id"]]
    exactly = await cloud.member.call("GET", f"{SERVERS}?limit=4&tags=contract-all")
    answer("list-page-exactly-full", exactly)
    after_last = await cloud.member.call("GET", f"{SERVERS}?marker={four['only-a']}&tags=contract-all")
    answer("list-page-after-the-last", after_last)


async def test_a_detailed_page(cloud: Cloud, answer: Callable[..., None], four: dict[str, str]) -> None:
    seen = await cloud.member.call("GET", f"{SERVERS}/detail?limit=1&tags=contract-all")
    answer("list-page-detail", seen, loose=["flavor"])


async def test_another_project_sees_nothing_and_an_admin_has_to_ask_for_all(cloud: Cloud, four: dict[str, str]) -> None:
    query = f"{SERVERS}?tags=contract-all"
    assert (await cloud.other.get(query))["servers"] == []
    assert (await cloud.admin.get(query))["servers"] == []
    assert len((await cloud.admin.get(f"{query}&all_tenants=1"))["servers"]) == 4
    assert len((await cloud.admin.get(f"{query}&all_tenants=true"))["servers"]) == 4
    mine = f"{query}&all_tenants=1&project_id={cloud.member.project_id}"
    assert len((await cloud.admin.get(mine))["servers"]) == 4
    others = f"{query}&all_tenants=1&project_id={cloud.other.project_id}"
    assert (await cloud.admin.get(others))["servers"] == []


async def test_unknown_members_of_a_query_are_overlooked_before_2_75(cloud: Cloud, four: dict[str, str]) -> None:
    assert await listed_at(cloud, "2.74", "?tags=contract-a&bogus=1") == ["both", "only-a"]


async def test_metadata_is_no_filter_beside_others_for_an_admin(
    cloud: Cloud, answer: Callable[..., None], four: dict[str, str]
) -> None:
    query = f'{SERVERS}?tags=contract-all&all_tenants=1&metadata={{"who":"both"}}'
    answer("list-metadata-admin", await cloud.admin.call("GET", query))


async def test_by_image_flavor_and_address(cloud: Cloud, four: dict[str, str], standing: Standing) -> None:
    own = "?tags=contract-all"
    assert await listed(cloud, f"{own}&flavor={cloud.names.nowhere_flavor}") == ["none", "only-b", "both", "only-a"]
    assert await listed(cloud, f"{own}&flavor={cloud.names.flavor}") == []
    assert await listed(cloud, f"{own}&image={cloud.names.image}") == ["none", "only-b", "both", "only-a"]
    # Nova documents `uuid` for admins, and a member's is overlooked.
    assert await listed(cloud, f"{own}&uuid={four['both']}") == ["none", "only-b", "both", "only-a"]
    active = await cloud.member.server(standing.active)
    address = next(iter(active["addresses"].values()))[0]["addr"]
    found = (await cloud.member.get(f"{SERVERS}?ip={address}&name=contract-active"))["servers"]
    assert [server["id"] for server in found] == [standing.active]


async def test_changes_since_shows_what_was_deleted_since(cloud: Cloud, answer: Callable[..., None]) -> None:
    since = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = "contract-changed"
    server_id = await cloud.member.created(name, flavorRef=cloud.names.nowhere_flavor, tags=[name])
    await cloud.member.settled(server_id, "ERROR")
    shown = await cloud.member.get(f"{SERVERS}/detail?changes-since={since}&name={name}$")
    assert [server["status"] for server in shown["servers"] if server["id"] == server_id] == ["ERROR"]
    await cloud.member.call("DELETE", server_path(server_id))
    await cloud.member.gone(server_path(server_id))
    after = await cloud.member.get(f"{SERVERS}/detail?changes-since={since}&name={name}$")
    assert [server["status"] for server in after["servers"] if server["id"] == server_id] == ["DELETED"]
    assert (await cloud.member.get(f"{SERVERS}/detail?name={name}$"))["servers"] == []
    later = (datetime.now(UTC) + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (await cloud.member.get(f"{SERVERS}?changes-since={later}&name={name}"))["servers"] == []


async def test_a_list_is_current_after_every_change(cloud: Cloud, standing: Standing) -> None:
    path, query = server_path(standing.active), f"{SERVERS}/detail?tags=contract-new"
    await cloud.member.call("PUT", f"{path}/tags/contract-new")
    assert [server["id"] for server in (await cloud.member.get(query))["servers"]] == [standing.active]
    await cloud.member.call("POST", f"{path}/metadata", {"metadata": {"new": "1"}})
    assert (await cloud.member.get(query))["servers"][0]["metadata"] == {"k": "v", "new": "1"}
    await cloud.member.call("DELETE", f"{path}/metadata/new")
    assert (await cloud.member.get(query))["servers"][0]["metadata"] == {"k": "v"}
    await cloud.member.call("DELETE", f"{path}/tags/contract-new")
    assert (await cloud.member.get(query))["servers"] == []
