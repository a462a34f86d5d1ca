"""What travels between hub and guest, as frozen records (docs/handshake.md).

A guest is hostile: its user may be root. What comes from there is taken apart here, field by field, and nothing
else of the hub ever sees the raw body. Every refusal is a BadMessage with one sentence that names the field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from js2spawner.handshake.tickets import SHAPE

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_GPUS = 16
MOST_DETAIL = 500
# No machine has more of anything; a larger figure is a lie, and is cut rather than believed.
LARGEST = 1e9

MOST_RESULT = 8192

STAGES = ("account", "home", "gpu", "notebook", "listening", "left", "failed", "building", "built")
PROBLEMS = ("", "account", "home", "gpu", "notebook", "port", "build")
WORK = ("kernel", "terminal", "gpu", "cpu", "none")
HOME_STATES = ("none", "mounted", "clean", "busy")
StageName = Literal["account", "home", "gpu", "notebook", "listening", "left", "failed", "building", "built"]
Problem = Literal["", "account", "home", "gpu", "notebook", "port", "build"]
HomeState = Literal["none", "mounted", "clean", "busy"]
Work = Literal["kernel", "terminal", "gpu", "cpu", "none"]


class BadMessage(Exception):
    """A message is not what the contract says; the message says which field and why."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First contact: a ticket in exchange for a credential that the guest made itself."""

    attempt_id: str
    ticket: str = field(repr=False)
    credential: str = field(repr=False)
    instance_id: str
    boot_id: str
    guest: str


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    utilisation_percent: float
    memory_used_mb: float
    memory_total_mb: float


@dataclass(frozen=True, slots=True)
class Health:
    """The instance's own figures, for pages and metrics; nothing is decided by them."""

    load1: float
    memory_used_mb: float
    memory_total_mb: float
    disk_used_gb: float
    disk_total_gb: float
    uptime_s: float
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class Activity:
    """Work that JupyterHub cannot see: seconds since it was last seen. With "none" there never was any."""

    idle_s: float
    because: Work


@dataclass(frozen=True, slots=True)
class HomeReport:
    """How the home is: mounted, let go of in good order (`clean`), or somebody holds on to it (`busy`).

    `formatted`: this guest made its file system; `repaired`: it had to mend it. GB are GiB, as in `Health`.
    """

    state: HomeState = "none"
    used_gb: float = 0.0
    total_gb: float = 0.0
    formatted: bool = False
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """How far the guest is and how it goes. The first one that names the assignment acknowledges it.

    `result` is what a step of a build yielded, or the end of what a failing one said: printable lines. `saving` is the
    id of the save for which the guest keeps its credential off the disk, if it does.
    """

    stage: StageName
    assignment_id: str
    problem: Problem
    detail: str
    health: Health
    activity: Activity
    notebook_alive: bool
    notebook_restarts: int
    result: str = ""
    saving: str = ""
    home: HomeReport = HomeReport()


@dataclass(frozen=True, slots=True)
class Certificates:
    """The single-user server's files of JupyterHub's internal_ssl, as PEM texts."""

    key: str = field(repr=False)
    certificate: str
    authority: str


@dataclass(frozen=True, slots=True)
class SeedWish:
    """What a home is to hold at first: a git repository or an archive, below `into`. Never over what is there."""

    kind: Literal["git", "archive"]
    url: str
    branch: str = ""
    into: str = "."


@dataclass(frozen=True, slots=True)
class HomeMount:
    """Where the user's home is to come from, before anything else of theirs is started.

    `volume`: the disk whose serial begins with `serial`; `may_format`: nobody has made its file system yet. `share`:
    `export` (NFS `host:/path`, or CephFS monitors and path) with `access` and its `key`.
    """

    kind: Literal["volume", "share"]
    serial: str = ""
    may_format: bool = False
    export: str = ""
    access: str = ""
    key: str = field(default="", repr=False)
    seed: SeedWish | None = None


