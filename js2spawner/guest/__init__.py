"""The instance's end of the handshake. Standard library only, Python 3.9 or newer; baked into images.

Nothing here imports the rest of js2spawner: the folder is copied into images on its own, under any name, and
started as `python -I agent.py`. `docs/handshake.md` is the contract with the hub.
"""

VERSION = "0.1.0"
