"""js2spawner: a JupyterHub whose every user gets an OpenStack instance of their own, on demand."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("js2spawner")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
