"""The saved images of this hub in its clouds: found, sealed, shared, frozen, deleted.

The cloud is the record of what exists: nothing of it is kept here but a list that is a few seconds old.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from js2spawner.cloud.errors import CloudError, Gone, NoAnswer, Unreachable
from js2spawner.cloud.records import Image
from js2spawner.fleet.names import HUB_KEY
from js2spawner.fleet.regions import Kept, RegionDesk
from js2spawner.library.properties import KIND, SAVED
from js2spawner.saved import Key, Saved, Unfinished, Words

_FRESH_S = 15.0
# How long the images of one region are waited for by who asks for those of all.
_PATIENCE_S = 10.0

Condition = Callable[[Saved], None]
_KEY_BYTES = 32


def read_key(file: Path, hub_id: str) -> Key:
    """The key in its file (0600), made on first use. Blocks. Raises OSError."""
    try:
        secret = bytes.fromhex(file.read_text().strip())
    except FileNotFoundError:
        secret = secrets.token_bytes(_KEY_BYTES)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(f"{secret.hex()}\n")
            stream.flush()
            os.fsync(descriptor)
    except ValueError:
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise OSError(f"{file} is damaged: put it back from a backup, or delete it and lose all saved images")
    return Key(secret, hub_id)


class SavedImages:
    """Every method raises CloudError when a cloud does not answer."""

    def __init__(self, desks: Mapping[str, RegionDesk], key: Key, clock: Callable[[], float]) -> None:
        self.key = key
        self._desks = desks
        self._clock = clock
        self._lists: dict[str, Kept[list[Saved | Unfinished]]] = {}
        # A change reads what is there and seals all of it anew: one at a time, or one of two would be lost.
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def all(self, *, patience_s: float = _PATIENCE_S) -> list[Saved]:
        """Everybody's, newest first. Of a region that does not answer in time, what it said last.

        Raises CloudError only when there is nothing to tell of any region.
        """
        lists = await asyncio.gather(
            *(self._list(region, patience_s) for region in self._desks), return_exceptions=True
        )
        told = [each for each in lists if not isinstance(each, BaseException)]
        for trouble in lists:
            if isinstance(trouble, BaseException) and (not told or not isinstance(trouble, CloudError)):
                raise trouble
        found = [each for listed in told for each in listed if isinstance(each, Saved)]
        return sorted(found, key=lambda saved: saved.words.saved_at, reverse=True)

    async def unfinished(self, region: str) -> list[Unfinished]:
        """What began and was not sealed, as the cloud shows it now."""
        return [each for each in await self._ask(region) if isinstance(each, Unfinished)]

    async def find(self, image_id: str) -> Saved | None:
        """One saved image as it is now; None for whatever is none of this hub's.

        All regions are asked side by side: where it is, the others are not waited for.
        """
        asked = [asyncio.ensure_future(self._find_in(region, image_id)) for region in self._desks]
        trouble: CloudError | None = None
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    found = await answer
                except CloudError as error:
                    trouble = error
                    continue
                if found is not None:
                    return found
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if trouble is not None:
            raise trouble
        return None

    async def _find_in(self, region: str, image_id: str) -> Saved | None:
        desk = self._desks[region]
        if desk.down:
            raise Unreachable(f"region {region} does not answer")
        try:
            image = await desk.cloud.images.get(image_id)
        except Gone:
            return None
        found = self.key.read(image, region)
        return found if isinstance(found, Saved) else None

    async def look(self, region: str, save_id: str, image_id: str) -> Image | None:
        """The image of a save under way, by its own id or, while that is not known, by the save's.

        Of several that claim to be one save none is it: somebody copies what is said of others' images.
        """
        if image_id:
            try:
                return await self._desks[region].cloud.images.get(image_id)
            except Gone:
                return None
        found = [each.image for each in await self.unfinished(region) if each.words.save_id == save_id]
        return found[0] if len(found) == 1 else None

    async def seal(self, region: str, image: Image, words: Words) -> None:
        """Make a finished image its owner's."""
        await self._desks[region].cloud.images.update(image.id, put=self.key.seal(image, words))
        self._forget(region)

    async def share(self, image_id: str, group: str, *, only_if: Condition) -> Saved | None:
        """Let a group start it, or ("") nobody but the owner. None when it is no saved image any more.

        `only_if` gets the image as it is when nobody else changes it, and raises what is to be raised.
        """
        return await self._change(image_id, only_if, lambda saved: (group, saved.frozen))

    async def freeze(self, image_id: str, *, frozen: bool, only_if: Condition) -> Saved | None:
        """Keep it from being deleted or changed, in the cloud too, or let go of it. `only_if` as with `share`."""
        return await self._change(image_id, only_if, lambda saved: (saved.group, frozen))

    async def delete(self, saved: Saved, *, only_if: Condition) -> None:
        """Delete it for good. Raises Conflict while the storage holds it for a running instance. `only_if` as above."""
        async with self._changing[saved.region]:
            current = await self._find_in(saved.region, saved.id)
            if current is not None:
                only_if(current)
                await self.discard(current.region, current.id)

    async def discard(self, region: str, image_id: str) -> None:
        """Delete an image; one that is gone is no error."""
        try:
            await self._desks[region].cloud.images.delete(image_id)
        except Gone:
            pass
        finally:
            self._forget(region)

    async def _change(self, image_id: str, only_if: Condition, to: Callable[[Saved], tuple[str, bool]]) -> Saved | None:
        where = await self.find(image_id)
        if where is None:
            return None
        region = where.region
        async with self._changing[region]:
            saved = await self._find_in(region, image_id)
            if saved is None:
                return None
            only_if(saved)
            group, frozen = to(saved)
            sealed = self.key.seal(saved.image, saved.words, group=group, frozen=frozen)
            images = self._desks[region].cloud.images
            try:
                image = await images.update(image_id, put={**sealed, "protected": frozen})
            finally:
                self._forget(region)
        found = self.key.read(image, region)
        return found if isinstance(found, Saved) else None

    async def _list(self, region: str, patience_s: float) -> list[Saved | Unfinished]:
        """What a region has, or had when it last answered. Raises CloudError when that is not known either."""
        if region not in self._lists:
            self._lists[region] = Kept(lambda: self._ask(region), _FRESH_S, self._clock)
        kept = self._lists[region]
        try:
            if self._desks[region].down:
                raise Unreachable(f"region {region} does not answer")
            async with asyncio.timeout(patience_s):
                return await kept.get()
        except (CloudError, TimeoutError) as error:
            if kept.last is not None:
                return kept.last
            if isinstance(error, TimeoutError):
                raise NoAnswer(f"region {region} did not list its saved images in time") from None
            raise

    async def _ask(self, region: str) -> list[Saved | Unfinished]:
        ours = {HUB_KEY: self.key.hub_id, KIND: SAVED}
        images = await self._desks[region].cloud.images.list(properties=ours)
        found = (self.key.read(image, region) for image in images)
        return [each for each in found if each is not None]

    def _forget(self, region: str) -> None:
        """What was listed is not so any more."""
        self._lists.pop(region, None)
