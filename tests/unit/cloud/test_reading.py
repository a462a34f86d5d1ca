from __future__ import annotations

from datetime import UTC, datetime

import pytest

from js2spawner.cloud.errors import BadAnswer
from js2spawner.cloud.reading import instant, objects, parse, read, strings, text


def test_an_empty_body_is_an_empty_object() -> None:
    assert parse(b" \n") == {}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"\xff", b"[" * 100_000, b"9" * 10_000])
def test_an_answer_that_is_no_json_object_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        parse(body)
    assert not caught.value.certain


@pytest.mark.parametrize("value", [{}, {"id": ""}, {"id": 7}, {"id": None}, None, [], "x"])
def test_a_record_that_cannot_be_read_is_a_bad_answer_that_says_which(value: object) -> None:
    with pytest.raises(BadAnswer, match="server"):
        read(lambda server: text(server, "id"), value, "server")


@pytest.mark.parametrize("value", [{}, {"servers": None}, {"servers": [1]}, {"servers": {}}])
def test_a_missing_list_is_a_bad_answer_and_not_an_empty_list(value: dict[str, object]) -> None:
    with pytest.raises(BadAnswer, match="servers"):
        objects(value, "servers")


@pytest.mark.parametrize("value", ["2026-11-22T16:51:53Z", "2026-11-22T16:51:53.000000", "2026-11-22T17:51:53+01:00"])
def test_a_time_without_a_zone_is_utc(value: str) -> None:
    assert instant(value) == datetime(2026, 11, 22, 16, 51, 53, tzinfo=UTC)


def test_no_metadata_is_empty_metadata() -> None:
    assert strings(None) == {}
