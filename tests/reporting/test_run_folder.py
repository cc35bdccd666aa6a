"""Run folders as they occur: whole, running, killed, of weights alone, of other versions."""

import json

import numpy as np
import pytest

from jaxseg import config
from jaxseg.backbones import mobilenet_v2, resnet
from jaxseg.data.labels import LabelSpec
from jaxseg.evaluation import pictures
from jaxseg.evaluation.record import Evaluation, to_json
from jaxseg.models import deeplab_v3
from jaxseg.reporting import run_folder
from jaxseg.reporting.run import differing_fields, with_names
from jaxseg.workdir import eval_folder, log, per_image

LABELS = LabelSpec(
    ("sky", "pole | sign", "<car>"),
    ((70, 130, 180), (0, 0, 0), (200, 30, 40)),
    {0: 0, 1: 1, 2: 2, 255: 255},
)
CONFUSION = np.array([[900, 20, 10], [30, 60, 15], [5, 0, 160]])


def experiment(output_stride=16, rates=(6, 12, 18), backbone=None, seed=0):
    backbone = backbone or resnet.ResNet(depth=18, output_stride=output_stride)
    return config.Experiment(
        model=deeplab_v3.DeepLabV3(num_classes=3, backbone=backbone, atrous_rates=rates),
        data=config.Data(name="streets"),
        train=config.Train(steps=100, seed=seed),
    )


def training(steps, *, rate=12.5):
    """Lines of metrics.jsonl, a train line each ten steps and an eval line each fifty."""
    for step in range(10, steps + 1, 10):
        yield {
            "kind": "train",
            "step": step,
            "loss": 3 / step,
            "learning_rate": 0.1,
            "images_per_second": rate,
            "time": 1e9 + step,
        }
        if step % 50 == 0:
            yield {
                "kind": "eval",
                "step": step,
                "miou": step / 200,
                "pixel_accuracy": 0.5,
                "mean_accuracy": 0.4,
                "fwiou": 0.3,
                "time": 1e9 + step + 1,
                "iou": {"sky": 0.9, "pole | sign": None, "<car>": 0.1},
            }


def write_evaluation(
    folder,
    tag="val",
    *,
    confusion=CONFUSION,
    counts=None,
    boundary=None,
    step=100,
    weights=None,
    data="streets",
    names=("a/1", "b 2", "void"),
):
    """eval/TAG.json as evaluation writes it, with two pictures.

    With `counts` [3, K, K], the matrices of the images, eval/TAG.npz and an interval too.
    """
    images = [
        {"index": 0, "name": names[0], "miou": 0.75, "pixel_accuracy": 0.9},
        {"index": 1, "name": names[1], "miou": 0.25, "pixel_accuracy": 0.5},
        {"index": 2, "name": names[2], "miou": float("nan"), "pixel_accuracy": float("nan")},
    ]
    kept = None
    if counts is not None:
        confusion = counts.sum(axis=0)
        kept = per_image.gather(names, len(confusion), map(per_image.entries, counts))
    evaluation = Evaluation(np.asarray(confusion, np.int64), images, 1.5, kept)
    record = {"step": step, "weights": weights, "data": data, "split": "val"}
    if boundary:
        record["boundary"] = boundary
    path = folder / "eval" / f"{tag}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    log.write_json(path, record | to_json(evaluation, LABELS))
    if kept:
        per_image.write(path.with_suffix(".npz"), kept)
    rng = np.random.default_rng(0)
    for kind, name in (("best", "a/1"), ("worst", "b 2")):
        picture = path.with_suffix("") / eval_folder.picture_name(kind, 1, name)
        picture.parent.mkdir(exist_ok=True)
        image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        label = rng.integers(0, 3, (24, 32), dtype=np.uint8)
        pictures.write_picture(picture, image, label, label, LABELS)
    return path


def write_run(folder, *, steps=100, evaluated=True, rate=12.5, seed=0, **changes):
    """A run folder without the run."""
    folder.mkdir(parents=True)
    log.write_json(folder / "config.json", config.to_dict(experiment(seed=seed, **changes)))
    start = {
        "command": f"python -m jaxseg.main --workdir={folder.name}",
        "git": "abc-dirty",
        "versions": {"jax": "0.10.2"},
        "devices": ["cpu"] * 2,
        "processes": 1,
        "python": "3.11.9",
        "host": "here",
        "started": "2026-01-01T00:00:00",
    }
    log.write_json(folder / "environment.json", start | {"starts": [start]})
    text = "".join(json.dumps(line) + "\n" for line in training(steps, rate=rate))
    (folder / "metrics.jsonl").write_text(text)
    if evaluated:
        write_evaluation(folder)
    return folder


