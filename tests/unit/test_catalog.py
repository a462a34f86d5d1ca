"""The catalog: what a right one says, and what is said about a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from js2spawner.catalog import Catalog, CatalogError

PROJECT = Path(__file__).resolve().parents[2]
RIGHT = """\
regions:
  here: {cloud: devcloud}
  there: {cloud: other, region: TWO}
profiles:
  plain: {sudo: true, idle_minutes: 30}
images:
  minimal:
    title: Minimal
    description: Little.
    image: js2-minimal
    profile: plain
  gpu:
    title: GPU
    description: Much.
    image: js2-gpu
    gpu: required
    region: there
    profile: plain
flavors:
  small: {title: Small, vcpus: 2, memory_gb: 6, disk_gb: 20, su_per_hour: 2}
  large: {title: Large, vcpus: 16, memory_gb: 60, disk_gb: 60, su_per_hour: 16}
  slice: {title: Slice, vcpus: 8, memory_gb: 30, disk_gb: 60, su_per_hour: 16, gpu: {kind: A100, memory_gb: 10}}
defaults: {image: minimal, flavor: small}
"""

Load = Callable[[str], Catalog]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str) -> Catalog:
        file = tmp_path / "catalog.yaml"
        file.write_text(text)
        return Catalog.load(file)

    return write_and_load


def mistakes(load: Load, text: str) -> list[str]:
    """What is said about the file, without the directory it is in."""
    with pytest.raises(CatalogError) as caught:
        load(text)
    return [mistake.rpartition("catalog.yaml:")[2] for mistake in caught.value.mistakes]


def changed(old: str, new: str) -> str:
    assert old in RIGHT
    return RIGHT.replace(old, new)


@pytest.mark.parametrize("name", ["catalog.yaml", "catalog.demo.yaml"])
def test_the_catalogs_of_this_project_are_right(name: str):
    Catalog.load(PROJECT / "hub_config" / name)


def test_entries_stand_in_the_order_of_the_file(load: Load):
    catalog = load(RIGHT)
    assert [flavor.name for flavor in catalog.flavors] == ["small", "large", "slice"]
    assert catalog.home_region.name == "here"


def test_names_lead_to_entries(load: Load):
    catalog = load(RIGHT)
    gpu = catalog.image("gpu")
    assert gpu is not None
    assert catalog.profile_of(gpu).idle_minutes == 30
    assert catalog.region_of(gpu).name == "there"
    assert catalog.region_of(catalog.default_image).name == "here"
    assert catalog.image("nothing") is None
    assert catalog.default_flavor.name == "small"


def test_a_gpu_is_neither_wasted_nor_missed(load: Load):
    catalog = load(RIGHT)
    offered = {image.name: [flavor.name for flavor in catalog.flavors_for(image)] for image in catalog.images}
    assert offered == {"minimal": ["small", "large"], "gpu": ["slice"]}


def test_an_image_that_can_use_a_gpu_runs_with_and_without(load: Load):
    catalog = load(changed("gpu: required", "gpu: possible"))
    assert len(catalog.flavors_for(catalog.images[1])) == 3


def test_no_flavor_below_the_smallest_is_offered(load: Load):
    catalog = load(
        changed("    image: js2-minimal", "    image: js2-minimal\n    smallest: large").replace(
            "r: small}", "r: large}"
        )
    )
    assert [flavor.name for flavor in catalog.flavors_for(catalog.images[0])] == ["large"]


def test_an_image_comes_from_the_library_or_is_pinned_to_its_data(load: Load):
    text = RIGHT.replace("image: js2-minimal", "library: minimal").replace(
        "image: js2-gpu", f"image: js2-gpu\n    sha512: {'a' * 128}"
    )
    minimal, gpu = load(text).images
    assert (minimal.library, minimal.image) == ("minimal", None)
    assert (gpu.library, gpu.image, gpu.sha512) == (None, "js2-gpu", "a" * 128)


def test_the_word_no_is_a_word(load: Load):
    assert load(changed("gpu: required", "gpu: no")).images[1].gpu == "no"


def test_the_policy_is_the_profile_s_in_seconds(load: Load):
    policy = load(RIGHT).policy_for("minimal")
    assert (policy.idle_s, policy.longest_s, policy.warn_s) == (1800, 86400, 600)


def test_a_running_server_whose_image_left_the_catalog_still_has_a_policy(load: Load):
    assert load(RIGHT).policy_for("removed").idle_s == 1800


def test_one_number_can_replace_every_idle_time(tmp_path: Path):
    file = tmp_path / "catalog.yaml"
    file.write_text(RIGHT)
    policy = Catalog.load(file, idle_minutes=2).policy_for("gpu")
    assert (policy.idle_s, policy.warn_s) == (120, 60)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("idle_minutes: 30", "idle_minutes: -5", "5: “idle_minutes” of profile “plain” is -5; it must be greater"),
        (
            "idle_minutes: 30",
            "idle_minutes: 5, warn_minutes: 5",
            "5: “warn_minutes” of profile “plain” must be less than its “idle_minutes”.",
        ),
        ("sudo: true, idle", "sudoo: true, idle", "5: profile “plain” has no setting “sudoo”; did you mean “sudo”?"),
        ("sudo: true", "sudo: yes", "5: “sudo” of profile “plain” is “yes”; it must be true or false."),
        ("    title: Minimal\n", "", "7: image “minimal” lacks “title”; add it."),
        ("title: Minimal", "title: 5", "8: “title” of image “minimal” is 5; it must be text: put it in quotes."),
        ("image: js2-minimal", "name: x", "10: image “minimal” has its name before the colon already; remove “name”."),
        ("gpu: required", "gpu: maybe", "16: “gpu” of image “gpu” must be 'required', 'possible' or 'no', not"),
        ("region: there", "region: nowhere", "17: there is no region “nowhere” under “regions”; known are"),
        ("kind: A100", "kinds: A100", "22: flavor “slice” lacks “gpu.kind”; add it."),
        ("kind: A100", "kind: A100, kidn: B", "22: flavor “slice” has no setting “gpu.kidn”; did you mean “kind”?"),
        ("flavor: small", "flavor: smal", "23: there is no flavor “smal” under “flavors”; known are"),
        (
            "flavor: small",
            "flavor: slice",
            "23: the default flavor does not fit the default image: Minimal cannot use the GPU of Slice.",
        ),
        (
            "region: there",
            "flavors: [slice, small]",
            "17: GPU needs a GPU, and Small has none. Remove it from this list.",
        ),
        ("defaults:", "defalts:", "1: the section “defaults” is missing; add it with an image and a flavor."),
        ("    image: js2-minimal\n", "", "7: image “minimal” lacks “library” (an image of the library) or “image”"),
        ("image: js2-gpu", "image: js2-gpu\n    library: gpu", "16: image “gpu” has both “library” and “image”; keep"),
        ("image: js2-gpu", "library: gpu\n    sha512: ab", "16: image “gpu” comes from the library, whose signature"),
        ("image: js2-gpu", "image: a\n    sha512: ab", "16: “sha512” of image “gpu” must be 128 hexadecimal digits"),
        ("  minimal:\n", "  mini mal:\n", "7: “name” of image “mini mal” is"),
        ("  large:", "  small:", "21: “small” stands here twice; keep one."),
        ("defaults: {image", "defaults: {{image", "24: this is not valid YAML: "),
        ("{cloud: devcloud}", "7", "2: region “here” must be settings (name: value), not 7."),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_do(load: Load, old: str, new: str, expected: str):
    told = mistakes(load, changed(old, new))
    assert any(mistake.startswith(expected) for mistake in told), told


@pytest.mark.parametrize(
    ("home", "expected"),
    [
        (
            "kind: volume, size_gb: 200",
            "“home.most_gb” of profile “plain” is 100, less than its “size_gb”; add “mos",
        ),
        (
            "kind: volume, size_gb: 9, most_gb: 5",
            "“home.most_gb” of profile “plain” is 5, less than its “size_gb”; r",
        ),
        (
            "size_gb: 5, seed: {git: 'https://a.org/b'}",
            "profile “plain” has no homes, so “seed”, “size_gb” of its “",
        ),
        ("kind: volume, seed: {}", "“home.seed” of profile “plain” lacks “git” (a repository) or “archive”"),
        (
            "kind: volume, seed: {git: 'https://a.org/b', archive: 'https://a.org/c'}",
            "“home.seed” of profile “plain” has both “git” and “archive”; keep one.",
        ),
        (
            "kind: volume, seed: {archive: 'https://a.org/c', branch: main}",
            "“home.seed” of profile “plain” is an archive, which has no branch; remove it.",
        ),
        (
            "kind: volume, seed: {git: 'git@a.org:b'}",
            "“home.seed.git” of profile “plain” is “git@a.org:b”; it must be ",
        ),
        (
            "kind: volume, seed: {git: 'https://a.org/b', into: ../etc}",
            "“home.seed.into” of profile “plain” is “../etc”; use letters, digits, dots, dashes and underscores, with ",
        ),
        ("kind: disk", "“home.kind” of profile “plain” must be 'volume', 'share' or 'none', not “disk”."),
        ("kind: volume, sise_gb: 5", "profile “plain” has no setting “home.sise_gb”; did you mean “size_gb”?"),
    ],
)
def test_a_home_that_cannot_be_meant_is_told(load: Load, home: str, expected: str):
    told = mistakes(load, changed("idle_minutes: 30", f"idle_minutes: 30, home: {{{home}}}"))
    assert any(mistake.startswith(f"5: {expected}") for mistake in told), told


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("regions: [here, nowhere]", "there is no region “nowhere” under “regions”; known are here, there."),
        ("regions: [here, here]", "region “here” stands here twice; keep one."),
        ("next_flavors: [tiny]", "there is no flavor “tiny” under “flavors”; known are small, large, slice."),
        ("data: [climate]", "there is no section “data” with a class data “climate”; add it."),
        ("idle: [shelve, shelve]", "“shelve” stands twice in “idle” of profile “plain”; keep one."),
        ("idle: [suspend]", "“idle.0” of profile “plain” must be 'delete', 'shelve' or 'keep', not “suspend”."),
        ("idle: []", "“idle” of profile “plain” is empty; add an entry."),
        ("shelved_days: 3", "profile “plain” shelves nothing: add “shelve” to its “idle”, or remove “shelved_days”."),
    ],
)
def test_terms_that_name_nothing_or_have_no_effect_are_told(load: Load, terms: str, expected: str):
    told = mistakes(load, changed("idle_minutes: 30", f"idle_minutes: 30, {terms}"))
    assert f"5: {expected}" in told


def test_a_flavor_that_no_image_of_the_profile_runs_on_is_not_tried_next(load: Load):
    of_gpu = RIGHT.replace("  plain: {", "  gpus: {next_flavors: [slice, large]}\n  plain: {").replace(
        "    region: there\n    profile: plain", "    region: there\n    profile: gpus"
    )
    assert mistakes(load, of_gpu) == [
        "5: no image of profile “gpus” runs on “large”; remove it from its “next_flavors”."
    ]


CLIMATE = "data:\n  climate: {region: there, share: a1}\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("share: a1", "share: a1, snapshot: b2", "2: class data “climate” have both “share” and “snapshot”; keep one."),
        (", share: a1", "", "2: class data “climate” lack “share” or “snapshot”; add the id of one."),
        ("region: there", "region: x", "2: there is no region “x” under “regions”; known are here, there."),
    ],
)
def test_class_data_are_one_thing_in_one_region(load: Load, old: str, new: str, expected: str):
    assert mistakes(load, CLIMATE.replace(old, new) + RIGHT) == [expected]


def test_class_data_of_a_region_where_nobody_of_the_profile_is_are_told(load: Load):
    with_data = RIGHT.replace("idle_minutes: 30", "idle_minutes: 30, data: [climate]")
    elsewhere = with_data.replace("    region: there\n", "")
    assert mistakes(load, CLIMATE + elsewhere) == [
        "7: class data “climate” are in region “there”, where profile “plain” starts nothing; remove it."
    ]
    assert load(CLIMATE + with_data).data[0].share == "a1"


def test_two_regions_that_are_one_are_told_since_each_would_count_the_other_s_instances(load: Load):
    twice = changed("there: {cloud: other, region: TWO}", "there: {cloud: devcloud}")
    assert mistakes(load, twice) == ["3: region “there” is the same as “here”; give “region” or another “cloud”."]


def test_a_gpu_is_a_share_of_a_card_or_several_cards(load: Load):
    both = changed("memory_gb: 10}", "memory_gb: 10, share: 0.25, cards: 2}")
    assert mistakes(load, both) == ["22: “gpu” of flavor “slice” is a share of one card and also several; keep one."]


def test_sections_of_limits_and_data_may_be_missing_and_limits_stand_by_group(load: Load):
    assert load(RIGHT).limits == ()
    limits = "limits:\n  everyone: {servers: 3, gpus: 1}\n  class: {together: 24}\n"
    assert [(limit.name, limit.servers, limit.together) for limit in load(limits + RIGHT).limits] == [
        ("everyone", 3, None),
        ("class", None, 24),
    ]
    assert mistakes(load, "limits: {}\n" + RIGHT) == ["1: “limits” must list at least one limit, each under its name."]


def test_a_profile_says_where_its_servers_may_be_unless_the_image_does(load: Load):
    catalog = load(changed("idle_minutes: 30", "idle_minutes: 30, regions: [there, here]"))
    minimal, gpu = catalog.images
    assert [region.name for region in catalog.regions_of(minimal)] == ["there", "here"]
    assert [region.name for region in catalog.regions_of(gpu)] == ["there"]
    assert [region.name for region in catalog.regions_of_profile(catalog.profiles[0])] == ["there", "here"]


def test_all_mistakes_of_a_file_are_told_at_once_in_its_order(load: Load):
    told = mistakes(
        load,
        changed("idle_minutes: 30", "idle_minutes: 0")
        .replace("region: there", "region: x")
        .replace("vcpus: 16", "vcpus: no"),
    )
    assert [mistake.split(":")[0] for mistake in told] == ["5", "17", "21"]


@pytest.mark.parametrize(
    "text", ["", "[]", "just words", "regions: []", "&a [*a]", "a: &x {b: *x}", "? [1]\n: 2", "\x00"]
)
def test_whatever_the_file_holds_the_answer_is_a_sentence(load: Load, text: str):
    assert mistakes(load, text)


def test_a_file_that_is_missing_or_no_text_is_told(tmp_path: Path):
    with pytest.raises(CatalogError, match="cannot be read: No such file"):
        Catalog.load(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CatalogError, match="not UTF-8"):
        Catalog.load(tmp_path / "binary.yaml")
