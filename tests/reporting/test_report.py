"""The page and the table: well-formed, alone, and with the numbers of the run folder."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from jaxseg import report
from jaxseg.metrics.definitions import MEANS
from jaxseg.reporting import evaluation
from tests.reporting.test_run_folder import CONFUSION, LABELS, write_evaluation, write_run

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


class Page(html.parser.HTMLParser):
    """Refuses tags that are not closed in order; collects the text, tables, ids and links."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.resources = [], [], [], []
        self.tables, self.words, self.images, self.plots = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag, attributes):
        self._look(tag, dict(attributes))

    def handle_starttag(self, tag, attributes):
        self._look(tag, dict(attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> of nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data.strip()

    def _look(self, tag, attributes):
        assert tag != "script"
        if "id" in attributes:
            self.ids.append(attributes["id"])
        for name in ("src", "srcset", "href", "data", "action"):
            if name in attributes:
                (self.links if attributes[name].startswith("#") else self.resources).append(
                    attributes[name]
                )
        if tag == "source":
            assert attributes["media"] == "(prefers-color-scheme: dark)"
            self.dark = attributes["srcset"]
        if tag == "img":
            assert attributes["alt"]
            if attributes["src"].startswith("data:image/svg+xml"):
                self.plots.append((attributes["alt"], attributes["src"], self.dark))
            else:
                assert self.open[-2:] == ["details", "summary"]
                self.images.append(attributes["src"])

    @property
    def drawn(self):
        return len(self.plots)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def table(self, head):
        """The rows below the first table whose heads hold `head`."""
        return next(rows[1:] for rows in self.tables if rows and head in rows[0])


def page(*folders, output):
    report.write(folders, output)
    text = (output / "report.html").read_text()
    parsed = Page(text)
    assert text.startswith("<!doctype html>")
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {link[1:] for link in parsed.links} <= set(parsed.ids)
    assert all(resource.startswith("data:") for resource in parsed.resources)
    remote = re.findall(
        r"""(?:url\(|@import|src=|srcset=|href=)\s*["']?(?!#|data:)[^\s"')]+""", text
    )
    assert remote == []
    for _, *drawings in parsed.plots:
        for uri in drawings:
            drawing = base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode()
            assert "<script" not in drawing
            assert re.findall(r"""(?:url\(|href=)["']?(?!#)[^\s"')]+""", drawing) == []
    return parsed


def metrics_of(folder, tag="val"):
    return json.loads((folder / "eval" / f"{tag}.json").read_text())["metrics"]


def two(value):
    return "–" if value is None else f"{100 * value:.2f}"


def one(value):
    return "–" if value is None else f"{100 * value:.1f}"


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    """A run folder and its page."""
    folder = write_run(tmp_path_factory.mktemp("report") / "one")
    return folder, page(folder, output=folder)


@pytest.mark.newest
def test_a_page_of_one_run(one_run):
    folder, parsed = one_run
    metrics = metrics_of(folder)
    text = parsed.text
    for name in ("miou", "pixel_accuracy", "mean_accuracy", "fwiou"):
        assert f"{two(metrics[name])} % {MEANS[name][0]}" in text
    assert "training steps100" in text  # order is the style sheet's
    assert "images per second in training12.5" in text
    assert "DeepLabV3 · streets val, step 100" in text
    for part in ("python -m jaxseg.main --workdir=one", "git checkout abc", "0.10.2", "2 x cpu"):
        assert part in text
    rows = {row[0]: row[1] for row in parsed.table("what it is")}
    assert rows["Cohen's kappa"] == two(metrics["kappa"])
    assert len(rows) == 6
    assert text.count("mIoU of the truth's classes; mIoU, absent as 0; mIoU, absent as 1") == 1
    assert parsed.drawn == 5  # loss, mIoU, learning rate, speed, images
    assert parsed.plots[0][0] == "Training loss: from 0.3 at step 10 to 0.03 at step 100"
    assert "mIoU while training, %: from 25.00 % at step 50 to 50.00 %" in parsed.plots[1][0]
    assert all(light != dark for _, light, dark in parsed.plots)


def test_the_validation_loss_stands_beside_the_training_loss(tmp_path):
    folder = write_run(tmp_path / "one")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["cross_entropy"] = line["loss"] if line["kind"] == "train" else 0.5 + line["step"]

    def write():
        (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
        return page(folder, output=folder)

    whole = write()
    assert whole.drawn == 5  # the loss is the cross-entropy and is not drawn twice
    assert whole.plots[0][0] == (
        "Cross-entropy: training, and validation dashed: from 0.3 at step 10 to 0.03 at step 100; "
        "validation: from 50.5 at step 50 to 100 at step 100"
    )
    assert "mean over all valid pixels of the split" in whole.text
    for line in lines:
        line["loss"] = 1.0
    assert write().plots[1][0].startswith("Training loss, all terms: from 1 at")


def test_numbers_of_other_images_have_no_best(tmp_path):
    first = write_run(tmp_path / "a")
    better = write_run(tmp_path / "b")
    write_evaluation(better, confusion=CONFUSION + 40 * np.eye(3, dtype=int))
    both = page(first, better, output=tmp_path)
    assert (tmp_path / "report.html").read_text().count(' best">') == 4 + 3
    assert "No number is marked" not in both.text
    for change, why in (
        ({"data": "roads"}, "other data sets"),
        ({"names": ["sky", "pole | sign", "bus"]}, "other classes"),
        ({"images": [{"name": "z", "miou": 0.5}]}, "other images"),
        ({"split": "test"}, "other splits"),
    ):
        path = write_evaluation(better, confusion=CONFUSION + 40 * np.eye(3, dtype=int))
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        assert f"measured on {why}." in page(first, better, output=tmp_path).text
        assert (tmp_path / "report.html").read_text().count(' best">') == 0
    for folder, digest in ((first, "1"), (better, "2")):
        path = write_evaluation(folder)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": digest}))
    assert "other images of the same names" in page(first, better, output=tmp_path).text


def test_runs_that_keep_nothing_of_their_images_are_not_ranked(tmp_path):
    folders = [write_run(tmp_path / name, evaluated=False) for name in "ab"]
    assert "images that may not be the same" in page(*folders, output=tmp_path).text
    for folder in folders:
        kept = {"name": "streets", "splits": {"val": {"digest": "c0ffee"}}}
        (folder / "data.json").write_text(json.dumps(kept))
    assert "No number is marked" not in page(*folders, output=tmp_path).text


def test_a_protocol_with_the_same_counts_is_not_written_out_again(tmp_path):
    folder = write_run(tmp_path / "one")
    write_evaluation(folder, "val_flip")
    write_evaluation(folder, "val_os8", confusion=CONFUSION.T)
    rows = page(folder, output=folder).table("protocol")
    assert [len(row) for row in rows] == [9, 9, 5]
    assert rows[-1][3] == "the same counts asval"  # with a space between


def test_numbers_of_probabilities_are_shown_where_they_were_asked_for(tmp_path, one_run):
    assert "calibration error" not in one_run[1].text
    folder = write_run(tmp_path / "asked")
    path = folder / "eval" / "val.json"
    record = json.loads(path.read_text())
    record["metrics"] |= {"calibration_error": 0.0321, "roc_auc": None}
    path.write_text(json.dumps(record))
    parsed = page(folder, output=folder)
    assert "calibration error, %3.21" in parsed.text
    text = (folder / "report.md").read_text()
    assert re.search(r"calibration error \| +area under the ROC curve \|", text)
    assert re.search(r" 3\.21 \| +– \|", text)
    assert "- calibration error: mean over pixels" in text


def test_class_rows_are_those_of_the_evaluation(one_run):
    folder, parsed = one_run
    metrics, rows = metrics_of(folder), parsed.table("precision")
    order = sorted(LABELS.names, key=lambda name: -metrics["iou"][name])
    share = dict(zip(LABELS.names, CONFUSION.sum(1) / CONFUSION.sum(), strict=True))
    assert rows == [
        [
            name,
            "",
            *(one(metrics[key][name]) for key in ("iou", "dice", "precision", "recall")),
            two(share[name]),
        ]
        for name in order
    ]


def test_the_matrix_is_normalised_by_rows(one_run):
    _, parsed = one_run
    rows = next(t for t in parsed.tables if t[0] == ["", *LABELS.names])[1:]
    shares = CONFUSION / CONFUSION.sum(1, keepdims=True)
    assert rows == [
        [name, *(f"{100 * share:.0f}" if share >= 0.005 else "" for share in values)]
        for name, values in zip(LABELS.names, shares, strict=True)
    ]
    largest = parsed.tables[parsed.tables.index([["", *LABELS.names], *rows]) + 1]
    wrong = CONFUSION.sum() - np.trace(CONFUSION)
    assert largest[1] == ["pole | sign→sky", one(30 / 105), one(30 / wrong)]
    assert len(largest) == 1 + 5  # as many as there are entries off the diagonal


def test_pictures_are_inside(one_run):
    folder, parsed = one_run
    assert len(parsed.images) == 2
    sizes = set()
    for uri in parsed.images:
        kind, data = re.fullmatch(r"data:image/(png|webp);base64,(.+)", uri).groups()
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert picture.format.lower() == kind
        sizes.add(picture.size)
    assert sizes == {Image.open(p).size for p in (folder / "eval/val").glob("*.png")}
    for words in ("a/1", "75.0", "b 2", "25.0"):
        assert words in parsed.text


def test_names_are_text_not_markup(tmp_path):
    folder = write_run(tmp_path / "<b>bold & $brave")
    assert "<b>bold & $brave" in page(folder, output=tmp_path).text


def test_several_runs_and_what_differs(tmp_path):
    first = write_run(tmp_path / "x" / "run")
    second = write_run(tmp_path / "y" / "run", output_stride=8, rates=(12, 24), rate=3.25)
    write_evaluation(second, confusion=CONFUSION + 40 * np.eye(3, dtype=int))
    write_evaluation(second, "val_flip")
    parsed = page(first, second, output=tmp_path)
    assert "All of them: DeepLabV3; streets val, step 100; 100 steps." in parsed.text
    rows = parsed.table("fw IoU")
    assert [row[0] for row in rows] == ["x/run", "y/run"]
    for row, folder in zip(rows, (first, second), strict=True):
        metrics = metrics_of(folder)
        names = ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")
        assert [row[1], *row[3:6]] == [two(metrics[name]) for name in names]
        assert row[2] == "–", "an evaluation without counts of images"
    assert [row[6:] for row in rows] == [["91 s", "12.5"], ["91 s", "3.25"]]
    assert parsed.table("field") == [
        ["model.backbone.output_stride", "16", "8"],
        ["model.atrous_rates", "6, 12, 18", "12, 24"],
    ]
    side = next(t for t in parsed.tables if t[0][:3] == ["class", "x/run", "y/run"])[1:]
    assert [row[:3] for row in side] == [
        [name, one(metrics_of(first)["iou"][name]), one(metrics_of(second)["iou"][name])]
        for name in sorted(LABELS.names, key=lambda n: -metrics_of(first)["iou"][n])
    ]
    assert [row[0] for row in parsed.table("protocol")] == ["val", "val_flip"]
    assert len(parsed.images) == 4


def test_equal_configs_are_said_to_be_equal(tmp_path):
    folders = [write_run(tmp_path / name) for name in "ab"]
    assert "configs are the same" in page(*folders, output=tmp_path).text


def test_folders_that_are_not_whole_have_pages(tmp_path):
    begun = write_run(tmp_path / "begun", steps=0, evaluated=False)
    going = write_run(tmp_path / "going", steps=60, evaluated=False)
    with (going / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')
    write_evaluation(tmp_path / "weights", weights="net.pth", step=None)
    cut = write_run(tmp_path / "cut")
    picture = next((cut / "eval/val").glob("best*.png"))
    picture.write_bytes(picture.read_bytes()[:500])
    folders = [begun, going, tmp_path / "weights", cut]
    assert "Nothing is logged" in page(begun, output=tmp_path).text
    parsed = page(going, output=tmp_path)
    assert "is at step 60 of 100" in parsed.text
    assert [row[0] for row in parsed.table("class")] == ["sky", "<car>", "pole | sign"]
    assert "net.pth" in page(tmp_path / "weights", output=tmp_path).text
    assert len(page(cut, output=tmp_path).images) == 1
    together = page(*folders, output=tmp_path)
    assert [row[0] for row in together.table("measured on")] == ["begun", "going", "weights", "cut"]


def test_an_empty_truth_has_a_page(tmp_path):
    write_evaluation(tmp_path / "one", confusion=np.zeros((3, 3)))
    text = page(tmp_path / "one", output=tmp_path).text
    assert "nan" not in text
    assert "– mIoU" in text


def test_many_classes_have_no_matrix(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "_MATRIX_CLASSES", 2)
    parsed = page(write_run(tmp_path / "one"), output=tmp_path)
    assert all(t[0] != ["", *LABELS.names] for t in parsed.tables)
    assert "pole | sign→sky" in parsed.text.replace(" → ", "→")


def tables(markdown):
    """The cells of each markdown table, columns checked to be aligned as text."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", markdown, re.MULTILINE):
        lines = block.splitlines()
        bars = [[m.start() for m in re.finditer(r"(?<!\\)\|", line)] for line in lines]
        assert all(places == bars[0] for places in bars)
        cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        assert all(re.fullmatch(r":-{2,}|-{2,}:", cell) for cell in cells[1])
        found.append([cells[0], *cells[2:]])
    return found


def test_the_markdown_table(tmp_path, monkeypatch):
    monkeypatch.setattr(report.page, "html", lambda loaded: "")
    first = write_run(tmp_path / "a|b")
    second = write_run(tmp_path / "second", output_stride=8, steps=60, evaluated=False)
    write_evaluation(first, "val_flip", confusion=CONFUSION.T)
    text = report.write([first, second], tmp_path)
    assert (tmp_path / "report.md").read_text() == text
    numbers, means, fields = tables(text)
    names = ("pixel_accuracy", "mean_accuracy", "fwiou")
    assert numbers[1:] == [
        [
            "a\\|b",
            "DeepLabV3",
            f"streets {tag}",
            two(metrics_of(first, tag)["miou"]),
            "–",
            *(two(metrics_of(first, tag)[name]) for name in names),
            "12.5",
        ]
        for tag in ("val", "val_flip")
    ] + [
        [
            "second",
            "DeepLabV3",
            "streets val, step 50, during training",
            "25.00",
            "–",
            "50.00",
            "40.00",
            "30.00",
            "12.5",
        ]
    ]
    others = ("mean_dice", "kappa")
    assert "Equal to mIoU here: mIoU of the truth's classes; mIoU, absent as 0; mIoU" in text
    assert means[1:] == [
        ["a\\|b", f"streets {tag}", *(two(metrics_of(first, tag)[name]) for name in others)]
        for tag in ("val", "val_flip")
    ]
    assert "- mean Dice: mean over the classes of Dice = 2 hits" in text
    assert fields == [["field", "a\\|b", "second"], ["model.backbone.output_stride", "16", "8"]]
    assert "second: The training is at step 60 of 100." in text


def test_where_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(report.page, "html", lambda loaded: "")
    folder = write_run(tmp_path / "x" / "one")
    other = write_run(tmp_path / "x" / "two")
    report.write([folder])
    assert (folder / "report.html").is_file()
    report.write([folder, other])
    assert (tmp_path / "x" / "report.html").is_file()


@pytest.mark.newest
def test_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report.page, "html", lambda loaded: "")
    folder = write_run(tmp_path / "one")
    assert report.main([str(folder), f"--output={tmp_path / 'new' / 'folder'}"]) == 0
    out, err = capsys.readouterr()
    assert "| one   | DeepLabV3 |" in out
    assert err.strip() == str(tmp_path / "new/folder/report.html")
    assert report.main([str(folder), str(tmp_path / "none")]) == 1
    out, err = capsys.readouterr()
    assert err == f"jaxseg: {tmp_path / 'none'} is not a folder: give the --workdir of a run\n"
    (tmp_path / "file").write_text("")
    assert report.main([str(folder), f"--output={tmp_path / 'file'}"]) == 1
    assert capsys.readouterr().err.startswith(f"jaxseg: {tmp_path / 'file'}")
