"""Security groups hold on loopback: the kernel drops what no rule lets in."""

from __future__ import annotations

import asyncio
import contextlib

from js2spawner.devcloud.hypervisor import Ingress
from tests.devcloud.machine.conftest import Lab, a_spec

HUB_ONLY = (Ingress("tcp", 8888, 8888, "127.0.0.1/32"),)
STRANGER = "127.199.9.9"


async def gets_in(address: str, source: str, port: int = 8888) -> bool:
    """Whether a connection comes about. A dropped one hears nothing, so no answer in a second is a no."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(address, port, local_addr=(source, 0))
            writer.close()
            return True
    return False


async def test_the_hub_gets_in_and_another_instance_does_not(lab: Lab):
    spec = a_spec()
    await lab.machines.enforce(spec.server_id, HUB_ONLY)
    await lab.boot(spec)

    async def shut() -> bool:
        return not await gets_in(spec.address, STRANGER)

    await lab.eventually(shut)
    assert await gets_in(spec.address, "127.0.0.1")
    assert await gets_in(spec.address, spec.address)


async def test_new_rules_hold_when_enforce_returns(lab: Lab):
    spec = await lab.boot()
    await lab.machines.enforce(spec.server_id, HUB_ONLY)
    assert not await gets_in(spec.address, STRANGER)
    await lab.machines.enforce(spec.server_id, (Ingress("tcp", 1, 65535, "127.199.0.0/16"),))
    assert await gets_in(spec.address, STRANGER)
    assert not await gets_in(spec.address, "127.0.0.1")
    await lab.machines.enforce(spec.server_id, (Ingress(None, None, None, "0.0.0.0/0"),))
    assert await gets_in(spec.address, "127.0.0.1")


async def test_without_rules_nothing_is_filtered(lab: Lab):
    spec = await lab.boot()
    assert await gets_in(spec.address, STRANGER)


async def test_a_listener_on_every_address_is_guarded_at_the_machines_own(lab: Lab):
    spec = await lab.boot()
    await lab.run(spec, "python -m http.server 18888 > /dev/null 2>&1 &")

    async def up() -> bool:
        with contextlib.suppress(OSError):
            return await gets_in(spec.address, STRANGER, 18888)
        return False

    await lab.eventually(up)
    await lab.machines.enforce(spec.server_id, HUB_ONLY)
    assert not await gets_in(spec.address, STRANGER, 18888)
    assert not await gets_in(spec.address, "127.0.0.1", 18888)
    # The machine's own loopback, where for example its kernels listen, is no security group's business.
    assert await gets_in("127.0.0.1", "127.0.0.1", 18888)
