"""The real jupyterhub-singleuser, cold or imported ahead, as an ordinary account and with a stand-in for its hub."""
