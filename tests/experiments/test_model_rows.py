"""The tables of networks are what their generator gives, and leave no network out."""

import dataclasses
import json

import pytest

from experiments.readme_tables import models, page, run_table
from experiments.readme_tables.model_rows import rows
from jaxseg.models.full_resolution import FullResolution
from tests.conftest import ROOT

CACHE = json.loads(models.CACHE.read_text())
ROWS = rows()


def test_the_committed_tables_are_the_generators():
    """If this fails: python -m experiments.readme_tables.models, and commit what it writes."""
    assert page.holds("docs/models.md", "models", models.table(CACHE["networks"]))
    assert page.holds("README.md", "models", models.short_table(CACHE["networks"]))


def test_the_committed_figures_are_of_these_rows_and_the_published_ones():
    assert CACHE["size"] == list(models.SIZE)
    assert set(CACHE["networks"]) == {row.network for row in ROWS}
    for row in ROWS:
        found = CACHE["networks"][row.network]
        assert row.published in (None, found["parameters"]), row.network
        assert row.field in (None, found["field"]), row.network


def test_every_model_has_a_row_and_every_row_its_experiments():
    files = {path.stem for path in (ROOT / "jaxseg" / "models").glob("*.py")}
    files -= {"__init__", "compat", "compat_detection"}
    files -= {"panet"}  # a Mask R-CNN of other parts
    assert {type(row.model).__module__.rsplit(".", 1)[-1] for row in ROWS} == files
    for row in ROWS:
        files = [ROOT / "experiments" / f"{row.recipe}.py"] if row.recipe else []
        assert all(file.is_file() for file in files), row.network
        records = [page.RESULTS / f"{name}.json" for name in row.runs]
        assert not records or any(record.is_file() for record in records), row.network


def test_every_recorded_run_is_in_a_row():
    others = {  # in the docs: two starts of one network, a smaller U-Net
        *("mobilenet_camvid_imagenet", "mobilenet_camvid_random", "unet_isbi_em_small"),
    }
    named = {name for row in ROWS for name in row.runs}
    assert {name for name, _ in run_table.records()} - named == others


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.network)
def test_the_committed_figures_are_what_the_trace_gives(row):
    assert models.measure(row) == CACHE["networks"][row.network]


def test_another_count_or_field_than_published_is_refused():
    model = FullResolution(3, width=2, depth=2)
    row = dataclasses.replace(ROWS[-1], network="small", model=model, published=107, field=5)
    assert models.measure(row)["parameters"] == 54 + 36 + 2 * 4 + 9  # kernels, norms, scores
    with pytest.raises(ValueError, match="small: parameters 107, published is 130"):
        models.measure(dataclasses.replace(row, published=130))
    with pytest.raises(ValueError, match="small: field 5, published is 7"):
        models.measure(dataclasses.replace(row, field=7))


def test_results_are_those_of_one_scale(tmp_path):
    row = dataclasses.replace(ROWS[-1], runs=("a_shapes", "a_camvid_full", "a_none"), recipe="")
    for name, data, scores in (
        ("a_shapes", "shapes", {"val": 0.5, "val_ms0.5-1_flip": 0.9}),
        ("a_camvid_full", "camvid", {"val_os8": 0.6123, "val": 0.6}),
    ):
        evaluations = {tag: {"metrics": {"miou": miou}} for tag, miou in scores.items()}
        record = {"data": data, "evaluations": evaluations}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    measured = dict.fromkeys((r.network for r in ROWS), CACHE["networks"][row.network])
    assert "Shapes 50.0; CamVid at full size 61.2" in models._cells(
        row, measured[row.network], tmp_path
    )


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="has no <!-- models -->"):
        page.with_part("# jaxseg", "models", "")
