"""One region of one cloud of clouds.yaml, as the rest of the hub sees it."""

from __future__ import annotations

from functools import partial

from .caller import Caller
from .compute import Compute
from .hearing import NOBODY, Listener
from .images import Images
from .keystone import Entry, authenticate
from .network import NetworkService
from .settings import CloudSettings
from .shares import Shares
from .signin import SignIn
from .volumes import Volumes


class Cloud:
    """The services of one region. Making one does no I/O and needs no loop; the first call signs in by itself.

    All calls raise errors of `errors.CloudError` and nothing else, cancellation aside.

    Args:
        name: the entry in clouds.yaml.
        region: one of its regions; the entry's own (or first) without.
        config_file: the clouds.yaml; without, where openstacksdk looks for one (see `keystone.Entry`).
        settings: pace and patience.
        listener: is told whether the cloud answers.
    """

    def __init__(
        self,
        name: str,
        *,
        region: str | None = None,
        config_file: str | None = None,
        settings: CloudSettings = CloudSettings(),  # noqa: B008 - a frozen value
        listener: Listener = NOBODY,
    ) -> None:
        self.name = name
        self.region = region
        label = f"{name}/{region}" if region else name
        entry = Entry(cloud=name, region=region, file=config_file)
        sign_in = partial(authenticate, entry, timeout_s=settings.call_timeout_s)
        self._sign_in = SignIn(sign_in, cloud=label, deadline_s=settings.call_timeout_s, listener=listener)
        self._caller = Caller(label, self._sign_in, settings, listener=listener)
        self.compute = Compute(self._caller)
        self.images = Images(self._caller)
        self.network = NetworkService(self._caller)
        self.volumes = Volumes(self._caller)
        self.shares = Shares(self._caller)

    async def sign_in(self) -> None:
        """Sign in now, so that a wrong clouds.yaml shows at start. Raises CloudError."""
        await self._sign_in.grant()

    async def project_id(self) -> str:
        """The project that owns what is made here. Raises CloudError."""
        return await self._caller.project_id()

    async def close(self) -> None:
        """Close connections and give up a sign-in in flight."""
        await self._caller.close()
