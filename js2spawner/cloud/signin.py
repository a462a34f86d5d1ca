"""The one token all calls to a cloud share, and the one sign-in that renews it."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .errors import CloudError, SignInFailed, Unreachable
from .hearing import NOBODY, Listener, heard
from .keystone import Grant
from .metrics import counted

log = logging.getLogger(__name__)

REST_AFTER_FAILURE_S = 5.0
"""Keystone locks accounts that fail too often, and one that is down is not helped by every caller asking again."""

JUST_RENEWED_S = 5.0
"""A renewed token that a service refuses sooner than this will not be cured by another one."""


@dataclass(frozen=True, slots=True)
class _Held:
    grant: Grant
    since: float
    renewed: bool

    def left_s(self, now: float) -> float:
        return self.grant.lifetime_s - (now - self.since)


class SignIn:
    """Keeps a usable grant. However many callers need a new one, one sign-in is in flight.

    Args:
        authenticate: signs in once; blocking, run in a thread; raises CloudError.
        cloud: the label for metrics and the log.
        deadline_s: seconds one sign-in may take.
        clock: monotonic seconds.
        listener: is told of sign-ins that fail because nobody answers.
    """

    def __init__(
        self,
        authenticate: Callable[[], Grant],
        *,
        cloud: str,
        deadline_s: float,
        clock: Callable[[], float] = time.monotonic,
        listener: Listener = NOBODY,
    ) -> None:
        self._authenticate = authenticate
        self._cloud = cloud
        self._deadline_s = deadline_s
        self._clock = clock
        self._listener = listener
        self._threads: ThreadPoolExecutor | None = None
        self._held: _Held | None = None
        self._failure: CloudError | None = None
        self._rest_until = clock()
        self._flight: asyncio.Task[Grant | CloudError] | None = None

    async def grant(self) -> Grant:
        """A grant that lasts for a call. One close to its end is renewed behind the caller's back.

        Raises: SignInFailed, Unreachable, Throttled, BadCloudConfig.
        """
        held = self._held
        if held is None:
            return await self._land()
        left_s = held.left_s(self._clock())
        if left_s <= min(30.0, held.grant.lifetime_s / 10):
            return await self._land()
        if left_s <= min(300.0, held.grant.lifetime_s / 4) and not self._resting():
            self._take_off()
        return held.grant

    async def token(self) -> str:
        """The token of `grant()`."""
        return (await self.grant()).token

    async def renew(self, refused: Grant) -> Grant:
        """Another grant than the one a service just refused. Callers refused together share one sign-in.

        Raises: as `grant()`; SignInFailed also when the refused grant was itself renewed a moment ago.
        """
        held = self._held
        if held is not None and held.grant is not refused:
            return held.grant
        if held is not None and held.renewed and self._clock() - held.since < JUST_RENEWED_S:
            raise SignInFailed("The cloud refuses tokens that its Keystone has just issued.", status=401)
        return await self._land()

    async def close(self) -> None:
        """Give up a sign-in in flight. Its thread ends by itself within its socket timeouts."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _resting(self) -> bool:
        return self._clock() < self._rest_until

    async def _land(self) -> Grant:
        if self._flight is None and self._failure is not None and self._resting():
            raise copy.copy(self._failure)
        # A caller that is cancelled must not take the sign-in of all others with it.
        landed = await asyncio.shield(self._take_off())
        if isinstance(landed, CloudError):
            raise copy.copy(landed)
        return landed

    def _take_off(self) -> asyncio.Task[Grant | CloudError]:
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly(), name=f"sign in to {self._cloud}")
        return self._flight

    async def _fly(self) -> Grant | CloudError:
        # The outcome is a value: an exception nobody is left to wait for would end up as noise in the log.
        started = self._clock()
        try:
            with counted(self._cloud, "identity", "sign-in"), heard(self._listener, ""):
                grant = await self._in_a_thread()
        except CloudError as failure:
            # Once for each reason: a cloud that is away for a day is asked every few seconds.
            level = logging.DEBUG if self._failure and self._failure.name == failure.name else logging.WARNING
            log.log(level, "Sign-in to cloud %s failed (%s): %s", self._cloud, failure.name, failure.detail)
            self._failure = failure
            self._rest_until = self._clock() + REST_AFTER_FAILURE_S
            return failure
        finally:
            self._flight = None
        self._held = _Held(grant, started, renewed=self._held is not None)
        self._failure = None
        log.info("Signed in to cloud %s for %d minutes.", self._cloud, grant.lifetime_s // 60)
        return grant

    async def _in_a_thread(self) -> Grant:
        # Threads of its own: those that everybody shares would be used up by a few clouds whose Keystone hangs.
        self._threads = self._threads or ThreadPoolExecutor(2, thread_name_prefix=f"sign-in-{self._cloud}")
        try:
            signing_in = asyncio.get_running_loop().run_in_executor(self._threads, self._authenticate)
            return await asyncio.wait_for(signing_in, self._deadline_s)
        except TimeoutError:
            raise Unreachable(f"Keystone did not answer within {self._deadline_s:g} s.") from None
