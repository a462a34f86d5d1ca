"""What Nova shows of servers and of itself: by microversion, to whom, and what it hides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.client import NO_VERSION, server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import USER_DATA, Standing

NOWHERE = "11111111-1111-1111-1111-111111111111"
EVENT = {"name": "network-changed", "server_uuid": NOWHERE}
USER_DATA_SHOWN = "OS-EXT-SRV-ATTR:user_data"
# What an admin is shown of the machine under a server has names of its own in every cloud.
OF_THE_HOST = (
    "OS-EXT-SRV-ATTR:host",
    "OS-EXT-SRV-ATTR:hypervisor_hostname",
    "OS-EXT-SRV-ATTR:instance_name",
    "OS-EXT-SRV-ATTR:reservation_id",
)
OF_THE_FLAVOR = ("vcpus", "ram", "disk", "extra_specs")
VERSIONS = [
    "2.1",
    "2.3",
    "2.9",
    "2.16",
    "2.19",
    "2.26",
    "2.47",
    "2.61",
    "2.63",
    "2.71",
    "2.73",
    "2.90",
    "2.96",
    "2.98",
    "latest",
]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_server_as_its_owner_sees_it(
    cloud: Cloud, answer: Callable[..., None], standing: Standing, version: str
) -> None:
    seen = await cloud.member.call("GET", server_path(standing.active), version=version)
    answer(f"server-{version}", seen, loose=[*OF_THE_FLAVOR, "properties"])


@pytest.mark.parametrize("version", ["2.1", "2.3", "2.16", "2.61", "2.96", "latest"])
async def test_a_server_as_an_admin_sees_it(
    cloud: Cloud, answer: Callable[..., None], standing: Standing, version: str
) -> None:
    seen = await cloud.admin.call("GET", server_path(standing.active), version=version)
    answer(f"server-{version}-admin", seen, loose=[*OF_THE_FLAVOR, *OF_THE_HOST, "properties"])


@pytest.mark.parametrize("version", ["2.1", "2.61", "2.96", "latest"])
async def test_a_server_as_a_list_shows_it(
    cloud: Cloud, answer: Callable[..., None], standing: Standing, version: str
) -> None:
    seen = await cloud.member.call("GET", "/compute/v2.1/servers/detail?name=contract-active", version=version)
    answer(f"servers-{version}", seen, loose=[*OF_THE_FLAVOR, "properties"])


async def test_a_shelved_server(cloud: Cloud, answer: Callable[..., None], standing: Standing) -> None:
    path = server_path(standing.shelved)
    answer("server-shelved", await cloud.member.call("GET", path), loose=OF_THE_FLAVOR)
    answer("server-shelved-admin", await cloud.admin.call("GET", path), loose=[*OF_THE_FLAVOR, *OF_THE_HOST])


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3", "2.96", "latest"])
async def test_user_data_is_shown_to_an_admin_from_2_3_and_never_to_its_owner(
    cloud: Cloud, standing: Standing, version: str
) -> None:
    path = server_path(standing.active)
    assert USER_DATA_SHOWN not in await cloud.member.server(standing.active, version=version)
    shown = (await cloud.admin.get(path, version=version))["server"].get(USER_DATA_SHOWN)
    assert shown == (None if version in ("2.1", "2.2") else USER_DATA)


async def test_another_projects_server_does_not_exist(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    answer("server-of-others", await cloud.other.call("GET", server_path(standing.active)))
    answer("server-of-others-delete", await cloud.other.call("DELETE", server_path(standing.active)))
    answer("server-of-others-stop", await cloud.other.act(standing.active, "os-stop"))
    answer("server-of-others-metadata", await cloud.other.call("GET", f"{server_path(standing.active)}/metadata"))


@pytest.mark.parametrize(
    ("name", "method", "rest", "body"),
    [
        ("list", "GET", "", None),
        ("replace", "PUT", "", {"tags": ["a"]}),
        ("clear", "DELETE", "", None),
        ("has", "GET", "/js2", None),
        ("add", "PUT", "/a", None),
        ("remove", "DELETE", "/js2", None),
    ],
)
async def test_tags_of_another_projects_server_are_forbidden(
    cloud: Cloud, answer: Callable[..., None], standing: Standing, name: str, method: str, rest: str, body: object
) -> None:
    """Here Nova asks its policy before it looks whose server it is."""
    path = f"{server_path(standing.active)}/tags{rest}"
    answer(f"server-of-others-tags-{name}", await cloud.other.call(method, path, body))


@pytest.mark.parametrize(
    ("name", "method", "rest", "body"),
    [
        ("show", "GET", "", None),
        ("delete", "DELETE", "", None),
        ("rename", "PUT", "", {"server": {"name": "x"}}),
        ("start", "POST", "/action", {"os-start": None}),
        ("stop", "POST", "/action", {"os-stop": None}),
        ("reboot", "POST", "/action", {"reboot": {"type": "SOFT"}}),
        ("shelve", "POST", "/action", {"shelve": None}),
        ("console", "POST", "/action", {"os-getConsoleOutput": {"length": 5}}),
        ("image", "POST", "/action", {"createImage": {"name": "contract-image"}}),
        ("metadata", "POST", "/metadata", {"metadata": {"k": "v"}}),
        ("metadata-item", "DELETE", "/metadata/k", None),
        ("tags", "PUT", "/tags", {"tags": ["a"]}),
        ("tag-add", "PUT", "/tags/a", None),
        ("tag-remove", "DELETE", "/tags/a", None),
        ("volumes", "GET", "/os-volume_attachments", None),
        ("attach", "POST", "/os-volume_attachments", {"volumeAttachment": {"volumeId": NOWHERE}}),
        ("detach", "DELETE", f"/os-volume_attachments/{NOWHERE}", None),
        ("interfaces", "GET", "/os-interface", None),
        ("actions", "GET", "/os-instance-actions", None),
    ],
)
async def test_a_server_that_is_not_there(
    cloud: Cloud, answer: Callable[..., None], name: str, method: str, rest: str, body: object
) -> None:
    answer(f"unknown-server-{name}", await cloud.member.call(method, f"{server_path(NOWHERE)}{rest}", body))


async def test_an_id_that_is_none(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer("unknown-server-no-id", await cloud.member.call("GET", server_path("nope")))


async def test_the_actions_of_a_server(cloud: Cloud, answer: Callable[..., None], standing: Standing) -> None:
    path = f"{server_path(standing.shelved)}/os-instance-actions"
    seen = await cloud.member.call("GET", path)
    answer("actions", seen)
    answer("actions-2.1", await cloud.member.call("GET", path, version="2.1"))
    for action in seen.body["instanceActions"]:
        one = await cloud.member.call("GET", f"{path}/{action['request_id']}", version="2.61")
        answer(f"actions-{action['action']}", one, loose=["hostId"])
    answer("actions-unknown", await cloud.member.call("GET", f"{path}/req-{NOWHERE}"))


async def test_the_actions_of_a_server_that_failed(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    answer("actions-failed", await cloud.member.call("GET", f"{server_path(standing.failed)}/os-instance-actions"))


@pytest.mark.parametrize("length", [5, 0, -1, None, "3"])
async def test_the_console_log(
    cloud: Cloud, answer: Callable[..., None], standing: Standing, length: int | str | None
) -> None:
    seen = await cloud.member.act(standing.active, "os-getConsoleOutput", {"length": length})
    answer(f"console-{length}", seen, loose=["output"])


@pytest.mark.parametrize("name", ["failed", "shelved"])
async def test_the_console_log_of_a_server_without_a_machine(
    cloud: Cloud, answer: Callable[..., None], standing: Standing, name: str
) -> None:
    server_id = getattr(standing, name)
    answer(f"console-{name}", await cloud.member.act(server_id, "os-getConsoleOutput", {"length": 5}))


async def test_the_console_log_of_a_server_that_has_no_host_yet(cloud: Cloud, answer: Callable[..., None]) -> None:
    with cloud.slow("scheduling"):
        server_id = await cloud.member.created("contract-early")
        answer("console-early", await cloud.member.act(server_id, "os-getConsoleOutput", {"length": 5}))


async def test_the_interfaces_and_addresses(cloud: Cloud, answer: Callable[..., None], standing: Standing) -> None:
    for name in ("active", "shelved", "failed"):
        path = server_path(getattr(standing, name))
        answer(f"interfaces-{name}", await cloud.member.call("GET", f"{path}/os-interface"))
        answer(f"addresses-{name}", await cloud.member.call("GET", f"{path}/ips"))


async def test_nova_says_which_versions_it_speaks(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer("versions", await cloud.nobody.call("GET", "/compute/", version=NO_VERSION))
    answer("version", await cloud.nobody.call("GET", "/compute/v2.1/", version=NO_VERSION))


@pytest.mark.parametrize("version", [NO_VERSION, "2.1", "2.61", "latest", "2.0", "2.999", "3.1", "2.x", "2.01"])
async def test_the_microversion_of_an_answer(cloud: Cloud, answer: Callable[..., None], version: str) -> None:
    seen = await cloud.member.call("GET", "/compute/v2.1/servers?name=contract-none", version=version)
    answer(f"microversion-{version}", seen)


async def test_the_old_header_asks_for_a_microversion_too(cloud: Cloud, answer: Callable[..., None]) -> None:
    headers = {"X-OpenStack-Nova-API-Version": "2.61"}
    path = "/compute/v2.1/servers?name=contract-none"
    answer("microversion-old-header", await cloud.member.call("GET", path, version=NO_VERSION, headers=headers))


async def test_another_services_version_is_none_of_novas(cloud: Cloud) -> None:
    headers = {"OpenStack-API-Version": "volume 3.50"}
    path = "/compute/v2.1/servers?name=contract-none"
    seen = await cloud.member.call("GET", path, version=NO_VERSION, headers=headers)
    assert seen.headers["X-OpenStack-Nova-API-Version".title()] == "2.1"


@pytest.mark.parametrize(
    ("name", "method", "path", "body"),
    [
        ("flavor-create", "POST", "/flavors", {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}}),
        ("external-events-none", "POST", "/os-server-external-events", {"events": []}),
        ("external-events", "POST", "/os-server-external-events", {"events": [EVENT]}),
        ("hypervisors", "GET", "/os-hypervisors", None),
        ("services", "GET", "/os-services", None),
    ],
)
async def test_what_policy_forbids_a_member(
    cloud: Cloud, answer: Callable[..., None], name: str, method: str, path: str, body: object
) -> None:
    answer(f"forbidden-{name}", await cloud.member.call(method, f"/compute/v2.1{path}", body))


async def test_what_policy_forbids_a_member_with_a_server(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    answer("forbidden-reset", await cloud.member.act(standing.active, "os-resetState", {"state": "error"}))
    answer(
        "forbidden-other-quota", await cloud.member.call("GET", f"/compute/v2.1/os-quota-sets/{cloud.other.project_id}")
    )
    answer("forbidden-host", await cloud.member.create("contract-bad", host="somewhere"))


async def test_neutrons_events_are_taken_from_an_admin(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    events = [{"name": "network-changed", "server_uuid": key} for key in (standing.active, NOWHERE)]
    path = "/compute/v2.1/os-server-external-events"
    answer("external-events", await cloud.admin.call("POST", path, {"events": events}))
    answer("external-events-all-known", await cloud.admin.call("POST", path, {"events": events[:1]}))
    answer("external-events-none-known", await cloud.admin.call("POST", path, {"events": events[1:]}))


async def test_without_a_token_nothing_is_said(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer("no-token", await cloud.nobody.call("GET", "/compute/v2.1/servers"))
    answer("bad-token", await cloud.nobody.call("GET", "/compute/v2.1/servers", headers={"X-Auth-Token": "nonsense"}))


async def test_a_path_that_is_none(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer("no-such-path", await cloud.member.call("GET", "/compute/v2.1/nope"))
    answer("no-such-method", await cloud.member.call("PUT", "/compute/v2.1/servers", {}))


@pytest.mark.parametrize("version", ["2.1", "2.61", "2.96"])
async def test_flavors(cloud: Cloud, answer: Callable[..., None], version: str) -> None:
    """Their figures differ from cloud to cloud, their members do not."""
    for rest in ("", "/detail"):
        seen = await cloud.member.call("GET", f"/compute/v2.1/flavors{rest}", version=version)
        answer(f"flavors{rest.replace('/', '-')}-{version}", seen, loose=["flavors"])


async def test_a_flavor(cloud: Cloud, answer: Callable[..., None]) -> None:
    seen = await cloud.member.call("GET", f"/compute/v2.1/flavors/{cloud.names.flavor}")
    answer("flavor", seen, loose=["ram", "vcpus", "disk", "extra_specs"])
    answer("flavor-unknown", await cloud.member.call("GET", f"/compute/v2.1/flavors/{NOWHERE}"))


@pytest.mark.parametrize("version", ["2.1", "2.61", "2.96"])
async def test_limits_and_quotas(cloud: Cloud, answer: Callable[..., None], version: str) -> None:
    answer(
        f"limits-{version}", await cloud.member.call("GET", "/compute/v2.1/limits", version=version), loose=["absolute"]
    )
    path = f"/compute/v2.1/os-quota-sets/{cloud.member.project_id}"
    answer(f"quota-{version}", await cloud.member.call("GET", path, version=version), loose=["quota_set"])
    answer(
        f"quota-detail-{version}",
        await cloud.member.call("GET", f"{path}/detail", version=version),
        loose=["quota_set"],
    )


async def test_limits_count_what_there_is(cloud: Cloud, standing: Standing) -> None:
    """A failed and a shelved server count too."""
    path = "/compute/v2.1/limits"
    before = (await cloud.member.get(path))["limits"]["absolute"]["totalInstancesUsed"]
    assert before >= 3


async def test_zones(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer("zones", await cloud.member.call("GET", "/compute/v2.1/os-availability-zone"))
