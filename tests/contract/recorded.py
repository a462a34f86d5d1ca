"""The real services' answers and states on disk, made comparable, and held against what a cloud shows.

What differs from cloud to cloud and from run to run is a placeholder: ids, times, addresses, the services' roots, and
the names in `Cloud.words`. The rules:

* An **error** is the recorded one to the letter: status, body, significant headers.
* A **success** is the recorded one member by member, values included; members named in `loose` keep their types only,
  and of lists below them the first element counts.
* A **sequence of states** shows nothing that is not recorded, keeps to the recorded order, and ends as recorded. Where
  it is complete, as devcloud's is, nothing is left out but what is marked rare: what real services pass through so
  quickly that not every recording shows it. Where it was polled, anything but the end may have been missed.

The files of states hold what several recordings showed; where polls are too slow for a task of some milliseconds, its
place is that of Nova's sources (nova/compute/task_states.py, compute/manager.py), and it is marked rare.

Both clouds are held to the same files. `--record` writes them from the real services.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from tests.contract.client import Seen
from tests.contract.clouds import DEVCLOUD, Cloud, Shown

ANSWERS = Path(__file__).parent / "answers"

_HEADERS = (
    "Content-Type",
    "Location",
    "OpenStack-API-Version",
    "Retry-After",
    "Vary",
    "WWW-Authenticate",
    "X-Compute-Request-Id",
    "X-OpenStack-Manila-API-Version",
    "X-OpenStack-Nova-API-Version",
    "X-OpenStack-Request-Id",
)
# What varies in a text: its shape, what stands for it, and an example to read it by. First match wins.
_VARYING: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(shape), placeholder, example)
    for shape, placeholder, example in (
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "<id>",
            "c5fc5389-eb32-427e-8e44-7300f20da191",
        ),
        (r"\b[0-9a-f]{56}\b", "<host>", "d1a8e7a4" * 7),
        (r"\b[0-9a-f]{32}\b", "<hex>", "4bccd4d376dc4e908fcd7417add45d47"),
        (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>", "fa:16:3e:11:22:33"),
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", "<time>.<micro>", "2026-11-22T16:44:37.000000"),
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "<time>", "2026-11-22T16:44:37"),
        (r"\b\d{1,3}(\.\d{1,3}){3}\b", "<address>", "10.77.0.12"),
    )
)
_NUMBER = re.compile(r"\d+")
# Nova names what it would have taken in the order of a set, which differs from process to process.
_CHOICE = re.compile(r"(is not one of )\[([^\]]*)\]")
_REPEATED = re.compile(r"(\w{1,4}?)\1{60,}")
_EXAMPLES = {
    "<bigger flavor>": "m3.small",
    "<flavor>": "m3.tiny",
    "<image>": "js2-minimal",
    "<network>": "js2-net",
    "<nowhere flavor>": "m3.huge",
    "<number>": "7",
    **{placeholder: example for _, placeholder, example in _VARYING},
}
_PLACEHOLDER = re.compile("|".join(sorted(map(re.escape, _EXAMPLES), key=len, reverse=True)))


@dataclass(frozen=True, slots=True)
class Normal:
    """Makes texts of one cloud comparable with those of another."""

    roots: Mapping[str, str]
    words: Mapping[str, str]

    def text(self, text: str, *, numbers: bool = False) -> str:
        for service, root in sorted(self.roots.items(), key=lambda item: -len(item[1])):
            text = re.sub(rf"{re.escape(root)}(?![\w.])", f"<{service}>", text)
        for shape, placeholder, _ in _VARYING:
            text = shape.sub(placeholder, text)
        text = _REPEATED.sub(r"<\1 repeated>", text)
        text = _CHOICE.sub(lambda found: f"{found[1]}[{', '.join(sorted(found[2].split(', ')))}]", text)
        for placeholder, word in self.words.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", placeholder, text)
        return _NUMBER.sub("<number>", text) if numbers else text

    def value(self, value: Any, *, numbers: bool = False) -> Any:
        """A JSON value with every text in it made comparable, names of members too."""
        match value:
            case str():
                return self.text(value, numbers=numbers)
            case dict():
                return {self.text(key): self.value(inner, numbers=numbers) for key, inner in value.items()}
            case list():
                return [self.value(inner, numbers=numbers) for inner in value]
        return value

    def answer(self, seen: Seen, *, numbers: bool = False) -> dict[str, Any]:
        given = {name.lower(): value for name, value in seen.headers.items()}
        headers = {name: self.text(given[name.lower()]) for name in _HEADERS if name.lower() in given}
        body = self.value(seen.body, numbers=numbers)
        return {"service": seen.service, "status": seen.status, "headers": headers, "body": body}


@dataclass(slots=True)
class Book:
    """What is recorded. `recording` writes instead of comparing; `used` are the names that tests asked for."""

    cloud: Cloud
    recording: bool = False
    folder: Path = ANSWERS
    used: set[str] = field(default_factory=set)

    def answer(self, name: str, seen: Seen, *, numbers: bool = False, loose: Collection[str] = ()) -> None:
        """The answer is the recorded one.

        Args:
            numbers: numbers in texts may differ, as in what a quota says.
            loose: members whose values may differ; they keep their types.
        """
        normal = Normal(self.cloud.member.roots, self.cloud.words).answer(seen, numbers=numbers)
        if self.recording:
            self._write(name, json.dumps(normal, indent=1))
            return
        expected = self._read(name)
        assert normal["status"] == expected["status"], f"{name}: {normal}"
        assert normal["headers"] == expected["headers"], name
        if expected["status"] >= 400:
            assert normal["body"] == expected["body"], name
        else:
            problems = list(differences(expected["body"], normal["body"], loose=frozenset(loose)))
            assert not problems, f"{name}: {'; '.join(problems)}"

    def states(self, name: str, seen: Sequence[Shown]) -> None:
        """The server went through the recorded states."""
        name = f"states-{name}"
        if self.recording:
            known = json.loads(self._file(name).read_text()) if self._file(name).exists() else []
            lines = ",\n ".join(json.dumps(state) for state in merged(known, seen))
            self._write(name, f"[\n {lines}\n]")
            return
        states = [shown.state for shown in seen]
        problems = deviations(self._read(name), states, complete=self.cloud.name == DEVCLOUD)
        assert not problems, f"{name}: {'; '.join(problems)} in {states}"

    def unused(self) -> set[str]:
        """Recordings that no test of this run asked for."""
        return {path.stem for path in self.folder.glob("*.json")} - self.used

    def _read(self, name: str) -> Any:
        self.used.add(name)
        assert self._file(name).exists(), f"{name} was never recorded: --record on the real services writes it"
        return json.loads(self._file(name).read_text())

    def _write(self, name: str, text: str) -> None:
        assert name not in self.used, f"{name} is recorded twice"
        self.used.add(name)
        self._file(name).write_text(f"{text}\n")

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def differences(
    recorded: Any, seen: Any, *, loose: frozenset[str], where: str = "", free: bool = False
) -> Iterable[str]:
    """Where a success is not the recorded one. Below a `free` member only types are held against each other."""
    if isinstance(recorded, dict) and isinstance(seen, dict):
        if not free and recorded.keys() != seen.keys():
            yield f"{where or 'body'} has {sorted(seen)} and not {sorted(recorded)}"
        for key in recorded.keys() & seen.keys():
            inside = f"{where}.{key}".removeprefix(".")
            yield from differences(recorded[key], seen[key], loose=loose, where=inside, free=free or key in loose)
    elif isinstance(recorded, list) and isinstance(seen, list):
        if not free and len(recorded) != len(seen):
            yield f"{where} has {len(seen)} elements and not {len(recorded)}"
        pairs = list(zip(recorded, seen, strict=False))
        for number, (one, other) in enumerate(pairs[:1] if free else pairs):
            # Of a loose list the elements are alike in their members, whatever these say.
            if free and isinstance(one, dict) and isinstance(other, dict) and one.keys() != other.keys():
                yield f"{where}[{number}] has {sorted(other)} and not {sorted(one)}"
            yield from differences(one, other, loose=loose, where=f"{where}[{number}]", free=free)
    elif type(recorded) is not type(seen) or not (free or recorded == seen):
        yield f"{where} is {seen!r} and not {recorded!r}"


def deviations(recorded: Sequence[Mapping[str, Any]], seen: Sequence[str], *, complete: bool) -> list[str]:
    """What is wrong with a sequence of states: one that is not recorded at that place, one left out, another end."""
    problems, place = [], 0
    needed = [state for state in recorded if complete and not state["rare"]]
    for state in seen:
        following = [number for number in range(place, len(recorded)) if recorded[number]["state"] == state]
        if not following:
            problems.append(f"{state} is not recorded there")
            continue
        place = following[0] + 1
    problems += [f"{state['state']} is left out" for state in needed if state["state"] not in seen]
    if seen[-1] != recorded[-1]["state"]:
        problems.append(f"it ends with {seen[-1]} and not with {recorded[-1]['state']}")
    return problems


def merged(recorded: Sequence[Mapping[str, Any]], seen: Sequence[Shown]) -> list[dict[str, Any]]:
    """A recording with one more run in it: what was brief, or not shown by every run, is rare.

    Where two runs showed different states, either may come first; a run that shows both tells.
    """
    fresh = [{"state": state, "rare": brief} for state, brief in seen]
    if not recorded:
        return fresh
    names = [new["state"] for new in fresh]
    matcher = SequenceMatcher(None, [old["state"] for old in recorded], names, autojunk=False)
    result: list[dict[str, Any]] = []
    for what, start, end, seen_start, seen_end in matcher.get_opcodes():
        if what == "equal":
            pairs = zip(recorded[start:end], fresh[seen_start:seen_end], strict=True)
            result += [{**old, "rare": old["rare"] or new["rare"]} for old, new in pairs]
        else:
            missed = (old for old in recorded[start:end] if old["state"] not in names)
            result += [{**state, "rare": True} for state in (*missed, *fresh[seen_start:seen_end])]
    return result


def example(name: str) -> dict[str, Any]:
    """A recorded answer to read as if it had come just now: placeholders are filled with what they may stand for."""
    recorded: dict[str, Any] = json.loads((ANSWERS / f"{name}.json").read_text())
    text = _PLACEHOLDER.sub(lambda match: _EXAMPLES[match[0]], json.dumps(recorded))
    text = re.sub(r"<(\w+) repeated>", lambda match: match[1] * 100, text)
    filled: dict[str, Any] = json.loads(re.sub(r"<(\w+)>", r"http://127.0.0.1:5000/\1", text))
    return filled
