"""Tags and metadata of a server: reading, changing, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import TAGS, Standing


@pytest_asyncio.fixture(loop_scope="session")
async def path(cloud: Cloud, standing: Standing) -> AsyncIterator[str]:
    """The standing server's path; its labels are as before when the test ends."""
    path = server_path(standing.active)
    yield path
    assert (await cloud.member.call("PUT", f"{path}/tags", {"tags": TAGS})).status == 200
    assert (await cloud.member.call("PUT", f"{path}/metadata", {"metadata": {"k": "v"}})).status == 200


@pytest.mark.parametrize(
    ("name", "method", "rest", "body"),
    [
        ("list", "GET", "", None),
        ("replace", "PUT", "", {"tags": ["b", "a", "c"]}),
        ("replace-by-none", "PUT", "", {"tags": []}),
        ("replace-twice", "PUT", "", {"tags": ["a", "a"]}),
        ("add", "PUT", "/new", None),
        ("add-known", "PUT", "/js2", None),
        ("remove", "DELETE", "/js2", None),
        ("remove-unknown", "DELETE", "/nope", None),
        ("has", "GET", "/js2", None),
        ("has-not", "GET", "/nope", None),
        ("clear", "DELETE", "", None),
        ("51", "PUT", "", {"tags": [f"t{number}" for number in range(51)]}),
        ("too-long", "PUT", "", {"tags": ["t" * 61]}),
        ("add-too-long", "PUT", f"/{'t' * 61}", None),
        ("slash", "PUT", "", {"tags": ["a/b"]}),
        ("comma", "PUT", "", {"tags": ["a,b"]}),
        ("add-comma", "PUT", "/a,b", None),
        ("empty", "PUT", "", {"tags": [""]}),
        ("number", "PUT", "", {"tags": [1]}),
        ("no-list", "PUT", "", {"tags": "a"}),
        ("no-tags", "PUT", "", {}),
    ],
)
async def test_tags(
    cloud: Cloud, answer: Callable[..., None], path: str, name: str, method: str, rest: str, body: Any
) -> None:
    answer(f"tags-{name}", await cloud.member.call(method, f"{path}/tags{rest}", body))


async def test_the_51st_tag_cannot_be_added(cloud: Cloud, answer: Callable[..., None], path: str) -> None:
    assert (await cloud.member.call("PUT", f"{path}/tags", {"tags": [f"t{n}" for n in range(50)]})).status == 200
    answer("tags-add-51st", await cloud.member.call("PUT", f"{path}/tags/one-more"))


@pytest.mark.parametrize("version", ["2.1", "2.25", "2.26"])
async def test_tags_came_with_2_26(cloud: Cloud, answer: Callable[..., None], path: str, version: str) -> None:
    answer(f"tags-{version}", await cloud.member.call("GET", f"{path}/tags", version=version))


async def test_a_body_without_its_type_is_not_read(cloud: Cloud, answer: Callable[..., None], path: str) -> None:
    """What an HTTP library may add by itself to a PUT without a body."""
    headers = {"Content-Type": "application/octet-stream"}
    answer("tags-add-no-json", await cloud.member.call("PUT", f"{path}/tags/new", headers=headers))


@pytest.mark.parametrize(
    ("name", "method", "rest", "body"),
    [
        ("show", "GET", "", None),
        ("update", "POST", "", {"metadata": {"new": "1"}}),
        ("update-known", "POST", "", {"metadata": {"k": "w"}}),
        ("update-by-none", "POST", "", {"metadata": {}}),
        ("replace", "PUT", "", {"metadata": {"new": "1"}}),
        ("show-item", "GET", "/k", None),
        ("show-item-unknown", "GET", "/nope", None),
        ("set-item", "PUT", "/new", {"meta": {"new": "1"}}),
        ("set-item-mismatch", "PUT", "/new", {"meta": {"old": "1"}}),
        ("remove", "DELETE", "/k", None),
        ("remove-unknown", "DELETE", "/nope", None),
        ("value-too-long", "POST", "", {"metadata": {"k": "v" * 256}}),
        ("key-too-long", "POST", "", {"metadata": {"k" * 256: "v"}}),
        ("value-number", "POST", "", {"metadata": {"k": 1}}),
        ("too-many", "POST", "", {"metadata": {f"k{number}": "v" for number in range(129)}}),
        ("none", "POST", "", {}),
    ],
)
async def test_metadata(
    cloud: Cloud, answer: Callable[..., None], path: str, name: str, method: str, rest: str, body: Any
) -> None:
    answer(f"metadata-{name}", await cloud.member.call(method, f"{path}/metadata{rest}", body))


async def test_other_items_stay(cloud: Cloud, path: str) -> None:
    await cloud.member.call("POST", f"{path}/metadata", {"metadata": {"new": "1"}})
    assert (await cloud.member.get(f"{path}/metadata"))["metadata"] == {"k": "v", "new": "1"}
    await cloud.member.call("DELETE", f"{path}/metadata/k")
    assert (await cloud.member.get(f"{path}/metadata"))["metadata"] == {"new": "1"}


@pytest.mark.parametrize("state", ["failed", "shelved"])
@pytest.mark.parametrize(
    ("name", "method", "rest", "body"),
    [
        ("tags-replace", "PUT", "/tags", {"tags": ["a"]}),
        ("tags-add", "PUT", "/tags/a", None),
        ("tags-remove", "DELETE", "/tags/a", None),
        ("tags-clear", "DELETE", "/tags", None),
        ("metadata-update", "POST", "/metadata", {"metadata": {"k": "v"}}),
        ("metadata-remove-unknown", "DELETE", "/metadata/nope", None),
    ],
)
async def test_labels_of_a_server_that_does_not_run(
    cloud: Cloud,
    answer: Callable[..., None],
    standing: Standing,
    state: str,
    name: str,
    method: str,
    rest: str,
    body: Any,
) -> None:
    answer(
        f"{name}-when-{state}", await cloud.member.call(method, f"{server_path(getattr(standing, state))}{rest}", body)
    )


async def test_labels_of_a_server_that_is_being_built(cloud: Cloud, answer: Callable[..., None]) -> None:
    with cloud.slow("scheduling", "spawning"):
        server_id = await cloud.member.created("contract-early", metadata={"k": "v"})
        path = server_path(server_id)
        answer("tags-replace-early", await cloud.member.call("PUT", f"{path}/tags", {"tags": ["a"]}))
        answer("metadata-update-early", await cloud.member.call("POST", f"{path}/metadata", {"metadata": {"k": "w"}}))


async def test_a_new_name(cloud: Cloud, answer: Callable[..., None], standing: Standing) -> None:
    path = server_path(standing.failed)
    answer("rename", await cloud.member.call("PUT", path, {"server": {"name": "contract-renamed"}}), loose=["flavor"])
    answer("rename-empty", await cloud.member.call("PUT", path, {"server": {"name": ""}}))
    assert (await cloud.member.call("PUT", path, {"server": {"name": "contract-failed"}})).status == 200
