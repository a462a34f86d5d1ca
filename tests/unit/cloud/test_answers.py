from __future__ import annotations

import json
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from js2spawner.cloud import errors
from js2spawner.cloud.answers import complaint_from, error_from, retry_after_s
from tests.contract.recorded import ANSWERS
from tests.contract.recorded import example as recorded

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
# What a recorded refusal becomes, by its name in tests/contract/answers; the first pattern that fits. Every other one
# gets the name of its status.
EXPECTED: tuple[tuple[str, type[errors.CloudError]], ...] = (
    ("create-bad-flavor", errors.BadFlavor),
    ("create-bad-image*", errors.BadImage),
    ("create-bad-network*missing", errors.BadRequest),
    ("create-bad-network*", errors.BadNetwork),
    ("create-bad-port", errors.BadNetwork),
    ("create-bad-key", errors.BadKey),
    ("create-bad-security-group", errors.BadSecurityGroup),
    ("create-bad-zone", errors.BadZone),
    ("create-over-*", errors.QuotaExceeded),
    ("action-resize-flavor", errors.BadFlavor),
    ("action-rebuild-image", errors.BadImage),
    ("*attach-again", errors.Conflict),
    ("image-*-boots", errors.BadImage),
    ("attach-while-attaching", errors.Conflict),
    ("attach-of-others", errors.Conflict),
    ("create-with-volume-in-use", errors.Conflict),
    ("detach-while-detaching", errors.Conflict),
    ("no-such-*", errors.BadAnswer),
)
BY_STATUS = {
    400: errors.BadRequest,
    401: errors.SignInFailed,
    403: errors.Forbidden,
    404: errors.Gone,
    406: errors.BadMicroversion,
    409: errors.Conflict,
    415: errors.BadRequest,
}
SERVICES = {"compute": "compute", "network": "network", "image": "image", "volume": "block-storage"}


def refusals(*services: str) -> list[str]:
    """The recorded refusals of these services."""
    records = {path.stem: json.loads(path.read_text()) for path in sorted(ANSWERS.glob("*.json"))}
    return [
        name
        for name, record in records.items()
        if isinstance(record, dict) and record["status"] >= 400 and record["service"] in services
    ]


def expected(name: str) -> type[errors.CloudError]:
    fitting = (kind for pattern, kind in EXPECTED if fnmatchcase(name, pattern))
    return next(fitting, None) or BY_STATUS[recorded(name)["status"]]


def error(status: int, body: bytes | str | dict = b"", service: str = "compute", **headers: str) -> errors.CloudError:
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    names = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return error_from(service, status, names, raw, now=NOW)


def from_record(name: str) -> errors.CloudError:
    record = recorded(name)
    service = SERVICES[record["service"]]
    body = record["body"]
    raw = body if isinstance(body, str) else json.dumps(body)
    return error_from(service, record["status"], CIMultiDict(record["headers"]), raw.encode(), now=NOW)


@pytest.mark.parametrize("name", refusals("compute"))
def test_a_recorded_refusal_gets_its_name(name: str) -> None:
    refused = from_record(name)
    assert type(refused) is expected(name), refused.detail


@pytest.mark.parametrize("name", refusals("network", "image", "volume"))
def test_a_recorded_refusal_of_another_service_is_understood(name: str) -> None:
    refused = from_record(name)
    assert isinstance(refused, errors.ServerFault) == (recorded(name)["status"] >= 500)
    assert not isinstance(refused, errors.BadAnswer), refused.detail


@pytest.mark.parametrize(
    ("name", "quota"),
    [
        ("create-over-instances", "instances"),
        ("create-over-cores", "cores"),
        ("create-over-ram", "ram"),
        ("create-over-instances-cores-ram", "cores"),
        ("create-over-ports", "ports"),
    ],
)
def test_a_quota_error_says_which_quota(name: str, quota: str) -> None:
    refused = from_record(name)
    assert isinstance(refused, errors.QuotaExceeded)
    assert refused.quota == quota


@pytest.mark.parametrize(
    ("message", "quota"),
    [
        ("VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota.", "gigabytes"),
        ("VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded for quota 'volumes'.", "volumes"),
    ],
)
def test_cinders_413_is_a_quota_and_not_a_request_to_slow_down(message: str, quota: str) -> None:
    refused = error(413, {"overLimit": {"code": 413, "message": message}}, "block-storage", Retry_After="0")
    assert isinstance(refused, errors.QuotaExceeded)
    assert refused.quota == quota


