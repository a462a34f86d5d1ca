from __future__ import annotations

import pytest

from js2spawner.devcloud.calls import Version
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.microversions import Unsupported, asked_version
from js2spawner.devcloud.nova import SERVICE


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, Version(2, 1)),
        ({"OpenStack-API-Version": "compute 2.96"}, Version(2, 96)),
        ({"OpenStack-API-Version": "volume 3.1, compute 2.53"}, Version(2, 53)),
        ({"OpenStack-API-Version": "volume 3.1"}, Version(2, 1)),
        ({"X-OpenStack-Nova-API-Version": "2.26"}, Version(2, 26)),
        ({"OpenStack-API-Version": "compute latest"}, Version(2, 104)),
    ],
)
def test_the_version_is_the_one_of_the_header(headers: dict[str, str], version: Version) -> None:
    assert asked_version(SERVICE, headers) == version


@pytest.mark.parametrize("text", ["2.0", "2.105", "3.1"])
def test_a_version_nova_does_not_speak_is_unsupported(text: str) -> None:
    with pytest.raises(Unsupported, match=r"Minimum is 2\.1 and maximum is 2\.104\."):
        asked_version(SERVICE, {"OpenStack-API-Version": f"compute {text}"})


@pytest.mark.parametrize("text", ["2", "two", "2.01", "2.1.1"])
def test_a_version_that_is_none_is_a_bad_request(text: str) -> None:
    with pytest.raises(Refusal, match="is of invalid format"):
        asked_version(SERVICE, {"OpenStack-API-Version": f"compute {text}"})
