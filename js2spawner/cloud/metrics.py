"""What every cloud call leaves behind for Prometheus: a count by outcome, and its seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from .errors import CloudError

CALLS = Counter(
    "js2_cloud_calls_total",
    "Requests sent to a cloud, by how they ended (ok, cancelled, or the error's name).",
    ["cloud", "service", "operation", "outcome"],
)
SECONDS = Histogram(
    "js2_cloud_call_seconds",
    "Seconds from sending a request to its whole answer, or to giving up.",
    ["cloud", "service", "operation"],
    buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)


@contextmanager
def counted(cloud: str, service: str, operation: str) -> Iterator[None]:
    """Count and time one exchange with the cloud."""
    started = time.perf_counter()
    outcome = "cancelled"
    try:
        yield
        outcome = "ok"
    except CloudError as error:
        outcome = error.name
        raise
    finally:
        CALLS.labels(cloud, service, operation, outcome).inc()
        SECONDS.labels(cloud, service, operation).observe(time.perf_counter() - started)