def test_the_services_own_words_and_request_id_are_kept_for_the_log() -> None:
    refused = from_record("conflict-stop-while-stopping")
    assert "while it is in task_state powering-off" in refused.detail
    assert refused.status == 409
    assert refused.request_id.startswith("req-")


def test_a_request_id_that_looks_like_none_is_dropped() -> None:
    assert error(500, X_Openstack_Request_Id="req-1\x1b[2J").request_id == ""


def test_a_schema_complaint_does_not_repeat_the_value_it_complains_about() -> None:
    whole_create = {"name": "x", "user_data": "dGlja2V0", "bogus": 1}
    message = (
        f"Invalid input for field/attribute server. Value: {whole_create}. "
        "Additional properties are not allowed ('bogus' was unexpected)"
    )
    refused = error(400, {"badRequest": {"code": 400, "message": message}})
    assert "dGlja2V0" not in refused.detail
    assert refused.detail == (
        "Invalid input for field/attribute server: Additional properties are not allowed ('bogus' was unexpected)."
    )


def test_a_recorded_complaint_about_user_data_does_not_repeat_it() -> None:
    assert "eHh4" not in from_record("create-bad-user-data-too-long").detail


def test_a_complaint_about_the_image_in_the_schema_is_about_the_image() -> None:
    message = "Invalid input for field/attribute imageRef. Value: x. 'x' is not a 'uuid'"
    assert type(error(400, {"badRequest": {"code": 400, "message": message}})) is errors.BadImage


def test_glances_html_page_is_read() -> None:
    page = (
        "<html>\n <head><title>404 Not Found</title></head><body><h1>404 Not Found</h1>No image &lt;x&gt;</body></html>"
    )
    refused = error(404, page, "image")
    assert type(refused) is errors.Gone
    assert refused.detail == "404 Not Found 404 Not Found No image <x>"


def test_glances_json_is_read() -> None:
    refused = error(404, {"message": "No image found<br /><br />\n\n\n", "code": "404 Not Found"}, "image")
    assert refused.detail == "No image found"


@pytest.mark.parametrize("service", ["compute", "network", "block-storage"])
@pytest.mark.parametrize(
    "body", ["<h1>404 Not Found</h1>nginx", "", '{"message": "no route"}', "default backend - 404"]
)
def test_a_404_that_is_not_the_services_own_never_means_gone(service: str, body: str) -> None:
    assert not isinstance(error(404, body, service), errors.Gone)


def test_a_load_balancers_503_is_never_certain() -> None:
    fault = error(503, "<html><body><h1>503 Service Unavailable</h1>\nNo server is available.</body></html>")
    assert isinstance(fault, errors.ServerFault)
    assert not fault.certain


@pytest.mark.parametrize("status", [301, 302, 304, 100])
def test_a_redirect_is_not_understood(status: int) -> None:
    assert type(error(status)) is errors.BadAnswer


def test_429_says_how_long_to_wait() -> None:
    refused = error(429, {"overLimit": {"code": 429, "message": "Slow down"}}, Retry_After="7")
    assert isinstance(refused, errors.Throttled)
    assert refused.retry_after_s == 7
    assert refused.certain


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0.0),
        ("12", 12.0),
        ("86400", 60.0),
        ("-5", 0.0),
        ("inf", 60.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2037 12:00:30 GMT", 60.0),
    ],
)
def test_retry_after_is_between_zero_and_a_minute(value: str, wait_s: float | None) -> None:
    assert retry_after_s(CIMultiDict({"retry-after": value}), now=NOW) == wait_s


@settings(max_examples=300, deadline=None)
@given(
    service=st.sampled_from(["compute", "image", "network", "block-storage"]),
    status=st.integers(100, 599).filter(lambda status: not 200 <= status < 300),
    body=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["message", "code", "type", "NeutronError", "errors", "badRequest", "detail"]), inner
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    retry_after=st.text(max_size=12),
)
def test_any_answer_that_says_no_is_a_cloud_error(service: str, status: int, body: bytes, retry_after: str) -> None:
    refused = error_from(service, status, CIMultiDict({"Retry-After": retry_after}), body, now=NOW)
    assert isinstance(refused, errors.CloudError)
    assert len(refused.detail) <= 400
    assert refused.detail.isprintable()


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 20_000, b"9" * 10_000, b"\xff\xfe", b"<" * 60_000])
def test_a_body_made_to_hurt_is_read_without_harm(body: bytes) -> None:
    assert complaint_from(body).kind == ""