def test_a_whole_run(tmp_path):
    run = run_folder.load(write_run(tmp_path / "one"))
    assert (run.name, run.steps, run.images_per_second) == ("one", 100, 12.5)
    assert run.seconds == 91  # from the first line to the last
    assert run.measured_on == "streets val, step 100"
    assert run.metrics == json.loads((tmp_path / "one/eval/val.json").read_text())["metrics"]
    assert run.config["model.backbone.class"] == "ResNet"
    assert [(p.kind, p.name, p.value) for p in run.evaluations[0].pictures] == [
        ("best", "a/1", 0.75),
        ("worst", "b 2", 0.25),
    ]
    assert run.notes == []


def test_a_training_that_goes_on(tmp_path):
    run = run_folder.load(write_run(tmp_path / "one", steps=60, evaluated=False))
    assert run.metrics["miou"] == 0.25
    assert run.measured_on == "streets val, step 50, during training"
    notes = " ".join(run.notes)
    assert "is at step 60 of 100" in notes
    assert f"--mode=evaluate --workdir={tmp_path / 'one'}" in notes


def test_a_run_that_has_not_begun(tmp_path):
    run = run_folder.load(write_run(tmp_path / "one", steps=0, evaluated=False))
    assert (run.metrics, run.steps, run.seconds, run.images_per_second) == ({}, 0, None, None)
    assert run.measured_on == "not evaluated yet"
    assert "Nothing is logged" in run.notes[0]


def test_an_evaluation_older_than_the_training(tmp_path):
    folder = write_run(tmp_path / "one", evaluated=False)
    write_evaluation(folder, step=50)
    assert "of step 50; the training has since reached step 100" in run_folder.load(folder).notes[0]


def test_weights_that_were_evaluated_without_training(tmp_path):
    write_evaluation(tmp_path / "google", weights="net.tflite", step=None)
    run = run_folder.load(tmp_path / "google")
    assert run.measured_on == "streets val, net.tflite"
    assert run.notes == ["There is no config.json."]


def test_what_a_file_system_puts_beside_an_evaluation_is_not_one(tmp_path):
    """macOS leaves ._NAME beside each file that it copies to another kind of disk."""
    path = write_evaluation(write_run(tmp_path / "one", evaluated=False))
    path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    run = run_folder.load(tmp_path / "one")
    assert [evaluation.tag for evaluation in run.evaluations] == [path.stem]
    assert not run.notes


