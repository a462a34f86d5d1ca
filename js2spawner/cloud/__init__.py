"""OpenStack, by id, JSON in, small frozen records out. Knows nothing of JupyterHub; `cloud.Cloud` is the way in."""
