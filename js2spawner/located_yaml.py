"""YAML files that people edit: every mistake is one line with the file, the line, what is wrong and what to do.

Booleans are `true` and `false` only (as in YAML 1.2), so that `gpu: no` is the word "no" and not False.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

YamlPath = tuple[str | int, ...]
# Where something is wrong, and the sentence that says what and what to do.
Mistake = tuple[YamlPath, str]

_LARGEST_BYTES = 1_000_000


class FileError(ValueError):
    """A file cannot be used. `mistakes` are whole sentences, each beginning with file and line."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Located:
    """A file's content and where each part of it stands."""

    file: Path
    data: Any
    lines: Mapping[YamlPath, int]

    def told(self, mistakes: Iterable[Mistake]) -> list[str]:
        """Each mistake as one line with its place before it, in the file's order."""
        placed = sorted(((self._line(path), sentence) for path, sentence in mistakes), key=lambda one: one[0])
        return [f"{self.file}:{line}: {sentence}" for line, sentence in placed]

    def _line(self, path: YamlPath) -> int:
        """A path that is not in the file stands where its parent does."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 but for its words for booleans; resolvers are copied so that other users of PyYAML keep theirs."""

    yaml_implicit_resolvers = {  # noqa: RUF012  PyYAML's own shape of this class attribute
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or letter in "tTfF"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read(file: Path) -> Located:
    """Read a YAML file with the line of every key and item.

    Raises FileError when it is missing, unreadable, not YAML, or names a key twice (PyYAML would silently keep the
    last).
    """
    text = _text(file)
    try:
        return _located(file, _Loader(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = mark.line + 1 if mark else 1
        raise FileError([f"{file}:{place}: this is not valid YAML: {error.problem or error.context}."]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise FileError([f"{file}:{line}: this is not valid YAML: {error.reason}."]) from error
    except RecursionError as error:
        raise FileError([f"{file}:1: the file is nested too deeply."]) from error


def _located(file: Path, loader: _Loader) -> Located:
    root = loader.get_single_node()
    if root is None:
        return Located(file, {}, {(): 1})
    lines: dict[YamlPath, int] = {(): root.start_mark.line + 1}
    if doubled := list(_walk(root, (), lines, ())):
        raise FileError([f"{file}:{line}: {sentence}" for line, sentence in doubled])
    return Located(file, loader.construct_document(root), lines)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise FileError([f"{file}:1: the file is larger than {_LARGEST_BYTES} bytes, which cannot be meant."])
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError([f"{file}: cannot be read: {error.strerror}."]) from error
    except UnicodeDecodeError as error:
        raise FileError([f"{file}:1: the file is not UTF-8 text."]) from error


def _walk(
    node: yaml.Node, path: YamlPath, lines: dict[YamlPath, int], above: tuple[yaml.Node, ...]
) -> Iterator[tuple[int, str]]:
    """Note the line of everything below `node`; yields keys that stand twice and anchors that contain themselves."""
    if node in above:
        yield node.start_mark.line + 1, "this part refers to itself; write it out."
        return
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                yield line, f"“{name}” stands here twice; keep one."
            seen.add(name)
            lines[*path, name] = line
            yield from _walk(value, (*path, name), lines, above)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[*path, position] = item.start_mark.line + 1
            yield from _walk(item, (*path, position), lines, above)


def explain(error: ValidationError, model: type[BaseModel], thing: str, path: YamlPath = ()) -> Iterator[Mistake]:
    """What pydantic found in the model that stands at `path`. `thing` names it for the reader: 'image "gpu"'."""
    for found in error.errors(include_url=False):
        below = tuple(part for part in found["loc"] if part != "[key]")
        yield (*path, *below), _sentence(found["type"], found, below, model, thing)


def _sentence(kind: str, found: Mapping[str, Any], path: YamlPath, model: type[BaseModel], thing: str) -> str:
    setting = ".".join(str(part) for part in path)
    value = shown(found["input"])
    context = found.get("ctx", {})
    if not path:
        return f"{thing} must be settings (name: value), not {value}."
    match kind:
        case "missing":
            return f"{thing} lacks “{setting}”; add it."
        case "extra_forbidden":
            return f"{thing} has no setting “{setting}”; {_alternative(str(path[-1]), _model_at(model, path))}"
        case "literal_error":
            return f"“{setting}” of {thing} must be {context['expected']}, not {value}."
        case "bool_type":
            return f"“{setting}” of {thing} is {value}; it must be true or false."
        case "string_type":
            return f"“{setting}” of {thing} is {value}; it must be text: put it in quotes."
        case "tuple_type":
            return f"“{setting}” of {thing} is {value}; it must be a list: [one, another]."
        case "too_short":
            return f"“{setting}” of {thing} is empty; add an entry."
        case "string_pattern_mismatch":
            return f"“{setting}” of {thing} is {value}; {_spelling(str(context['pattern']))}."
    return f"“{setting}” of {thing} is {value}; {_demand(found['msg'])}."


def _spelling(pattern: str) -> str:
    """What a text must look like, for a person who does not read patterns."""
    if pattern.startswith("^https://"):
        return "it must be an address that begins with https://"
    if "/" in pattern:
        return "use letters, digits, dots, dashes and underscores, with a slash between two names and none before them"
    return "use letters, digits, dots, dashes and underscores only"


def _demand(message: str) -> str:
    """Pydantic's "Input should be …", "String should have …" as the second half of a sentence."""
    return re.sub(r"^\w+ should", "it must", message)


def _alternative(name: str, model: type[BaseModel] | None) -> str:
    known = [field for field in model.model_fields if field != "name"] if model else []
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean “{close[0]}”?"
    return f"known are {', '.join(known)}." if known else "remove it."


def _model_at(model: type[BaseModel], path: YamlPath) -> type[BaseModel] | None:
    """The model that holds the last part of `path`: a nested one for "gpu.kind"."""
    for part in path[:-1]:
        field = model.model_fields.get(str(part))
        if field is None:
            # The name of an entry in a mapping of models.
            continue
        annotation = field.annotation
        nested = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        inner = next((kind for kind in nested if issubclass(kind, BaseModel)), None)
        if inner is None:
            return None
        model = inner
    return model


def shown(value: object) -> str:
    """A value from outside, short and on one line."""
    match value:
        case str():
            short = value if len(value) <= 60 else value[:59] + "…"
            return f"“{''.join(character if character.isprintable() else '?' for character in short)}”"
        case None | bool() | int() | float():
            return json.dumps(value)
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
    return f"a {type(value).__name__}"
