"""What one person may have at once."""

from __future__ import annotations

import pytest

from js2spawner.catalog_entries import FlavorEntry, Gpu, Limit
from js2spawner.cloud.records import Flavor
from js2spawner.limits import Use, most_for, over, sentence, together, use_of

SMALL = FlavorEntry(name="m3.small", title="Small", vcpus=2, memory_gb=6, disk_gb=20, su_per_hour=2)
TWO_CARDS = SMALL.model_copy(update={"su_per_hour": 128, "gpu": Gpu(kind="A100", memory_gb=40, cards=2)})
LIMITS = [
    Limit(name="everyone", servers=2, gpus=1, su_per_hour=64),
    Limit(name="teachers", servers=10, su_per_hour=256),
    Limit(name="course", together=20),
]


def test_who_is_in_several_groups_has_the_best_of_what_they_say() -> None:
    assert most_for(LIMITS, frozenset({"teachers"})) == Use(10, 1, 256)
    assert most_for(LIMITS, frozenset()) == Use(2, 1, 64)


def test_without_a_limit_nothing_is_over_it() -> None:
    assert over(use_of([(TWO_CARDS, None)] * 50), Use(100, 100, 10_000), most_for([], frozenset())) is None


@pytest.mark.parametrize(
    ("flavor", "used", "limit", "words"),
    [
        (SMALL, Use(2, 0, 4), "servers", "You may have 2 servers at once, and you have 2."),
        (TWO_CARDS, Use(1, 0, 2), "gpus", "You may use 1 GPU at once, and your servers use 0."),
        (SMALL, Use(1, 1, 63), "su_per_hour", "64 SU an hour together, and cost 63 SU without this one."),
    ],
)
def test_what_is_over_is_said_with_its_figures(flavor: FlavorEntry, used: Use, limit: str, words: str) -> None:
    most = most_for(LIMITS, frozenset())
    broken = over(use_of([(flavor, None)]), used, most)
    assert broken == limit
    assert words in sentence(broken, used, most)


def test_a_server_whose_flavor_has_left_the_catalog_still_counts_as_one() -> None:
    assert use_of([(None, None), (TWO_CARDS, None)]) == Use(2, 2, 128)


def test_a_gpu_that_only_the_cloud_knows_of_counts_and_one_that_both_know_counts_once() -> None:
    def seen(**extra_specs: str) -> Flavor:
        return Flavor("f", "m3.small", 2, 6144, 20, extra_specs)

    passed_through = seen(**{"pci_passthrough:alias": "a100:2, other"})
    assert use_of([(SMALL, passed_through), (SMALL, seen(**{"resources:VGPU": "1"}))]) == Use(2, 4, 4)
    assert use_of([(TWO_CARDS, seen(**{"resources:PGPU": "1"})), (SMALL, seen())]) == Use(2, 2, 130)


def test_a_group_s_limit_together_binds_its_members_alone() -> None:
    assert [limit.name for limit in together(LIMITS, frozenset({"course"}))] == ["course"]
    assert together(LIMITS, frozenset({"teachers"})) == ()
