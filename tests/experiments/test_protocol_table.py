"""README's tables of protocols are those of the records."""

import json

import pytest

from experiments.readme_tables import protocol_table
from tests.conftest import ROOT


@pytest.mark.parametrize("table", protocol_table.TABLES)
def test_the_readme_has_the_recorded_numbers(table):
    record = json.loads((protocol_table.HERE / f"protocols_{table}.json").read_text())
    block = protocol_table.block(record)
    readme = (ROOT / "README.md").read_text()
    assert block in readme, "python -m experiments.readme_tables.protocol_table"


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
    plain, flip = text.splitlines()[2:]
    assert plain == "| plain | 50.00 [40.0, 60.0] |  | 0.25 (0.50) |"
    assert "+1.00 [-2.00, +3.00], not distinguishable" in flip
    assert protocol_table.boundaries({"lines": {"plain": line}}) == ""
