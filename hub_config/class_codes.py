"""Sign-in for a class whose students have no account anywhere: a name and the code the instructor gave out.

A code is `<class>-<secret>`; the file keeps only a hash of it. Whoever knows the code may enter under any name of that
class, so classmates have no privacy from each other; nobody becomes a user of another class or an admin by it.

`python -m hub_config.class_codes CLASS` makes a code and the lines for the file.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tornado import web
from traitlets import Unicode

from hub_config.attempts import FailureLimit
from hub_config.pacing import PacedStarts
from js2spawner import located_yaml
from js2spawner.located_yaml import FileError, Mistake

_CLASS = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
# Letters and digits that are not mistaken for one another when read from a board: 31^8 codes for each class.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_LONGEST_CODE = 64
# scrypt with 16 MiB, about 50 ms: guessing costs, signing in does not hurt (RFC 7914, section 2).
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_HASHES_AT_ONCE = 2


class Course(BaseModel):
    """One class of the file: `code` is a hash, `ends` the last day (UTC); `groups` default to the class's own name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    code: Annotated[str, Field(pattern=r"^scrypt\$[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+$", max_length=200)]
    ends: date
    groups: Annotated[tuple[str, ...] | None, Field(strict=False)] = None


@dataclass(frozen=True, slots=True)
class Admitted:
    name: str
    groups: tuple[str, ...]


def hashed(code: str, salt: bytes) -> str:
    """What the file keeps of a code."""
    digest = hashlib.scrypt(code.encode(), salt=salt, dklen=32, **_SCRYPT)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def read_courses(file: Path) -> dict[str, Course]:
    """The classes of a file. Raises FileError with every mistake, file and line."""
    located = located_yaml.read(file)
    if not isinstance(located.data, dict):
        raise FileError(located.told([((), "the file must list classes, each under its name.")]))
    courses: dict[str, Course] = {}
    mistakes: list[Mistake] = []
    for name, settings in located.data.items():
        thing = f"class {located_yaml.shown(name)}"
        if not _CLASS.fullmatch(str(name)):
            mistakes.append(((str(name),), f"{thing}: use small letters, digits and dashes, 31 at most."))
            continue
        try:
            courses[str(name)] = Course.model_validate(settings)
        except ValidationError as error:
            mistakes += located_yaml.explain(error, Course, thing, (str(name),))
    if mistakes:
        raise FileError(located.told(mistakes))
    return courses


def admit(courses: Mapping[str, Course], name: str, code: str, today: date) -> Admitted | None:
    """The user that a name and a code stand for; None when they do not fit. Takes about 50 ms, right or wrong."""
    code = "".join(code.split()).lower()[:_LONGEST_CODE]
    class_name = code.rsplit("-", 2)[0]
    course = courses.get(class_name)
    salt = base64.b64decode(course.code.split("$")[1]) if course else b"no such class"
    given = hashed(code, salt)
    if course is None or not hmac.compare_digest(given, course.code) or today > course.ends:
        return None
    # The class is part of the name: a code never opens an account of another class.
    return Admitted(f"{name}@{class_name}", course.groups or (class_name,))


class ClassCodes(PacedStarts):
    """Admits by name and class code. The file is read at every sign-in, so a new class needs no restart."""

    codes_file = Unicode(help="The YAML file of classes and their hashed codes.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._limit = FailureLimit(20, 600, time.monotonic)
        self._hashing = asyncio.Semaphore(_HASHES_AT_ONCE)

    async def authenticate(self, handler: Any, data: Mapping[str, str]) -> dict[str, Any]:
        address = handler.request.remote_ip
        if self._limit.blocked(address):
            raise web.HTTPError(429, "Too many wrong codes from your address. Try again in ten minutes.")
        name = re.sub(r"\s+", "-", data.get("username", "").strip().lower())
        if not _NAME.fullmatch(name):
            raise web.HTTPError(403, "Write your name in letters a to z, digits, dots and dashes, 32 at most.")
        courses = await self._courses()
        today = datetime.now(UTC).date()
        async with self._hashing:
            admitted = await asyncio.to_thread(admit, courses, name, data.get("password", ""), today)
        if admitted is None:
            self._limit.failed(address)
            raise web.HTTPError(403, "This class code is not right, or its class is over.")
        return {"name": admitted.name, "groups": list(admitted.groups), "admin": False}

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """A class that is over, or gone from the file, ends its users' sign-in."""
        course = (await self._courses()).get(user.name.rpartition("@")[2])
        if course is None or datetime.now(UTC).date() > course.ends:
            return False
        return await super().refresh_user(user, handler, **kwargs)

    async def _courses(self) -> dict[str, Course]:
        try:
            return await asyncio.to_thread(read_courses, Path(self.codes_file))
        except FileError as error:
            self.log.error("the class codes cannot be read: %s", error)
            raise web.HTTPError(503, "The list of classes cannot be read; tell the people who run this hub.") from None


def main(arguments: list[str]) -> int:
    """Make a code for a class; print it and the lines for the file."""
    if len(arguments) != 1 or not _CLASS.fullmatch(arguments[0]):
        sys.stderr.write("Usage: python -m hub_config.class_codes CLASS (small letters, digits and dashes)\n")
        return 2
    halves = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(2))
    code = "-".join((arguments[0], *halves))
    entry = f"{arguments[0]}:\n  code: {hashed(code, secrets.token_bytes(16))}\n  ends: {datetime.now(UTC).date()}\n"
    sys.stdout.write(f"The code, shown only now: {code}\nFor the file (set the last day):\n\n{entry}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
