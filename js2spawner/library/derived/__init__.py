"""Images derived from one that is in the cloud: launched, changed over our own handshake, and saved there.

`making` puts a build together: `plan` turns a definition into steps, `launching` brings an instance of the base up,
`book` gives it one step after another over the handshake, `saving` makes it an image, `leftovers` takes away whatever
a build put into the cloud, its own and that of a builder that was killed.
"""

from js2spawner.library.derived.making import Interrupted, build
from js2spawner.library.derived.settings import Patience, Settings

__all__ = ["Interrupted", "Patience", "Settings", "build"]
