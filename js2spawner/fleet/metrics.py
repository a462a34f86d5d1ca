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
SAVES = Counter("js2_saves_total", "Saves of instances as images that came to an end, by how.", ["outcome"])
SAVE_SECONDS = Histogram(
    "js2_save_seconds",
    "Seconds a stage of a save took.",
    ["stage"],
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3000),
)
ORPHANS = Counter("js2_orphans_total", "Instances deleted that no record spoke for.", ["region"])
