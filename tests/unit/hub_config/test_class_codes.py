"""Signing in with a name and a class code."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.web import HTTPError

from hub_config.class_codes import Admitted, ClassCodes, Course, admit, hashed, main, read_courses
from js2spawner.located_yaml import FileError

CODE = "bio101-abcd-2345"
HASH = hashed(CODE, b"0123456789abcdef")
DAY = date(2026, 3, 1)
COURSES = {"bio101": Course(code=HASH, ends=DAY), "art": Course(code=HASH, ends=DAY, groups=("painters",))}


def courses_file(directory: Path, text: str) -> Path:
    file = directory / "classes.yaml"
    file.write_text(text)
    return file


def test_the_right_code_admits_into_the_class_s_own_names_and_group():
    assert admit(COURSES, "alice", CODE, DAY) == Admitted("alice@bio101", ("bio101",))


@pytest.mark.parametrize("code", ["BIO101-ABCD-2345", " bio101-abcd-2345 ", "bio101 - abcd - 2345"])
def test_a_code_may_be_typed_as_people_type(code: str):
    assert admit(COURSES, "alice", code, DAY) is not None


@pytest.mark.parametrize("code", ["", "bio101", "bio101-abcd-2346", "art-abcd-2345", "none-abcd-2345", "-" * 10_000])
def test_a_wrong_code_admits_nobody(code: str):
    assert admit(COURSES, "alice", code, DAY) is None


def test_a_class_ends_after_its_last_day():
    assert admit(COURSES, "alice", CODE, date(2026, 3, 2)) is None


def test_the_same_code_has_another_hash_in_every_class():
    assert hashed(CODE, b"one salt") != hashed(CODE, b"two salt")


def test_the_file_says_who_may_enter(tmp_path: Path):
    file = courses_file(tmp_path, f"bio101:\n  code: {HASH}\n  ends: 2026-03-01\n  groups: [bio101, gpu]\n")
    assert read_courses(file)["bio101"].groups == ("bio101", "gpu")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("bio101:\n  code: bio101-abcd-2345\n  ends: 2026-03-01\n", "classes.yaml:2: “code” of class “bio101” is"),
        (f"bio101:\n  code: {HASH}\n", "classes.yaml:1: class “bio101” lacks “ends”; add it."),
        (f"Bio 101:\n  code: {HASH}\n  ends: 2026-03-01\n", "classes.yaml:1: class “Bio 101”: use small letters"),
        ("- bio101\n", "classes.yaml:1: the file must list classes"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path: Path, text: str, mistake: str):
    with pytest.raises(FileError) as caught:
        read_courses(courses_file(tmp_path, text))
    assert mistake in str(caught.value)


def test_a_made_code_opens_the_class_it_was_made_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["bio101"]) == 0
    printed = capsys.readouterr().out
    code = printed.splitlines()[0].rpartition(" ")[2]
    courses = read_courses(courses_file(tmp_path, printed.partition("\n\n")[2]))
    assert admit(courses, "alice", code, datetime.now(UTC).date()) == Admitted("alice@bio101", ("bio101",))
    assert code not in printed.partition("\n\n")[2]


def test_no_code_is_made_for_a_class_with_a_strange_name():
    assert main(["../x"]) == 2


@pytest.fixture
def authenticator(tmp_path: Path) -> ClassCodes:
    ends = datetime.now(UTC).date()
    return ClassCodes(codes_file=str(courses_file(tmp_path, f"bio101:\n  code: {HASH}\n  ends: {ends}\n")))


async def sign_in(authenticator: ClassCodes, name: str, code: str, address: str = "192.0.2.1") -> Any:
    handler = SimpleNamespace(request=SimpleNamespace(remote_ip=address))
    return await authenticator.authenticate(handler, {"username": name, "password": code})


async def test_nobody_becomes_an_admin_by_a_code(authenticator: ClassCodes):
    signed_in = await sign_in(authenticator, "Alice Smith", CODE)
    assert signed_in == {"name": "alice-smith@bio101", "groups": ["bio101"], "admin": False}


@pytest.mark.parametrize("name", ["", "a/b", "ünal", "x" * 33, "-", "a@art", "../.."])
async def test_a_name_that_could_be_taken_for_another_is_refused(authenticator: ClassCodes, name: str):
    with pytest.raises(HTTPError, match="Write your name in letters"):
        await sign_in(authenticator, name, CODE)


async def test_who_guesses_is_stopped_and_others_are_not(authenticator: ClassCodes):
    for _ in range(20):
        with pytest.raises(HTTPError) as caught:
            await sign_in(authenticator, "eve", "bio101-zzzz-zzzz")
        assert caught.value.status_code == 403
    with pytest.raises(HTTPError) as caught:
        await sign_in(authenticator, "eve", CODE)
    assert caught.value.status_code == 429
    assert (await sign_in(authenticator, "alice", CODE, address="192.0.2.2"))["name"] == "alice@bio101"


async def test_a_broken_file_is_told_to_the_operator_and_not_to_the_student(authenticator: ClassCodes):
    Path(authenticator.codes_file).write_text("bio101: {")
    with pytest.raises(HTTPError) as caught:
        await sign_in(authenticator, "alice", CODE)
    assert caught.value.status_code == 503
    assert "classes.yaml" not in str(caught.value)


async def test_a_class_that_is_gone_ends_its_users_sign_in(authenticator: ClassCodes):
    user = SimpleNamespace(name="alice@bio101")
    assert await authenticator.refresh_user(user) is True
    assert await authenticator.refresh_user(SimpleNamespace(name="alice@art")) is False
    Path(authenticator.codes_file).write_text(f"bio101:\n  code: {HASH}\n  ends: 2020-01-01\n")
    assert await authenticator.refresh_user(user) is False
