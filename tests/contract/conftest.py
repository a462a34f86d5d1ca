"""One cloud for the whole suite, one event loop, and what each test made is deleted when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.clouds import OPENSTACK, Cloud, chosen, opened
from tests.contract.recorded import Book
from tests.contract.standing import Standing, stand

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="Write tests/contract/answers from the real services.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cloud]:
    async with opened(tmp_path_factory.mktemp("cloud")) as open_cloud:
        yield open_cloud


@pytest.fixture(scope="session")
def book(cloud: Cloud, pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Iterator[Book]:
    recording = bool(pytestconfig.getoption("--record", default=False))
    if recording and chosen() != OPENSTACK:
        pytest.exit("Only what the real services say is worth recording: set JS2_CONTRACT_CLOUD=openstack.", 4)
    book = Book(cloud, recording)
    yield book
    if _whole(pytestconfig) and not request.session.testsfailed:
        missing = () if "share" in cloud.member.roots else (name for name in book.unused() if name.startswith("share-"))
        assert book.unused() - set(missing) == set(), "nobody asks for these recordings any more"


def _whole(config: pytest.Config) -> bool:
    """Whether all of this suite runs, and not a part of it."""
    named = [config.invocation_params.dir / argument for argument in config.args]
    return all(HERE.is_relative_to(path) for path in named) and not (config.option.keyword or config.option.markexpr)


@pytest.fixture
def answer(book: Book) -> Callable[..., None]:
    """Holds an answer against the recorded one of that name."""
    return book.answer


@pytest.fixture
def states(book: Book) -> Callable[..., None]:
    """Holds the states a server went through against the recorded ones of that name."""
    return book.states


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def standing(cloud: Cloud) -> Standing:
    """Servers to look at."""
    return await stand(cloud)


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def tidy(cloud: Cloud) -> AsyncIterator[None]:
    cloud.ledger.begin()
    yield
    await cloud.ledger.end()
