"""The tables of protocols are those of the records."""

import json
import re

import pytest

from experiments.readme_tables import page, protocol_table


@pytest.mark.parametrize("table", protocol_table.TABLES)
def test_the_page_has_the_recorded_numbers(table):
    """If this fails: python -m experiments.readme_tables.protocol_table."""
    record = json.loads((page.RESULTS / f"protocols_{table}.json").read_text())
    assert page.holds("docs/protocols.md", f"protocols {table}", protocol_table.block(record))


def test_a_line_tells_what_is_not_distinguishable():
    line = {
        "images": 10,
        "miou": 0.5,
        "miou_interval": [0.4, 0.6],
        "gain": [0.01, -0.02, 0.03],
        "verdict": "not distinguishable",
        "seconds": 0.25,
        "cpu_seconds": 5.0,
    }
    text = protocol_table.markdown({"lines": {"plain": line, "flip": line}})
    plain, flip = (re.sub(" +", " ", line) for line in text.splitlines()[2:])
    assert plain == "| plain | 50.00 [40.0, 60.0] | | 0.25 (0.50) |"
    assert "+1.00 [-2.00, +3.00], not distinguishable" in flip
    assert protocol_table.boundaries({"lines": {"plain": line}}) == ""
