from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from js2spawner.library import baked
from js2spawner.library import properties as named
from js2spawner.library.builds import Build
from js2spawner.library.definition import FromScratch
from js2spawner.library.due import age_of, why_due
from js2spawner.library.published import versions

from .definitions import definition
from .in_glance import KEY, T0, image, signed

TINY = definition()
WITH = baked.digest(TINY)
BUILT = Build("tiny", "b1", TINY.key, "scratch", T0.isoformat(), made_with=WITH)


def test_an_image_is_due_until_it_was_made():
    assert why_due(TINY, None, T0) == "never built"
    assert why_due(TINY, None, T0, never="never published") == "never published"
    assert why_due(TINY, BUILT, T0) == ""


def test_another_definition_is_another_image():
    assert why_due(definition(base=FromScratch("bookworm", 51)), BUILT, T0) == "its definition changed"


def test_another_guest_program_is_another_image_of_the_same_definition():
    assert why_due(TINY, replace(BUILT, made_with="older"), T0) == "its guest program or the way it is built changed"


def test_an_image_may_become_as_old_as_its_definition_says():
    assert why_due(TINY, BUILT, T0 + timedelta(days=30)) == ""
    assert why_due(TINY, BUILT, T0 + timedelta(days=31)) == "31 days old, at most 30 are allowed"


def test_a_version_in_a_cloud_is_held_against_its_definition_like_a_build():
    told = {named.DEFINITION: TINY.key, named.MADE_WITH: WITH, named.BUILT_AT: T0.isoformat()}
    made = image("b1", properties=told)
    [version] = versions([signed(made)], "minimal", KEY.keys)
    assert why_due(TINY, version, T0) == ""
    assert "31 days old" in why_due(TINY, version, T0 + timedelta(days=31))


def test_a_version_that_an_older_js2spawner_made_is_made_anew():
    made = image("b1", properties={named.DEFINITION: TINY.key, named.BUILT_AT: T0.isoformat()})
    [version] = versions([signed(made)], "minimal", KEY.keys)
    assert why_due(TINY, version, T0) == "its guest program or the way it is built changed"


def test_a_version_that_does_not_say_when_it_was_built_is_old():
    told = {named.DEFINITION: TINY.key, named.MADE_WITH: WITH, named.BUILT_AT: "yesterday"}
    made = image("b1", properties=told)
    [version] = versions([signed(made)], "minimal", KEY.keys)
    assert "at most 30 are allowed" in why_due(TINY, version, T0)


def test_an_age_is_told_as_people_say_it():
    for age, told in ((timedelta(0), "new"), (timedelta(hours=3), "3 hours"), (timedelta(days=9.5), "9 days")):
        assert age_of(BUILT, T0 + age) == told
    assert age_of(replace(BUILT, at=(T0 + timedelta(hours=1)).isoformat()), T0) == "new"
