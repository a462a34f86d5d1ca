"""`python -m js2spawner.devcloud` is `js2 devcloud`."""

from js2spawner.devcloud.command import devcloud

devcloud()
