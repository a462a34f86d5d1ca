"""Which version of an image starts get: one change of one image moves it, forward or back.

Promoting dates a version later than any other. Going back takes that date from the current version and marks it as
withdrawn, so that the one promoted before it is current again; going back twice goes back two steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from js2spawner.cloud.cloud import Cloud
from js2spawner.library import properties as named
from js2spawner.library.changing import Sleep, change
from js2spawner.library.converting import CannotPublish
from js2spawner.library.published import Version, promoted, versions
from js2spawner.library.signing import PublicKeys


async def own_versions(cloud: Cloud, name: str, keys: PublicKeys) -> list[Version]:
    """The versions of an image that lie in this project, newest build first. Raises CloudError."""
    project = await cloud.project_id()
    images = await cloud.images.list(properties={named.IMAGE: name})
    return versions((image for image in images if image.owner == project), name, keys)


async def promote(
    cloud: Cloud, name: str, build: str | None, keys: PublicKeys, now: datetime, sleep: Sleep = asyncio.sleep
) -> tuple[Version, bool]:
    """Make a version the current one, the newest unless a build is named; also whether anything had to be done.

    Raises CannotPublish, CloudError.
    """
    found = await own_versions(cloud, name, keys)
    version = chosen(found, name, build)
    ranked = promoted(found)
    if ranked and ranked[0].image.id == version.image.id:
        return version, False
    date = next_date(found, now)
    await change(
        cloud, version.image, put={named.PROMOTED_AT: named.instant(date)}, remove=[named.WITHDRAWN_AT], sleep=sleep
    )
    return version, True


async def rollback(
    cloud: Cloud, name: str, keys: PublicKeys, now: datetime, sleep: Sleep = asyncio.sleep
) -> tuple[Version, Version]:
    """Go back one step; the version that was current and the one that is now. Raises CannotPublish, CloudError."""
    ranked = promoted(await own_versions(cloud, name, keys))
    if len(ranked) < 2:
        has = "only one promoted version" if ranked else "no promoted version"
        raise CannotPublish(f"There is {has} of {name} in this cloud, so there is none to go back to.")
    left, back = ranked[:2]
    await change(
        cloud, left.image, put={named.WITHDRAWN_AT: named.instant(now)}, remove=[named.PROMOTED_AT], sleep=sleep
    )
    return left, back


async def promotion(cloud: Cloud, name: str, keys: PublicKeys, now: datetime) -> dict[str, str]:
    """What makes an image the current one when it is signed. Raises CannotPublish, CloudError."""
    return {named.PROMOTED_AT: named.instant(next_date(await own_versions(cloud, name, keys), now))}


def chosen(found: Sequence[Version], name: str, build: str | None) -> Version:
    """The version to promote. Raises CannotPublish."""
    usable = [version for version in found if version.usable]
    if build is None:
        if not usable:
            raise CannotPublish(f"No signed version of {name} is in this cloud; run js2 image publish {name}")
        if usable[0].withdrawn:
            raise CannotPublish(
                f"The newest version of {name} was withdrawn by a rollback; to promote it again, say so: js2 image "
                f"promote {name} {usable[0].build}"
            )
        return usable[0]
    version = next((version for version in usable if version.build == build), None)
    if version is None:
        known = ", ".join(version.build for version in usable) or "none"
        raise CannotPublish(f"No signed version of build {build} of {name} is in this cloud; there are: {known}.")
    return version


def next_date(found: Sequence[Version], now: datetime) -> datetime:
    """Later than any promotion so far, even one by a clock that is ahead. Raises CannotPublish."""
    latest = max((version.promoted_at for version in found if version.usable and version.promoted_at), default=None)
    if latest is None or latest < now:
        return now
    if latest > now + timedelta(days=1):
        raise CannotPublish(
            f"A version was promoted at {latest:%Y-%m-%d %H:%M} UTC, which is yet to come; check this machine's clock, "
            f"and who wrote {named.PROMOTED_AT} there."
        )
    return latest + timedelta(microseconds=1)