def test_lines_and_files_that_were_cut(tmp_path):
    folder = write_run(tmp_path / "one")
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'17\n[1, 2]\n{"kind": "train"}\n\xff\xfe\n{"kind": "train", "st')
    whole = (folder / "eval/val.json").read_text()
    (folder / "eval/val_flip.json").write_text(whole[: len(whole) // 2])
    (folder / "eval/old.json").write_text('{"miou": 0.5}')
    (folder / "environment.json").write_text("")
    (folder / "experiment.py").write_text("def get_config(:")
    run = run_folder.load(folder)
    assert (run.steps, len(run.train), len(run.tests)) == (100, 10, 2)
    assert [e.tag for e in run.evaluations] == ["val"]
    assert run.environment == {}
    notes = " ".join(run.notes)
    for named in ("eval/val_flip.json", "eval/old.json", "environment.json"):
        assert named in notes


@pytest.mark.parametrize(
    "change",
    [
        {"confusion": [[1, 2], [3, 4]]},
        {"confusion": [[1, 2, 3], [4, 5]]},
        {"confusion": None},
        {"metrics": []},
        {"images": [{"miou": 1}]},
        {"names": "sky"},
        {"palette": [[0, 0]]},
    ],
)
def test_an_evaluation_whose_parts_do_not_fit_is_left_out(tmp_path, change):
    path = write_evaluation(write_run(tmp_path / "one"), "odd")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    run = run_folder.load(tmp_path / "one")
    assert [e.tag for e in run.evaluations] == ["val"]
    assert "eval/odd.json" in run.notes[0]


def test_counts_of_images_are_read_if_they_are_of_the_evaluation(tmp_path):
    folder = write_run(tmp_path / "one", evaluated=False)
    counts = np.stack([CONFUSION, 2 * CONFUSION, 0 * CONFUSION])
    path = write_evaluation(folder, "val_ms0.5-1.75_flip", counts=counts)
    run = run_folder.load(folder)
    np.testing.assert_array_equal(run.evaluations[0].per_image.matrices(), counts)
    assert run.notes == []
    kept = path.with_suffix(".npz").read_bytes()
    write_evaluation(folder, path.stem, counts=counts[::-1], names=("a/1", "b 2", "other"))
    path.with_suffix(".npz").write_bytes(kept)
    run = run_folder.load(folder)
    assert run.evaluations[0].per_image is None
    assert "flip.npz is of another evaluation than eval/val_ms0.5-1.75_flip.json" in run.notes[0]
    path.with_suffix(".npz").write_bytes(kept[:99])
    run = run_folder.load(folder)
    assert run.evaluations[0].per_image is None
    assert "flip.npz cannot be read" in run.notes[0]
    path.with_suffix(".npz").unlink()
    assert run_folder.load(folder).evaluations[0].per_image is None


def test_the_main_evaluation_is_the_newest_and_plainest(tmp_path):
    folder = write_run(tmp_path / "one")
    write_evaluation(folder, "val_os8_flip")
    write_evaluation(folder, "aa", step=50)
    assert [e.tag for e in run_folder.load(folder).evaluations] == ["val", "val_os8_flip", "aa"]


def test_the_collapse_alarm_is_noted(tmp_path):
    folder = write_run(tmp_path / "one")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "eval", "step": 100, "miou": 0.1, "collapsed": "sky"}\n')
    assert any("step 100" in n and "sky" in n for n in run_folder.load(folder).notes)


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("A net.\n\nExpected: mIoU of at\nleast 0.70. Measured: 0.72", "mIoU of at least 0.70."),
        ("A net.\n\nExpected: 0.7\n\nmore", "0.7"),
        ("A net.\n\nExpected and measured: 71 %", "71 %"),
        ("A net.", ""),
    ],
)
def test_what_the_experiment_promises(tmp_path, docstring, expected):
    folder = write_run(tmp_path / "one")
    (folder / "experiment.py").write_text(f'"""{docstring}"""\n')
    assert run_folder.load(folder).expected == expected


def test_the_experiments_of_this_project_promise_something():
    from tests.conftest import ROOT

    for path in sorted((ROOT / "experiments").glob("*_*.py")):
        if "def get_config" in path.read_text():  # else a program
            assert run_folder._expected(path), path


def test_differences_are_the_fields_that_differ(tmp_path):
    loaded = [
        run_folder.load(write_run(tmp_path / "a")),
        run_folder.load(write_run(tmp_path / "b", output_stride=8, rates=(12, 24, 36))),
    ]
    assert differing_fields(loaded) == [
        ("model.backbone.output_stride", [16, 8]),
        ("model.atrous_rates", [[6, 12, 18], [12, 24, 36]]),
    ]
    assert differing_fields(loaded[:1]) == []
    assert differing_fields([loaded[0], loaded[0]]) == []


def test_differences_of_another_backbone(tmp_path):
    other = mobilenet_v2.MobileNetV2(width=0.5)
    loaded = [
        run_folder.load(write_run(tmp_path / "a")),
        run_folder.load(write_run(tmp_path / "b", backbone=other)),
    ]
    found = dict(differing_fields(loaded))
    assert found["model.backbone.class"] == ["ResNet", "MobileNetV2"]
    assert found["model.backbone.depth"] == [18, None]
    assert found["model.backbone.width"] == [64, 0.5]
    assert "data.name" not in found


def test_what_is_not_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="none is not a folder"):
        run_folder.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="not a run folder"):
        run_folder.load(tmp_path)


def test_names_of_one_name_are_told_apart(tmp_path):
    places = ["x/s/seed1", "y/s/seed1", "y/s/seed2"]
    loaded = with_names([run_folder.load(write_run(tmp_path / place)) for place in places])
    assert [run.name for run in loaded] == places
    assert [run.name for run in with_names(loaded[1:])] == ["seed1", "seed2"]
    twice = with_names([loaded[0], loaded[0]])
    assert [run.name for run in twice] == ["seed1", "seed1"]
