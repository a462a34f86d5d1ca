"""What an operator of this hub edits. `jupyterhub_config.py` reads it from top to bottom."""
