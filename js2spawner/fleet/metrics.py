"""What Prometheus sees of the fleet, on the hub's own /hub/metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

STARTS = Counter("js2_starts_total", "Starts that came to an end, by how.", ["image", "flavor", "outcome"])
ATTEMPT_ENDS = Counter("js2_attempt_ends_total", "Attempts whose instance is surely gone, by reason.", ["reason"])
STAGE_SECONDS = Histogram(
    "js2_stage_seconds",
    "Seconds a stage of a finished start took.",
    ["stage"],
    buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600),
)
INSTANCES = Gauge("js2_instances", "Instances of this hub by region and state of their record.", ["region", "state"])
INVENTORY_AGE = Gauge("js2_inventory_age_seconds", "Age of the newest list of instances.", ["region"])
REGION_OPEN = Gauge(
    "js2_region_open", "1 while a region's cloud does not answer and nothing is started there.", ["region"]
)
LINE_LENGTH = Gauge(
    "js2_line_length", "Starts that wait in the line, by the region and flavor they want first.", ["region", "flavor"]
)
LINE_WAIT_SECONDS = Histogram(
    "js2_line_wait_seconds",
    "Seconds a start waited for its turn.",
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600),
)
GRANTS = Counter(
    "js2_grants_total",
    "Ways out of the line: at-once, waited, left, gave-up, failed, resumed; back is into it: no room after all.",
    ["outcome"],
)
LIMIT_REFUSALS = Counter("js2_limit_refusals_total", "Starts refused by a limit of the catalog.", ["limit"])
SAVES = Counter("js2_saves_total", "Saves of instances as images that came to an end, by how.", ["outcome"])
SAVE_SECONDS = Histogram(
    "js2_save_seconds",
    "Seconds a stage of a save took.",
    ["stage"],
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3000),
)
ORPHANS = Counter("js2_orphans_total", "Instances deleted that no record spoke for.", ["region"])
HOMES = Gauge("js2_homes", "Homes of this hub by region and what their state means.", ["region", "state"])
HOME_SNAPSHOTS = Counter("js2_home_snapshots_total", "Snapshots of homes the schedule wanted, by outcome.", ["outcome"])
HOME_ATTACH_SECONDS = Histogram(
    "js2_home_attach_seconds",
    "Seconds from the wish to attach a home to the cloud's word that it is.",
    buckets=(0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600),
)
BROKEN_GPUS = Counter(
    "js2_broken_gpus_total", "Instances whose GPU did not answer, by Nova's word for the host.", ["host"]
)

# A cloud has so many hosts with GPUs at most; a label is kept for ever, and nothing from outside may fill the memory.
_HOSTS_AT_MOST = 200
_hosts: set[str] = set()


def count_broken_gpu(host_id: str) -> None:
    """`host_id` is Nova's hash of hypervisor and project; its first digits tell hosts apart."""
    host = host_id[:12] or "unknown"
    if host not in _hosts and len(_hosts) >= _HOSTS_AT_MOST:
        host = "other"
    _hosts.add(host)
    BROKEN_GPUS.labels(host=host).inc()
