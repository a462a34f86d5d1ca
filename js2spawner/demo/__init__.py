"""`js2 demo`: the whole hub on the embedded cloud, on one machine, as children of one process."""
