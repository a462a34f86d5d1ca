"""What an image holds may be larger than the memory of the machine that the cloud runs on."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from js2spawner.devcloud.files import uploaded
from tests.devcloud.client import devcloud

SIZE = 6 * 1024**3
OCTETS = {"Content-Type": "application/octet-stream"}


async def test_a_large_image_goes_out_in_pieces_and_from_where_it_broke_off(tmp_path: Path) -> None:
    async with devcloud(tmp_path) as scene:
        made = await scene.hub.call(
            "POST", "/image/v2/images", {"name": "large", "disk_format": "raw", "container_format": "bare"}
        )
        url = f"/image/v2/images/{made.body['id']}/file"
        assert (await scene.hub.call("PUT", url, b"its beginning", headers=OCTETS)).status == 204
        where = uploaded(scene.cloud, made.body["id"])
        os.truncate(where, SIZE)
        with where.open("r+b") as stream:
            stream.seek(SIZE - 4)
            stream.write(b"end.")
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        last = await scene.hub.call("GET", url, headers={"Range": f"bytes={SIZE - 4}-"})
        assert (last.status, last.body) == (206, "end.")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < SIZE // 1024 // 10
