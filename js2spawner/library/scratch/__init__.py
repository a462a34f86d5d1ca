"""Images built on this machine from Debian's packages and locked wheels; as root, on Debian.

`making` puts a build together: `debian` and `environments` install software below a folder, `layers` keeps archives of
what took long, `settling` adds files and settings, `finishing` takes out what no two machines may share, `disk` makes
it bootable. Every program they start goes through `tools`.
"""

from js2spawner.library.scratch.making import build
from js2spawner.library.scratch.tools import CannotBuild

__all__ = ["CannotBuild", "build"]
