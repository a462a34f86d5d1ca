"""The bill of materials and the list of licences of a build."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from js2spawner.library import bill
from js2spawner.library.software import Package

AT = datetime(2026, 11, 24, tzinfo=UTC)
DEBIAN = ("bookworm", "amd64")
PACKAGES = [
    Package("pypi", "numpy", "2.0.1", "BSD-3-Clause"),
    Package("deb", "libstdc++6", "12.2.0-14", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    Package("deb", "base-files", "12.4+deb12u1"),
    Package("cran", "dplyr", "1.1.0", "somebody's own"),
]


def components() -> dict[str, dict[str, Any]]:
    told = json.loads(bill.cyclonedx("minimal", "b1", AT, PACKAGES, DEBIAN))
    return {component["name"]: component for component in told["components"]}


def test_every_package_is_a_component_with_an_address_that_scanners_know():
    found = components()
    assert found["numpy"]["purl"] == "pkg:pypi/numpy@2.0.1"
    assert found["libstdc++6"]["purl"] == "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64&distro=bookworm"
    assert found["dplyr"]["purl"] == "pkg:cran/dplyr@1.1.0"
    assert len(found) == len(PACKAGES)


def test_a_licence_has_a_name_of_spdxs_only_if_that_knows_it():
    found = components()
    assert found["numpy"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert found["libstdc++6"]["licenses"] == [{"expression": "GPL-3.0-or-later WITH GCC-exception-3.1"}]
    assert found["dplyr"]["licenses"] == [{"license": {"name": "somebody's own"}}]
    assert "licenses" not in found["base-files"]


def test_the_same_software_makes_the_same_bill_in_any_order():
    bills = {bill.cyclonedx("minimal", "b1", AT, packages, DEBIAN) for packages in (PACKAGES, PACKAGES[::-1])}
    assert len(bills) == 1


def test_the_bill_is_what_cyclonedxs_schema_asks_for():
    told = bill.cyclonedx("minimal", "b1", AT, PACKAGES, DEBIAN)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(told) is None
    assert json.loads(told)["metadata"]["component"]["name"] == "minimal"


def test_the_list_of_licences_says_for_which_packages_nobody_says_one():
    text = bill.licences("Minimal", "minimal", "b1", PACKAGES)
    assert "BSD-3-Clause\n  numpy 2.0.1" in text
    assert text.index("BSD-3-Clause") < text.index("not said") < text.index("base-files 12.4+deb12u1")
