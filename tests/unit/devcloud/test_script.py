from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from js2spawner.devcloud.faults import When
from js2spawner.devcloud.latency import Latencies
from js2spawner.devcloud.script import LatenciesText, RuleText, Script, ScriptError, parse, read_script


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"fauls": []}, "s: fauls: Extra inputs are not permitted"),
        ({"faults": [{"effect": {"status": 500}}]}, "s: faults.0.name: Field required"),
        ({"faults": [{"name": "a", "effect": {"stuck": "lunch"}}]}, "s: faults.0.effect.stuck: String should match"),
        ({"faults": [{"name": "a", "effect": {"delay_s": -1}}]}, "s: faults.0.effect.delay_s: Input should be"),
        (
            {"faults": [{"name": "a", "effect": {"status": 500}, "when": {"nth": 2, "count": 1}}]},
            "s: faults.0.when: `nth` is one single call",
        ),
        ([], "s: top level: Input should be a valid dictionary"),
    ],
)
def test_a_mistake_says_where_it_is(content: Any, sentence: str) -> None:
    with pytest.raises(ScriptError) as problem:
        parse(Script, content, where="s")
    assert str(problem.value).startswith(sentence)


def test_every_mistake_has_a_line() -> None:
    with pytest.raises(ScriptError) as problem:
        parse(Script, {"seed": "x", "capacity": {"m3.tiny": -1}}, where="s")
    assert len(str(problem.value).splitlines()) == 2


def test_nth_is_one_call() -> None:
    rule = parse(RuleText, {"name": "a", "when": {"nth": 3}, "effect": {"status": 500}}, where="s").made()
    assert rule.when == When(skip=2, count=1)


def test_a_body_that_is_not_text_goes_out_as_json() -> None:
    rule = parse(RuleText, {"name": "a", "effect": {"status": 500, "body": {"a": None}}}, where="s").made()
    assert rule.effect.body == '{"a": null}'


def test_latencies_lie_on_top_of_the_defaults() -> None:
    text = parse(LatenciesText, {"phases": {"spawning": 9}, "calls": {"compute.servers.list": 2}}, where="s")
    made = text.over(Latencies())
    assert made.phases["spawning"] == 9
    assert made.phases["networking"] == Latencies().phases["networking"]
    assert made.calls["default"] == Latencies().calls["default"]


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="cannot be read"):
        read_script(tmp_path / "none.yaml")


def test_a_file_that_is_not_yaml_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("faults: [")
    with pytest.raises(ScriptError, match="is not YAML"):
        read_script(file)
