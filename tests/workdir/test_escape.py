"""Names are plain text in every format that they are written to."""

import csv
import io
import json

import pytest

from experiments.ablation import output
from jaxseg import report
from jaxseg.reporting import tables
from jaxseg.workdir import escape
from tests.reporting.test_run_folder import CONFUSION, write_evaluation, write_run

HOSTILE = (
    "a|b\n\n# c <script>alert(1)</script> &lt; `x` *y* [z](http://w) $x_1$ \\input{f} % "
    "\x1b[2J\u202e"
)


def test_markdown_has_no_command_of_a_name():
    text = escape.markdown(HOSTILE)
    assert "\n" not in text
    assert "<" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "a\\|b" in text
    assert "&amp;lt;" in text
    assert "[z\\](http" in text
    assert "\\`x\\`" in text
    for harmless in ("val_os8_flip", "[70.1, 74.4]", "-", "R & D", "straße", "道路", "a+b=c"):
        assert escape.markdown(harmless) == harmless


def test_a_table_row_stays_a_row(tmp_path):
    folder = write_run(tmp_path / "r|un <b>")
    path = write_evaluation(folder, "val")
    record = json.loads(path.read_text())
    names = [HOSTILE, "=1+1", "plain"]
    record |= {"names": names, "data": "set|\nwith <i>", "weights": HOSTILE}
    record["images"][0]["name"] = HOSTILE
    path.write_text(json.dumps(record))
    text = report.write([folder])
    rows = [line for line in text.splitlines() if line.startswith("| r")]
    assert rows
    assert len({line.replace("\\|", "").count("|") for line in rows[:2]}) == 1
    for form in (text, (folder / "report.html").read_text()):
        assert "<script>alert" not in form
        assert "<i>" not in form
    assert "\x1b" not in tables.evaluation(CONFUSION, names)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("@x", "'@x"),
        ("\t=x", "' =x"),
        ("a=b", "a=b"),
        ("stride 16", "stride 16"),
    ],
)
def test_a_spreadsheet_computes_nothing(text, cell):
    assert escape.csv_row([text, -0.5, None, 3]) == [cell, -0.5, None, 3]


def test_an_ablation_table_holds_names_as_text():
    row = {
        "name": HOSTILE,
        "paper": 70.0,
        "seeds": [0],
        "miou": [0.5],
        "mean": 0.5,
        "images_per_second": -1.0,
        "change": {},
    }
    record = {
        "rows": [row, row | {"name": "=cmd()"}],
        "title": "T\n\\input{x} <b>",
        "size": "shapes",
        "seeds": [0],
        "unfinished": [],
        "stale": [HOSTILE],
        "agreement": "",
        "ablation": "x",
        "cause": "",
        "source": "",
        "environment": {"command": "<b>"},
    }
    tex = output.latex(record)
    assert all(line.startswith("%") for line in tex.partition("\\begin")[0].splitlines())
    assert "\\textbackslash{}input" in tex
    markdown = output.markdown(record)
    assert "<script>" not in markdown
    assert "<b>" not in markdown
    rows = list(csv.reader(io.StringIO(output.comma_separated(record))))
    assert [len(line) for line in rows] == [len(rows[0])] * 3
    assert rows[2][2] == "'=cmd()"
    page = output.html(record)
    assert "<script>" not in page
    assert "<b>" not in page
