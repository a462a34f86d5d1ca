"""Numbers are written the same wherever people read them."""

from __future__ import annotations

import pytest

from js2spawner.numbers_shown import counted, plain, plain_or_none, plural


@pytest.mark.parametrize(("number", "told"), [(10.0, "10"), (0.5, "0.5"), (2.345, "2.35"), (9.999, "10"), (0, "0")])
def test_a_number_has_two_places_at_most_and_none_that_say_nothing(number: float, told: str) -> None:
    assert str(plain(number)) == told


def test_what_is_not_known_stays_unknown() -> None:
    assert (plain_or_none(None), plain_or_none(2.0)) == (None, 2)


def test_one_thing_is_not_called_several() -> None:
    assert (plural(1, "server"), counted(1, "server")) == ("server", "1 server")
    assert (plural(0.5, "GPU"), counted(0.5, "GPU"), counted(2.0, "GPU")) == ("GPUs", "0.5 GPUs", "2 GPUs")
