"""What the instance of a base boots with: the ordinary seed, and the guest program where the base has none.

One object serves all readers, because JSON is YAML: a base of the cloud's own makes files and runs commands as its
cloud-init is told; the guest program reads the part that is its own. No word of it opens anything once it was used.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from js2spawner.cloud.compute import USER_DATA_AT_MOST
from js2spawner.handshake.userdata import user_data
from js2spawner.library.derived import bundle
from js2spawner.library.scratch.tools import CannotBuild

_FOLDER = "/run/js2-build"
_ARCHIVE = f"{_FOLDER}/guest.tar.xz"

_DRIVE = f"{_FOLDER}/drive"

# In memory: neither the program nor what it keeps is to be found in the image. It is unpacked by Python, which it
# needs anyway, and runs as a service of systemd's, so that it outlives cloud-init. Nova gives its drive this label.
_START = f"""\
set -eu
cd {_FOLDER}
chmod 0700 .
python3 -I -m tarfile -e {_ARCHIVE} .
rm {_ARCHIVE}
if [ -e /dev/disk/by-label/config-2 ]; then
    mkdir {_DRIVE}
    mount -o ro /dev/disk/by-label/config-2 {_DRIVE}
    set -- --config-drive {_DRIVE}
fi
exec systemd-run --unit=js2-build --property=Restart=on-failure --property=RestartPreventExitStatus='2 3' \
    python3 -I {_FOLDER}/guest/building.py {_FOLDER}/kept "$@"
"""


def boot_text(*, url: str, authority_pem: str, attempt_id: str, ticket: str, with_program: bool) -> str:
    """The user-data, not yet base64. Raises CannotBuild when Nova would not take it."""
    text = user_data(hub_url=url, authority_pem=authority_pem, attempt_id=attempt_id, ticket=ticket)
    if with_program:
        first, _, rest = text.partition("\n")
        told: dict[str, Any] = json.loads(rest)
        text = f"{first}\n{json.dumps({**told, **_cloud_config()})}\n"
    size = len(base64.b64encode(text.encode()))
    if size > USER_DATA_AT_MOST:
        raise CannotBuild(
            f"The guest program does not fit into user-data: {size} bytes in base64, and Nova takes"
            f" {USER_DATA_AT_MOST}; build from an image that holds the guest program."
        )
    return text


def _cloud_config() -> dict[str, Any]:
    content = base64.b64encode(bundle.program()).decode("ascii")
    return {
        "package_update": False,
        "package_upgrade": False,
        "write_files": [{"path": _ARCHIVE, "encoding": "b64", "content": content, "permissions": "0600"}],
        "runcmd": [["sh", "-c", _START]],
    }
