"""Situations from bug reports of other libraries: each ends in a right value or a clear line."""

import pytest

from experiments.robustness.field_reports import others, others_data, others_training, situation

SITUATIONS = others.SITUATIONS + others_training.SITUATIONS + others_data.SITUATIONS
# The other ones of losses and training are held by the tests of their modules too.
QUICK = {one.name for one in others_data.SITUATIONS} | {
    "flips of left and right classes",
    "images of which no pixel is valid",
}


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(one, id=one.name, marks=() if one.name in QUICK else pytest.mark.slow)
        for one in SITUATIONS
    ],
)
def test_each_ends_in_a_right_value_or_a_clear_line(one, tmp_path):
    assert one.run(tmp_path).outcome in (situation.RIGHT, situation.CLEAR)


def test_twenty_and_more_each_with_its_report():
    sources = [one.source for one in SITUATIONS]
    assert len(sources) == len(set(sources)) >= 20
    assert all(one.letter == "K" and one.test.endswith(f"[{one.name}]") for one in SITUATIONS)
