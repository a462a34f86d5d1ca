from __future__ import annotations

import pytest

from js2spawner.devcloud.faults import Effect, Faults, Match, Rule, Subject, When

CREATE = Subject("compute", "compute.servers.create", "POST", "/compute/v2.1/servers", "js2-alice")


def strikes(when: When, calls: int = 10, seed: int = 1) -> list[int]:
    faults = Faults(seed)
    faults.add([Rule("rule", Match(), when, Effect(status=500))])
    return [number for number in range(1, calls + 1) if faults.strike(CREATE)]


def test_without_conditions_every_call_is_struck() -> None:
    assert strikes(When(), 3) == [1, 2, 3]


def test_skip_and_count_choose_a_stretch_of_calls() -> None:
    assert strikes(When(skip=2, count=3)) == [3, 4, 5]


def test_the_same_seed_strikes_the_same_calls() -> None:
    by_chance = When(probability=0.5)
    assert strikes(by_chance, 100) == strikes(by_chance, 100)
    assert strikes(by_chance, 100) != strikes(by_chance, 100, seed=2)


def test_count_is_of_strikes_and_not_of_matches() -> None:
    assert len(strikes(When(count=3, probability=0.5), 100)) == 3


def test_a_rules_chance_does_not_depend_on_other_rules() -> None:
    rule = Rule("chance", Match(), When(probability=0.5), Effect(status=500))
    other = Rule("other", Match(), When(probability=0.5), Effect(delay_s=1))
    alone, together = Faults(1), Faults(1)
    alone.add([rule])
    together.add([other, rule])
    for _ in range(50):
        assert (rule.effect in alone.strike(CREATE)) == (rule.effect in together.strike(CREATE))


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (Match(operation="compute.servers.*"), True),
        (Match(operation="compute.flavors.*"), False),
        (Match(service="compute", method="POST", path="*/servers"), True),
        (Match(method="GET"), False),
        (Match(server="js2-*"), True),
        (Match(server="other"), False),
    ],
)
def test_every_given_pattern_has_to_fit(match: Match, fits: bool) -> None:
    faults = Faults(1)
    faults.add([Rule("rule", match, When(), Effect(status=500))])
    assert bool(faults.strike(CREATE)) is fits


def test_a_rule_of_the_same_name_takes_the_others_place() -> None:
    faults = Faults(1)
    faults.add([Rule("rule", Match(), When(count=1), Effect(status=500))])
    faults.strike(CREATE)
    faults.add([Rule("rule", Match(), When(count=1), Effect(status=503))])
    assert [effect.status for effect in faults.strike(CREATE)] == [503]
