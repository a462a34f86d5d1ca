from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable

import pytest

from js2spawner.cloud import errors
from js2spawner.cloud.keystone import Grant
from js2spawner.cloud.signin import JUST_RENEWED_S, REST_AFTER_FAILURE_S, SignIn

TLS = ssl.create_default_context()


class Keystone:
    """Counts sign-ins; each can be held up or made to fail."""

    def __init__(self, lifetime_s: float = 3600) -> None:
        self.lifetime_s = lifetime_s
        self.count = 0
        self.failure: errors.CloudError | None = None
        self.open = threading.Event()
        self.open.set()

    def __call__(self) -> Grant:
        self.count += 1
        assert self.open.wait(20)
        if self.failure is not None:
            raise self.failure
        return Grant(token=f"token-{self.count}", endpoints={}, project_id="p", lifetime_s=self.lifetime_s, tls=TLS)


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keystone() -> Keystone:
    return Keystone()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign_in(keystone: Keystone, clock: Clock) -> SignIn:
    return SignIn(keystone, cloud="test", deadline_s=20, clock=clock)


async def test_64_callers_share_one_sign_in(sign_in: SignIn, keystone: Keystone) -> None:
    tokens = await asyncio.gather(*(sign_in.token() for _ in range(64)))
    assert tokens == ["token-1"] * 64
    assert keystone.count == 1


async def test_64_callers_refused_together_share_one_renewal(sign_in: SignIn, keystone: Keystone) -> None:
    refused = await sign_in.grant()
    grants = await asyncio.gather(*(sign_in.renew(refused) for _ in range(64)))
    assert {grant.token for grant in grants} == {"token-2"}
    assert keystone.count == 2


async def test_whoever_comes_late_with_the_old_token_gets_the_new_one_without_a_sign_in(
    sign_in: SignIn, keystone: Keystone
) -> None:
    refused = await sign_in.grant()
    await sign_in.renew(refused)
    assert (await sign_in.renew(refused)).token == "token-2"
    assert keystone.count == 2


async def test_a_caller_who_is_cancelled_leaves_the_sign_in_to_the_others(sign_in: SignIn, keystone: Keystone) -> None:
    keystone.open.clear()
    first = asyncio.create_task(sign_in.token())
    second = asyncio.create_task(sign_in.token())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    keystone.open.set()
    assert await second == "token-1"
    assert keystone.count == 1


async def test_a_token_close_to_its_end_is_renewed_without_making_anybody_wait(
    sign_in: SignIn, keystone: Keystone, clock: Clock, eventually: Callable[..., object]
) -> None:
    await sign_in.grant()
    clock.now += 3600 - 200
    assert await sign_in.token() == "token-1"

    async def renewed() -> bool:
        return await sign_in.token() == "token-2"

    await eventually(renewed)
    assert keystone.count == 2


async def test_a_token_that_ends_within_a_call_is_not_used(sign_in: SignIn, clock: Clock) -> None:
    await sign_in.grant()
    clock.now += 3600 - 20
    assert await sign_in.token() == "token-2"


async def test_a_token_of_a_few_seconds_serves_for_most_of_them(clock: Clock) -> None:
    keystone = Keystone(lifetime_s=10)
    sign_in = SignIn(keystone, cloud="test", deadline_s=20, clock=clock)
    await sign_in.grant()
    clock.now += 7
    assert await sign_in.token() == "token-1"


async def test_a_refused_credential_is_not_shown_again_at_once(
    sign_in: SignIn, keystone: Keystone, clock: Clock
) -> None:
    keystone.failure = errors.SignInFailed("no", status=401)
    for _ in range(5):
        with pytest.raises(errors.SignInFailed, match="no"):
            await sign_in.grant()
    assert keystone.count == 1
    clock.now += REST_AFTER_FAILURE_S
    keystone.failure = None
    assert await sign_in.token() == "token-2"


async def test_each_caller_gets_an_error_of_its_own(sign_in: SignIn, keystone: Keystone) -> None:
    keystone.failure = errors.Unreachable("down")
    failures = await asyncio.gather(*(sign_in.grant() for _ in range(8)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {errors.Unreachable}
    assert len({id(failure) for failure in failures}) == 8


async def test_the_old_token_goes_on_serving_while_keystone_is_down(
    sign_in: SignIn, keystone: Keystone, clock: Clock, eventually: Callable[..., object]
) -> None:
    await sign_in.grant()
    keystone.failure = errors.Unreachable("down")
    clock.now += 3600 - 200
    await sign_in.grant()
    await eventually(lambda: keystone.count == 2)
    assert await sign_in.token() == "token-1"


async def test_a_renewed_token_that_is_refused_at_once_is_not_renewed_again(
    sign_in: SignIn, keystone: Keystone, clock: Clock
) -> None:
    renewed = await sign_in.renew(await sign_in.grant())
    with pytest.raises(errors.SignInFailed):
        await sign_in.renew(renewed)
    assert keystone.count == 2
    clock.now += JUST_RENEWED_S
    assert (await sign_in.renew(renewed)).token == "token-3"


async def test_a_sign_in_that_takes_too_long_is_unreachable(keystone: Keystone) -> None:
    keystone.open.clear()
    sign_in = SignIn(keystone, cloud="test", deadline_s=0.05)
    try:
        with pytest.raises(errors.Unreachable) as caught:
            await sign_in.grant()
    finally:
        keystone.open.set()
    assert caught.value.certain


async def test_close_gives_up_a_sign_in_in_flight(sign_in: SignIn, keystone: Keystone) -> None:
    keystone.open.clear()
    waiting = asyncio.create_task(sign_in.grant())
    await asyncio.sleep(0)
    try:
        await asyncio.wait_for(sign_in.close(), 5)
        await asyncio.wait([waiting])
    finally:
        keystone.open.set()
    assert waiting.cancelled()


async def test_no_token_in_the_log_or_in_a_repr(sign_in: SignIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    grant = await sign_in.grant()
    assert grant.token not in repr(grant) + repr(sign_in) + caplog.text
