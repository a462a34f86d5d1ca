"""One API call as a value, the answer to it, and the routes that lead from one to the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import StreamReader

from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import Behaviour, Token, User

if TYPE_CHECKING:
    from multidict import MultiMapping

    from js2spawner.devcloud.cloud import DevCloud


class Version(NamedTuple):
    """A microversion."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, as Keystone's token says."""

    user: User
    token: Token
    project_id: str
    roles: tuple[str, ...]

    @property
    def admin(self) -> bool:
        return "admin" in self.roles


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed the gate. `body` is parsed JSON, None when there was none; `stream` is the unread rest."""

    cloud: DevCloud
    method: str
    path: str
    query: MultiMapping[str]
    headers: Mapping[str, str]
    names: Mapping[str, str]
    body: Any
    version: Version
    request_id: str
    behaviour: Behaviour | None
    stream: StreamReader
    identity: Identity | None = None

    @property
    def caller(self) -> Identity:
        """Who calls. Only routes without `open` may ask."""
        if self.identity is None:
            raise Refusal(401, "The request you have made requires authentication.")
        return self.identity

    @property
    def project_id(self) -> str:
        return self.caller.project_id

    def at_least(self, minor: int) -> bool:
        """Whether the caller speaks microversion 2.`minor` (or Cinder's 3.`minor`) or a later one."""
        return self.version.minor >= minor

    def member(self, key: str) -> dict[str, Any]:
        """The object under `key` of the body; 400 when it is not there."""
        value = self.body.get(key) if isinstance(self.body, dict) else None
        if not isinstance(value, dict):
            raise Refusal(400, f"'{key}' is a required property")
        return value


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` bytes go out as they are, a path as what the file holds (or the range of it that was asked for), anything
    else as JSON; None is no body, an empty `content_type` none.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


NOTHING = Answer(status=204, content_type="")

Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """`operation` is the name that faults and latencies know the call by.

    `open` needs no token; `stream` reads the body itself; `since` is the first compute microversion that has the path;
    `versioned` paths heed the microversion asked for and say which one they answer in.
    """

    method: str
    path: str
    operation: str
    handler: Handler
    open: bool = False
    stream: bool = False
    since: int = 0
    versioned: bool = True


@dataclass(frozen=True, slots=True)
class Service:
    """One API below `prefix`. `lowest` and `highest` are the microversions it speaks, None when it has none."""

    name: str
    prefix: str
    routes: tuple[Route, ...]
    lowest: Version | None = None
    highest: Version | None = None
