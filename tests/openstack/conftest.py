"""The real services, projects of our own on them, and people with a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.conftest import browser, person, pytest_configure, pytest_runtest_makereport
from tests.openstack.estate import Estate, estate
from tests.openstack.place import REMEDY, Place, place

__all__ = ["browser", "person", "pytest_configure", "pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def services() -> Place:
    where = place()
    if not where.runs:
        pytest.fail(REMEDY)
    return where


@pytest.fixture(scope="module")
def own_estate(services: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """One for each module: what a test leaves behind is nobody else's surprise."""
    with estate(services, tmp_path_factory.mktemp("estate")) as made:
        yield made
