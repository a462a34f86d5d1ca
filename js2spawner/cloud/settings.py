"""How patient and how fast the hub is with one cloud."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_PAUSE_S = 60.0
"""A larger Retry-After is not believed: a hub that is silent for an hour is worse than one refused call a minute."""

DEFAULT_PAUSE_S = 1.0
"""After a refusal that names no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudSettings:
    """Limits for one cloud; all of its services share them.

    TLS (`verify`, `cacert`, `cert`) comes from clouds.yaml, so that one place describes the cloud.

    Args:
        connect_timeout_s: seconds to wait for a connection, TLS included.
        call_timeout_s: seconds one request may take in all. Busy clouds are seen hanging for ten minutes, so
            never none.
        line_timeout_s: seconds a call may wait for its turn before it gives up as throttled, nothing sent.
        calls_per_second: the pace when the cloud has no complaint.
        burst: calls that may go at once after a pause; a longer pause earns no more.
        max_in_flight: requests to the cloud at the same time.
    """

    connect_timeout_s: float = 5.0
    call_timeout_s: float = 60.0
    line_timeout_s: float = 120.0
    calls_per_second: float = 20.0
    burst: int = 20
    max_in_flight: int = 32