@dataclass(frozen=True, slots=True)
class DataMount:
    """Class data, mounted read-only at /data/`name`."""

    name: str
    kind: Literal["volume", "share"]
    serial: str = ""
    export: str = ""
    access: str = ""
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whose server a guest is to run. `env` is the whole of `Spawner.get_env()` and holds the server's token.

    `user_name` is the account's name on the instance, `uid` at least 1000. A variable that is None is left out.
    """

    id: str
    user_name: str
    uid: int
    sudo: bool
    argv: tuple[str, ...]
    env: Mapping[str, str | None] = field(repr=False)
    address: str
    port: int
    certificates: Certificates | None = None
    gpu: bool = False
    home: HomeMount | None = None
    data: tuple[DataMount, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The body of the answer to `GET /v1/assignment`."""
        return {
            "id": self.id,
            "user": {"name": self.user_name, "uid": self.uid, "sudo": self.sudo},
            "server": {
                "argv": list(self.argv),
                "env": {name: value for name, value in self.env.items() if value is not None},
                "address": self.address,
                "port": self.port,
                "certificates": None if self.certificates is None else asdict(self.certificates),
            },
            "gpu": self.gpu,
            "home": None if self.home is None else asdict(self.home),
            "data": [asdict(mount) for mount in self.data],
        }


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One step of making an image, given as an assignment to an instance that was launched for it and for nobody.

    `do` is the step's own part (docs/handshake.md, "Building an image"). The report that names `id` says how it ended.
    """

    id: str
    number: int
    of: int
    deadline_s: float
    do: Mapping[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The body of the answer to `GET /v1/assignment`."""
        step = {"number": self.number, "of": self.of, "deadline_s": self.deadline_s, **self.do}
        return {"id": self.id, "provision": step}


@dataclass(frozen=True, slots=True)
class Lease:
    """When and why this server ends unless somebody acts. `hub_page` is a path on the hub where one can.

    `then` is what becomes of the instance, `home`: whether its user has one that stays, `su_per_hour` what it costs
    until then. Everybody who can reach the server's pages can read this.
    """

    ends_at: datetime
    why: Literal["idle", "age"]
    warn: bool
    hub_page: str
    then: Literal["delete", "shelve"] = "delete"
    home: bool = False
    su_per_hour: float | None = None

    def to_json(self) -> dict[str, Any]:
        ends_at = self.ends_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        lease: dict[str, Any] = {"ends_at": ends_at, "why": self.why, "warn": self.warn, "hub_page": self.hub_page}
        return {**lease, "then": self.then, "home": self.home, "su_per_hour": self.su_per_hour}


@dataclass(frozen=True, slots=True)
class Quiet:
    """Take the credential off the disk and keep it off, for this save, for at most so many seconds."""

    save_id: str
    within_s: float

    def to_json(self) -> dict[str, Any]:
        return {"id": self.save_id, "within_s": self.within_s}


@dataclass(frozen=True, slots=True)
class Orders:
    """What the hub answers to a report. `report_s`: how soon it wants the next one, if sooner than usual.

    `leave_within_s`: end what runs for the user, write everything out, let go of the home, and say so.
    """

    lease: Lease | None = None
    stop: bool = False
    save: Quiet | None = None
    report_s: float | None = None
    leave_within_s: float | None = None

    def to_json(self, report_s: float) -> dict[str, Any]:
        lease = None if self.lease is None else self.lease.to_json()
        soon_s = report_s if self.report_s is None else min(report_s, self.report_s)
        answer: dict[str, Any] = {"report_s": soon_s, "lease": lease, "order": "stop" if self.stop else "none"}
        if self.save is not None and not self.stop:
            answer.update(order="save", save=self.save.to_json())
        if self.leave_within_s is not None and not self.stop:
            answer.update(order="leave", leave={"within_s": self.leave_within_s})
        return answer


def hello_from(body: bytes) -> Hello:
    """Take apart the body of `POST /v1/hello`. Raises BadMessage."""
    told = _parse(body)
    return Hello(
        attempt_id=_shaped(told, "attempt", ID),
        ticket=_shaped(told, "ticket", SHAPE),
        credential=_shaped(told, "credential", SHAPE),
        instance_id=_shaped(told, "instance_id", ID),
        boot_id=_shaped(told, "boot_id", ID),
        guest=_text(told, "guest", 32),
    )


