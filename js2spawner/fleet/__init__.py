"""All instances of this hub: inventory, attempts, retries, the reaper, and what they cost in calls."""
