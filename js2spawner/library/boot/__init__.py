"""Boot a build before anybody gets it: in QEMU, against a hub's own handshake, as a user and as root.

`testing` says what became of it; `trial` is the course of a test; `machine`, `console` and `drive` are the machine,
`attempt` and `stand_in_hub` the hub's side, `jupyter` and `notebooks` the user's, `inside` what root looks for.
"""

from js2spawner.library.boot.testing import CannotTest, Tested, test

__all__ = ["CannotTest", "Tested", "test"]
