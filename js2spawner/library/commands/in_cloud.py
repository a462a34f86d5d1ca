"""What the subcommands that touch a cloud share: which one, with which keys, and how its refusals are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError
from js2spawner.library.builds import Busy
from js2spawner.library.commands import common
from js2spawner.library.converting import CannotPublish
from js2spawner.library.pruning import KEEP
from js2spawner.library.signing import NO_KEYS, KeyFileError, PublicKeys, SigningKey

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

KEY_FILE, PUBLIC_FILE = "signing.key", "signing.pub"

_visibility_option = click.option(
    "--visibility",
    type=click.Choice(["private", "shared", "community", "public"]),
    default="private",
    show_default=True,
    help="Who sees the image in the cloud besides this project.",
)
_format_option = click.option(
    "--format",
    "disk_format",
    type=click.Choice(["raw", "qcow2"]),
    default="raw",
    show_default=True,
    help="How the disk is uploaded.",
)
_key_option = click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The private key that signs (default: signing.key below --builds, made when it is first needed).",
)
keep_option = click.option(
    "--keep", type=click.IntRange(min=1), default=KEEP, show_default=True, help="How many versions stay."
)
keys_option = click.option(
    "--keys",
    "keys_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="JS2_IMAGE_KEYS",
    help="File of the public keys that vouch for images (default: signing.pub below --builds).",
)


def publication_options(command: F) -> F:
    """`--visibility`, `--format` and `--key`: how an image is published."""
    return _visibility_option(_format_option(_key_option(command)))


@dataclass(frozen=True, slots=True)
class Where:
    """A cloud as the options name it."""

    cloud: str
    region: str | None
    clouds_yaml: Path | None

    def run(self, work: Callable[[Cloud], Awaitable[T]]) -> T:
        """Do work in the cloud, in an event loop of its own. Raises CloudError and what the work raises."""

        async def all_of_it() -> T:
            cloud = self.open()
            try:
                return await work(cloud)
            finally:
                await cloud.close()

        return asyncio.run(all_of_it())

    def open(self) -> Cloud:
        """The cloud, to be used and closed in one event loop."""
        # What the cloud room logs, the errors say.
        logging.getLogger("js2spawner").addHandler(logging.NullHandler())
        config = str(self.clouds_yaml) if self.clouds_yaml else None
        return Cloud(self.cloud, region=self.region, config_file=config)

    def ask(self, work: Callable[[Cloud], Awaitable[T]]) -> T:
        """The same, with every refusal as one sentence for whoever typed the command."""
        try:
            return self.run(work)
        except (CloudError, CannotPublish, KeyFileError, Busy, OSError) as problem:
            raise click.ClickException(told(problem)) from None


def told(problem: Exception) -> str:
    """A refusal in one sentence, with the cloud's own words behind its name."""
    if isinstance(problem, OSError):
        return common.of_file(problem)
    if not isinstance(problem, CloudError):
        return str(problem)
    sentence = problem.sentence.rstrip(".")
    detail = " ".join(problem.detail.split())[:300]
    return f"{sentence} ({detail})." if detail and detail != problem.sentence else f"{sentence}."


def signing_key(key_file: Path | None, builds: Path, say: Callable[[str], None]) -> SigningKey:
    """The key that signs; the default one is made when it is first needed. Raises KeyFileError."""
    if key_file is not None:
        return SigningKey.read(key_file)
    file = builds / KEY_FILE
    if file.exists():
        key = SigningKey.read(file)
        if not (builds / PUBLIC_FILE).exists():
            # Whoever made the key was killed before its public part was there.
            key.write_public(builds / PUBLIC_FILE)
            say(f"Made {builds / PUBLIC_FILE} again; hubs trust the key by its line:")
            say(key.public_line)
        return key
    made = SigningKey.make(file)
    say(f"Made a new signing key, {file}; keep a copy of it. Hubs trust it by the line in {builds / PUBLIC_FILE}:")
    say(made.public_line)
    return made


def trusted_keys(keys_file: Path | None, builds: Path) -> PublicKeys:
    """The keys that vouch for images here. Raises KeyFileError."""
    if keys_file is not None:
        return PublicKeys.read(keys_file)
    file = builds / PUBLIC_FILE
    if not file.exists():
        raise KeyFileError(f"There are no public keys in {file}; name a file of them with --keys.")
    return PublicKeys.read(file)


def trusted_keys_if_any(keys_file: Path | None, builds: Path) -> PublicKeys:
    """The same for looking only, where nothing is trusted as long as nothing was published."""
    return trusted_keys(keys_file, builds) if keys_file or (builds / PUBLIC_FILE).exists() else NO_KEYS