def report_from(body: bytes) -> Report:
    """Take apart the body of `POST /v1/report`. Raises BadMessage."""
    told = _parse(body)
    notebook = _object(told, "notebook")
    activity = _object(told, "activity")
    assignment_id = _text(told, "assignment", 64)
    if assignment_id and not ID.fullmatch(assignment_id):
        raise BadMessage("The field 'assignment' is no id.")
    return Report(
        stage=_one_of(told, "stage", STAGES),
        assignment_id=assignment_id,
        problem=_one_of(told, "problem", PROBLEMS),
        detail=_text(told, "detail", MOST_DETAIL),
        health=_health(_object(told, "health")),
        activity=Activity(_number(activity, "idle_s"), _one_of(activity, "because", WORK)),
        notebook_alive=_flag(notebook, "alive"),
        notebook_restarts=int(_number(notebook, "restarts")),
        result=_lines(told, "result", MOST_RESULT),
        saving=_id_or_nothing(told, "saving"),
        home=_home(told.get("home")),
    )


def _home(told: Any) -> HomeReport:
    """Missing with guests of before there were homes."""
    if told is None:
        return HomeReport()
    if not isinstance(told, dict):
        raise BadMessage("The field 'home' is not an object.")
    return HomeReport(
        state=_one_of(told, "state", HOME_STATES),
        used_gb=_number(told, "used_gb"),
        total_gb=_number(told, "total_gb"),
        formatted=_flag(told, "formatted"),
        repaired=_flag(told, "repaired"),
    )


def _health(told: Mapping[str, Any]) -> Health:
    gpus = told.get("gpus", [])
    if not isinstance(gpus, list) or len(gpus) > MOST_GPUS:
        raise BadMessage(f"The field 'gpus' is not a list of at most {MOST_GPUS}.")
    return Health(
        load1=_number(told, "load1"),
        memory_used_mb=_number(told, "memory_used_mb"),
        memory_total_mb=_number(told, "memory_total_mb"),
        disk_used_gb=_number(told, "disk_used_gb"),
        disk_total_gb=_number(told, "disk_total_gb"),
        uptime_s=_number(told, "uptime_s"),
        gpus=tuple(_gpu(gpu) for gpu in gpus),
    )


def _gpu(told: Any) -> Gpu:
    if not isinstance(told, dict):
        raise BadMessage("The field 'gpus' holds something other than objects.")
    return Gpu(
        name=_text(told, "name", 64),
        utilisation_percent=min(100.0, _number(told, "utilisation_percent")),
        memory_used_mb=_number(told, "memory_used_mb"),
        memory_total_mb=_number(told, "memory_total_mb"),
    )


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise BadMessage("The body is not JSON in UTF-8.") from problem
    if not isinstance(told, dict):
        raise BadMessage("The body is not a JSON object.")
    return told


def _object(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    if not isinstance(value, dict):
        raise BadMessage(f"The field {name!r} is not an object.")
    return value


def _shaped(told: Mapping[str, Any], name: str, shape: re.Pattern[str]) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise BadMessage(f"The field {name!r} is missing or malformed.")
    return value


def _text(told: Mapping[str, Any], name: str, most: int) -> str:
    """One printable line. Controls, lone surrogates and direction marks become spaces: they forge logs and pages."""
    value = told.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise BadMessage(f"The field {name!r} is not text of at most {most} characters.")
    return _printable(value).strip()


def _lines(told: Mapping[str, Any], name: str, most: int) -> str:
    """Printable lines; a field that is missing is none. Guests of before there was such a field are still about."""
    value = told.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise BadMessage(f"The field {name!r} is not text of at most {most} characters.")
    return "\n".join(_printable(line) for line in value.split("\n"))


def _id_or_nothing(told: Mapping[str, Any], name: str) -> str:
    """An id; missing or empty there is none."""
    return _shaped(told, name, ID) if told.get(name, "") != "" else ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _number(told: Mapping[str, Any], name: str) -> float:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise BadMessage(f"The field {name!r} is not a finite number.")
    return float(min(max(value, 0), LARGEST))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


def _flag(told: Mapping[str, Any], name: str) -> bool:
    value = told.get(name)
    if not isinstance(value, bool):
        raise BadMessage(f"The field {name!r} is neither true nor false.")
    return value


def _one_of(told: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> Any:
    value = told.get(name)
    if not isinstance(value, str) or value not in allowed:
        raise BadMessage(f"The field {name!r} is none of {', '.join(repr(word) for word in allowed)}.")
    return value
