"""The boundary suite in a report: curve, means, classes; void that outlines; two protocols."""

import numpy as np
from matplotlib.figure import Figure

from jaxseg.evaluation import boundary_suite
from jaxseg.reporting import boundary, plots, run_folder
from tests.reporting.test_report import page, tables
from tests.reporting.test_run_folder import LABELS, write_evaluation, write_run


def suite(scale=1.0, *, around="classes", hausdorff=True):
    """The output of the suite, with made-up numbers."""
    widths, tolerances = list(boundary_suite.WIDTHS), list(boundary_suite.TOLERANCES)
    curve = [round(scale * (0.5 + i / 100), 4) for i in range(len(widths))]
    part = {"miou": curve, "pixels": [10] * len(widths)}
    other = {"miou": [None] * len(widths), "pixels": [0] * len(widths)}
    both = {name: part if name == around else other for name in ("void", "classes")}
    ious = dict(zip(LABELS.names, (0.25 * scale, 0.5, None), strict=True))
    result = {
        "images": 3,
        "trimap": {"around": around, "widths": widths, **both},
        "boundary_iou": {"ratio": 0.02, "mean": 0.375, "classes": ious},
        "boundary_f": {
            "tolerances": tolerances,
            "mean": [0.1, 0.2, 0.3, 0.4],
            "classes": {name: [0.5, 0.6, 0.7, None] for name in LABELS.names},
        },
    }
    if hausdorff:
        distances = dict(zip(LABELS.names, (3.25, None, 12.0), strict=True))
        counts = dict.fromkeys(LABELS.names, 3)
        result["hausdorff_95"] = {
            "mean": 7.625,
            "classes": distances,
            "images": counts,
            "one_sided": counts,
        }
    return result


HEADS = ["boundary IoU", "F at 0.25 %", "F at 0.5 %", "F at 0.75 %", "F at 1 %"]


def test_made_up_numbers_have_the_suites_form():
    real = boundary_suite.Suite(3).to_json(LABELS.names)
    made = suite(hausdorff=False)

    def form(value):
        return {key: form(part) for key, part in value.items()} if isinstance(value, dict) else 0

    assert form(made) == form(real)


def test_a_run_has_curve_means_and_classes(tmp_path):
    folder = write_run(tmp_path / "one", evaluated=False)
    write_evaluation(folder, boundary=suite())
    parsed = page(folder, output=tmp_path)
    assert parsed.drawn == 6
    rows = {row[0]: row[1:] for row in parsed.table("boundary IoU")}
    assert rows == {
        "sky": ["25.00", "50.00", "60.00", "70.00", "–", "3.25 (3 infinite)"],
        "pole | sign": ["50.00", "50.00", "60.00", "70.00", "–", "– (3 infinite)"],
        "<car>": ["–", "50.00", "60.00", "70.00", "–", "12.00 (3 infinite)"],
        "mean": ["37.50", "10.00", "20.00", "30.00", "40.00", "7.62 (9 infinite)"],
    }
    means, trimap = tables((tmp_path / "report.md").read_text())[-2:]
    assert means == [
        ["run", "boundaries of", *HEADS, "Hausdorff 95, px"],
        ["one", "streets val", *rows["mean"]],
    ]
    assert trimap[0][2:] == [f"{width} px" for width in boundary_suite.WIDTHS]
    assert trimap[1][2:4] == ["50.00", "51.00"]


def test_protocols_of_a_run_are_lines_of_one_plot(tmp_path):
    folder = write_run(tmp_path / "one", evaluated=False)
    write_evaluation(folder, boundary=suite())
    write_evaluation(folder, "val_crf", boundary=suite(1.1, hausdorff=False))
    parsed = page(folder, output=tmp_path)
    assert parsed.table("means of") == [
        ["val", "37.50", "10.00", "20.00", "30.00", "40.00", "7.62 (9 infinite)"],
        ["val_crf", "37.50", "10.00", "20.00", "30.00", "40.00", "–"],
    ]
    lines, around = boundary.lines([run_folder.load(folder)])
    assert around == "classes"
    assert [(line.label, line.colour, line.dash) for line in lines] == [
        ("val", 0, 0),
        ("val_crf", 1, 0),
    ]
    assert lines[1].y[0] == 0.55


def test_runs_have_their_colours_and_protocols_their_dashes(tmp_path):
    folders = [write_run(tmp_path / name, evaluated=False) for name in "abc"]
    write_evaluation(folders[0])
    write_evaluation(folders[1], boundary=suite())
    write_evaluation(folders[2], boundary=suite())
    loaded = [run_folder.load(folder) for folder in folders]
    assert [line[0] for line in boundary.lines(loaded)[0]] == ["b", "c"]
    write_evaluation(folders[2], "val_crf", boundary=suite())
    lines, _ = boundary.lines([run_folder.load(folder) for folder in folders])
    assert [(line.label, line.colour, line.dash) for line in lines] == [
        ("b, val", 1, 0),
        ("c, val", 2, 0),
        ("c, val_crf", 2, 1),
    ]
    assert page(*folders, output=tmp_path).drawn == 6


def test_where_void_outlines_objects_boundary_f_is_left_out(tmp_path):
    folder = write_run(tmp_path / "one", evaluated=False)
    write_evaluation(folder, boundary=suite(around="void", hausdorff=False))
    parsed = page(folder, output=tmp_path)
    assert parsed.table("boundary IoU")[0] == ["sky", "25.00"]
    assert "boundary F is meaningless and is left out" in parsed.text
    axes = Figure().add_subplot()
    plots.trimap(axes, *boundary.lines([run_folder.load(folder)]))
    assert axes.get_xlabel() == "width of the band around void, px"
    np.testing.assert_allclose(axes.lines[0].get_ydata()[:2], [0.5, 0.51])


def test_other_versions_and_empty_curves_are_left_out(tmp_path):
    folder = write_run(tmp_path / "one", evaluated=False)
    write_evaluation(folder, boundary={"trimap": [1, 2]})
    assert boundary.section(run_folder.load(folder)) is None
    assert page(folder, output=tmp_path).drawn == 5
    empty = suite(hausdorff=False)
    empty["trimap"]["classes"]["miou"] = [None] * len(boundary_suite.WIDTHS)
    write_evaluation(folder, boundary=empty)
    assert page(folder, output=tmp_path).drawn == 5
