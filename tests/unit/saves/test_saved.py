"""What is a saved image of this hub and what only claims to be one; what people may write, keep and change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from js2spawner.library.properties import PROMOTED_AT, SIGNATURE, VALUE_AT_MOST
from js2spawner.options import Who
from js2spawner.saved import (
    FROZEN,
    GROUP,
    NOTHING_KEPT,
    OWNER,
    SEAL,
    Allowance,
    BadWords,
    Key,
    Saved,
    Unfinished,
    checked_words,
    may_change,
    may_start,
    saved_id,
)
from tests.unit.saves.made import IMAGE_ID, KEY, WORDS, image, saved, sealed

ALICE = Who("alice", frozenset(), admin=False, id="1-alice")
BOB = Who("bob", frozenset({"bio101"}), admin=False, id="1-bob")
ADMIN = Who("root", frozenset(), admin=True)


def test_a_sealed_image_is_read_back_as_it_was_meant():
    found = KEY.read(sealed(group="bio101", frozen=True), "IU")
    assert isinstance(found, Saved)
    assert (found.words, found.group, found.frozen, found.name) == (WORDS, "bio101", True, f"saved:{IMAGE_ID}")


@pytest.mark.parametrize("name", [OWNER, GROUP, FROZEN, "js2_title", "js2_parent", "js2_attempt"])
def test_an_image_whose_properties_somebody_changed_is_nobody_s(name: str):
    good = sealed()
    assert KEY.read(replace(good, properties={**good.properties, name: "mallory"}), "IU") is None


def test_what_is_said_of_one_image_cannot_be_said_of_another():
    other = sealed()
    assert KEY.read(replace(other, id="0f9e5c1e-0000-4000-8000-00000000000f"), "IU") is None


def test_an_image_whose_data_changed_is_nobody_s():
    good = sealed(checksum="a" * 128)
    assert isinstance(KEY.read(good, "IU"), Saved)
    assert KEY.read(replace(good, checksum="b" * 128), "IU") is None


def test_another_hub_s_saves_are_not_ours():
    assert Key(b"k" * 32, "another").read(sealed(), "IU") is None
    assert Key(b"x" * 32, "hub").read(sealed(), "IU") is None


def test_an_image_that_is_not_sealed_is_unfinished_and_one_without_our_mark_is_not_even_that():
    assert isinstance(KEY.read(image("saving"), "IU"), Unfinished)
    forged = image()
    assert KEY.read(replace(forged, properties={**forged.properties, OWNER: "mallory"}), "IU") is None


def test_a_copy_inherits_no_seal_no_group_and_no_promotion_from_the_image_it_was_made_of():
    inherited = {**sealed(group="bio101", frozen=True).properties, SIGNATURE: "good", PROMOTED_AT: "2026-01-01"}
    begun = {**inherited, **KEY.begin(WORDS)}
    assert (begun[SEAL], begun[GROUP], begun[FROZEN], begun[SIGNATURE], begun[PROMOTED_AT]) == ("", "", "", "", "")


def test_what_is_no_text_is_no_seal_and_keeps_no_other_image_from_being_read():
    marred = sealed()
    for name in ("js2_seal", "js2_begun"):
        properties = {**marred.properties, "js2_seal": "", name: "\ud800"}
        assert KEY.read(replace(marred, properties=properties), "IU") is None


def test_the_key_is_in_no_repr():
    assert "kkkk" not in repr(KEY)


@given(title=st.text(), note=st.text())
def test_whatever_people_write_is_kept_whole_or_refused_with_a_sentence(title: str, note: str):
    sentence, words = "", ("", "")
    try:
        words = checked_words(title, note)
    except BadWords as error:
        sentence = str(error)
    assert bool(sentence) != bool(words[0])
    for text in words:
        assert len(text) <= VALUE_AT_MOST
        assert text.isprintable()
        assert text == " ".join(text.split())


@pytest.mark.parametrize(
    ("title", "note", "where"),
    [("", "", "title"), ("  ", "", "title"), (7, "", "title"), ("a" * 61, "", "title"), ("ok", "n" * 241, "note"),
     ("party \U0001f389", "", "title"), ("turned \u202e", "", "title"), ("ok", ["x"], "note")],
)  # fmt: skip
def test_a_name_or_note_that_cannot_be_kept_is_refused(title: object, note: object, where: str):
    with pytest.raises(BadWords) as caught:
        checked_words(title, note)
    assert caught.value.field == where


@pytest.mark.parametrize(
    "choice", [None, 7, "minimal", "saved:", "saved:../../etc", f"saved:{'a' * 37}", f"{IMAGE_ID}"]
)
def test_what_is_no_saved_image_s_name_names_none(choice: object):
    assert saved_id(choice) == ""


def test_a_save_is_its_owner_s_until_it_is_shared():
    mine = saved()
    assert [may_start(mine, who) for who in (ALICE, BOB, ADMIN)] == [True, False, True]
    shared = saved(group="bio101")
    assert [may_start(shared, who) for who in (ALICE, BOB, ADMIN)] == [True, True, True]
    assert [may_change(shared, who) for who in (ALICE, BOB, ADMIN)] == [True, False, True]


def test_somebody_in_no_group_is_not_in_the_group_of_what_is_not_shared():
    assert not may_start(saved(), Who("eve", frozenset({""}), admin=False))


def test_count_and_size_are_limited():
    allowance = Allowance(most=2, most_gb=10, share=True, freezers=())
    assert allowance.refuses([4.0], 5.0) == ""
    assert "you have 2. Delete one first" in allowance.refuses([1.0, 1.0], 0.0)
    assert "this instance holds 5.0 GB" in allowance.refuses([6.0], 5.0)
    assert "cannot be saved" in NOTHING_KEPT.refuses([], 0.0)
    assert allowance.left_gb([4.0]) == 6.0


def test_hosts_and_admins_freeze():
    allowance = Allowance(most=2, most_gb=10, share=True, freezers=("bio101",))
    assert [allowance.may_freeze(who) for who in (ALICE, BOB, ADMIN)] == [False, True, True]
