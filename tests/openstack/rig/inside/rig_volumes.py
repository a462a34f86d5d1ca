"""Volumes that are rows in Cinder's tables and nothing else, also those made from images."""

from typing import Any

from cinder.tests.fake_driver import FakeLoggingVolumeDriver


class PretendedVolumes(FakeLoggingVolumeDriver):
    def clone_image(self, *_: Any) -> tuple[dict[str, Any], bool]:
        """Says that the copy is made already, so nobody reads the image."""
        return {}, True
