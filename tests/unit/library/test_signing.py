from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.library import lasting
from js2spawner.library import properties as named
from js2spawner.library.commands.in_cloud import signing_key
from js2spawner.library.signing import NO_KEYS, KeyFileError, PublicKeys, SigningKey, verdict

from .in_glance import KEY, OTHER_KEY, T0, changed, image, signed


def test_an_image_is_vouched_for_by_the_key_that_signed_it():
    assert verdict(signed(image("b1")), KEY.keys) == "good"


def test_when_it_was_promoted_is_no_part_of_what_is_signed():
    assert verdict(signed(image("b1"), promoted=T0), KEY.keys) == "good"


@pytest.mark.parametrize("name", [named.IMAGE, named.BUILD, named.DEFINITION, named.TITLE, f"{named.SOFTWARE}00"])
def test_what_an_image_says_of_itself_cannot_be_changed_behind_our_back(name: str):
    assert verdict(changed(signed(image("b1")), **{name: "another"}), KEY.keys) == "changed"


def test_other_data_under_copied_properties_are_not_vouched_for():
    assert verdict(replace(signed(image("b1")), os_hash_value="hash-of-others"), KEY.keys) == "changed"


def test_a_version_that_says_what_it_was_made_with_cannot_say_otherwise_and_an_older_one_says_nothing():
    told = signed(image("b1", properties={named.MADE_WITH: "x"}))
    assert verdict(told, KEY.keys) == "good"
    assert verdict(changed(told, **{named.MADE_WITH: "y"}), KEY.keys) == "changed"
    silent = {name: value for name, value in told.properties.items() if name != named.MADE_WITH}
    assert verdict(replace(told, properties=silent), KEY.keys) == "changed"
    assert verdict(changed(signed(image("b1")), **{named.MADE_WITH: "y"}), KEY.keys) == "changed"


def test_a_hash_that_can_be_forged_is_not_trusted():
    assert verdict(signed(replace(image("b1"), os_hash_algo="md5")), KEY.keys) == "changed"


def test_data_that_glance_never_hashed_are_vouched_for_by_their_id():
    unhashed = signed(replace(image("b1"), os_hash_algo="", os_hash_value=""))
    assert verdict(unhashed, KEY.keys) == "good"
    assert verdict(replace(unhashed, id="another"), KEY.keys) == "changed"
    assert verdict(replace(unhashed, os_hash_algo="sha512", os_hash_value="hash"), KEY.keys) == "changed"
    assert verdict(replace(signed(image("b1")), os_hash_algo="", os_hash_value=""), KEY.keys) == "changed"


@pytest.mark.parametrize("signature", ["x", "ed25519", "ed25519:", f"ed25519:{'0' * 16}:****", "rsa:1:AAAA"])
def test_nonsense_in_place_of_a_signature_is_no_signature(signature: str):
    assert verdict(changed(image("b1"), **{named.SIGNATURE: signature}), KEY.keys) in ("changed", "unknown-key")


def test_a_key_that_nobody_trusts_vouches_for_nothing():
    assert verdict(signed(image("b1"), key=OTHER_KEY), KEY.keys) == "unknown-key"
    assert verdict(signed(image("b1")), NO_KEYS) == "unknown-key"
    assert verdict(image("b1"), KEY.keys) == "unsigned"


def test_two_keys_are_trusted_while_one_takes_the_others_place(tmp_path: Path):
    file = tmp_path / "keys"
    file.write_text(f"# of last year\n{OTHER_KEY.public_line}\n\n{KEY.public_line}  # and of this one\n")
    keys = PublicKeys.read(file)
    assert verdict(signed(image("b1"), key=OTHER_KEY), keys) == "good"
    assert verdict(signed(image("b2")), keys) == "good"


def test_a_made_key_is_its_owners_alone_and_can_be_read_again(tmp_path: Path):
    file = tmp_path / "builds" / "signing.key"
    made = SigningKey.make(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert SigningKey.read(file).public == made.public
    assert PublicKeys.read(tmp_path / "builds" / "signing.pub") == made.keys
    assert "BEGIN" not in repr(made)


def test_a_maker_that_is_killed_leaves_a_whole_key_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("write_new", "write"):
        with monkeypatch.context() as during:
            during.setattr(lasting, step, killed)
            with pytest.raises(KeyboardInterrupt):
                signing_key(None, tmp_path, lambda _: None)
    said: list[str] = []
    key = signing_key(None, tmp_path, said.append)
    assert PublicKeys.read(tmp_path / "signing.pub") == key.keys
    assert said[-1] == key.public_line
    signing_key(None, tmp_path, said.append)
    assert len(said) == 2


def test_a_key_is_never_written_over(tmp_path: Path):
    SigningKey.make(tmp_path / "signing.key")
    with pytest.raises(KeyFileError, match="File exists"):
        SigningKey.make(tmp_path / "signing.key")


def test_a_key_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path):
    file = tmp_path / "signing.key"
    SigningKey.make(file)
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match=f"chmod 600 {file}"):
        SigningKey.read(file)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("ed25519 AAAA\n", "keys:1: this is no public key"),
        ("# a\nssh-ed25519 AAAA me\n", "keys:2: this is no public key"),
        ("-----BEGIN PRIVATE KEY-----\n", "keys:1: this is no public key"),
    ],
)
def test_a_file_of_keys_that_holds_none_says_so(tmp_path: Path, text: str, why: str):
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(KeyFileError, match=why):
        PublicKeys.read(file)


def test_a_private_key_of_another_kind_is_refused(tmp_path: Path):
    file = tmp_path / "signing.key"
    file.write_text("no key at all")
    file.chmod(0o600)
    with pytest.raises(KeyFileError, match="no private key"):
        SigningKey.read(file)
