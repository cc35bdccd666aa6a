"""Weight files of other libraries' detectors, loaded by the commands that docs/weights.md gives.

The files have random weights under each library's own names. What the commands find in an image is
what torchvision's network finds, changed to what the library does: all 100 detections, with boxes
to 0.05 pixels, scores to 1e-4, labels, and masks to the pixel up to 1e-4 of all pixels. The image
is not resized, since torchvision resizes after its normalisation.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import jaxseg
from jaxseg.cli import command_line
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.builders.coco import CATEGORIES
from tests.conftest import ROOT

pytestmark = [pytest.mark.other_libraries, pytest.mark.slow]
JUDGE = ROOT / ".judges" / "torchvision"
PROGRAM = ROOT / "tests" / "helpers" / "programs" / "released_detectors.py"
FILES = {
    "torchvision": "torchvision.pth",
    "mmdetection": "mmdetection.pth",
    "detectron2": "detectron2.pkl",
}
IDS = np.array([*CATEGORIES])  # COCO's, of the classes 1 to 80
SIZES = (
    "--config.data.crop_size=128,192",
    "--config.data.instances.short_side=128",
    "--config.data.instances.long_side=192",
)


def jaxseg_command(folder, *arguments):
    """Runs `jaxseg ...` in a folder; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "jaxseg", *arguments],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The photo, the weight files, and the answers."""
    if not (JUDGE / "site").is_dir():
        pytest.skip(f"needs torchvision with its operations in {JUDGE}")
    place = tmp_path_factory.mktemp("released")
    environment = os.environ | {
        "PYTHONPATH": str(JUDGE / "site"),
        "LD_LIBRARY_PATH": str(JUDGE / "stubs"),
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run([sys.executable, str(PROGRAM), str(place)], env=environment, check=True)
    return place


def experiment_of(library):
    return ROOT / "experiments" / "mask_rcnn" / f"coco_{library}.py"


def answer(folder, library):
    """What the judge found, with COCO's ids: torchvision's labels are those already."""
    found = dict(np.load(folder / f"{library}.npz"))
    if library != "torchvision":
        found["labels"] = IDS[found["labels"] - 1]
    assert len(found["scores"]) == 100
    assert len(np.unique(found["labels"])) > 10
    return found


def assert_same(found, boxes, scores, ids, masks):
    """Each detection has its partner in `found`, and no two have the same one."""
    assert len(scores) == len(found["scores"])
    apart = np.abs(boxes[:, None] - found["boxes"][None]).max(-1)
    apart[ids[:, None] != found["labels"][None]] = np.inf
    partner = apart.argmin(axis=1)
    assert len(set(partner)) == len(partner)
    assert apart.min(axis=1).max() < 0.05
    np.testing.assert_allclose(scores, found["scores"][partner], atol=1e-4)
    theirs = found["masks"][partner]
    assert 0.01 < theirs.mean() < 0.5
    assert (masks != theirs).mean() <= 1e-4


@pytest.mark.parametrize("library", FILES)
def test_predict(folder, library):
    jaxseg_command(
        folder,
        "predict",
        f"--config={experiment_of(library)}",
        f"--weights={FILES[library]}",
        "--inputs=photo.png",
        f"--output=out_{library}",
        *SIZES,
    )
    results = json.loads((folder / f"out_{library}" / "detections.json").read_text())
    boxes = np.array([result["bbox"] for result in results])
    boxes[:, 2:] += boxes[:, :2]
    assert_same(
        answer(folder, library),
        boxes,
        np.array([result["score"] for result in results]),
        np.array([result["category_id"] for result in results]),
        np.array([rle.decode(result["segmentation"]) for result in results]) != 0,
    )
    written = json.loads((folder / f"out_{library}" / "images.json").read_text())
    assert {each["id"]: each["name"] for each in written["categories"]} == CATEGORIES


def test_convert_and_load(folder):
    """The folder that `convert` writes needs neither the file nor the experiment."""
    experiment = experiment_of("mmdetection")
    said = jaxseg_command(
        folder, "convert", "mmdetection.pth", f"--config={experiment}", "--output=weights", *SIZES
    )
    assert "reinitialised" not in said
    found = jaxseg.load(folder / "weights").predict(str(folder / "photo.png"))
    own = answer(folder, "mmdetection")
    ids = IDS[found.classes - 1]
    assert found.names == tuple(CATEGORIES[number] for number in ids.tolist())
    assert_same(own, found.boxes, found.scores, ids, found.masks)


def test_a_weight_file_is_loaded_with_its_experiment(folder):
    experiment = command_line.read(experiment_of("detectron2"))
    experiment.data.crop_size = (128, 192)
    experiment.data.instances = InstanceAugment(short_side=(128,), long_side=192)
    network = jaxseg.load(folder / "detectron2.pkl", config=experiment)
    found = network.predict(str(folder / "photo.png"))
    own = answer(folder, "detectron2")
    assert_same(own, found.boxes, found.scores, IDS[found.classes - 1], found.masks)


def test_evaluate(folder):
    """Ten of torchvision's detections, moved, are the truth: the AP is pycocotools' for its own."""
    found = answer(folder, "torchvision")
    boxes = found["boxes"].copy()
    boxes[:, 2:] -= boxes[:, :2]
    wide = np.flatnonzero((boxes[:, 2:] > 12).all(axis=1))[:10]
    annotations = []
    for number, i in enumerate(wide.tolist(), 1):
        x, y, width, height = (boxes[i] + [number % 3, 0, 0, -number % 4]).tolist()
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": int(found["labels"][i]),
                "bbox": [x, y, width, height],
                "area": width * height,
                "iscrowd": 0,
                "segmentation": [corners],
            }
        )
    truth = {
        "images": [{"id": 1, "file_name": "photo.png", "height": 128, "width": 192}],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in CATEGORIES.items()],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "images").mkdir()
    (folder / "images" / "photo.png").write_bytes((folder / "photo.png").read_bytes())
    own = ("--name=folder/photo", "--images=images", "--annotations=val=truth.json")
    jaxseg_command(folder, "prepare", *own)
    jaxseg_command(
        folder,
        "evaluate",
        f"--config={experiment_of('torchvision')}",
        "--weights=torchvision.pth",
        "--workdir=evaluated",
        "--config.data.name=folder/photo",
        "--config.eval.batch_size=1",
        *SIZES,
    )
    (record,) = (folder / "evaluated" / "eval").glob("*.json")
    numbers = json.loads(record.read_text())["metrics"]
    theirs = COCO(str(folder / "truth.json"))
    results = [
        {"image_id": 1, "category_id": int(label), "bbox": box.tolist(), "score": float(score)}
        for box, score, label in zip(boxes, found["scores"], found["labels"], strict=True)
    ]
    judged = COCOeval(theirs, theirs.loadRes(results), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    assert 0.1 < judged.stats[0] < 0.99
    assert numbers["bbox"]["AP"] == pytest.approx(judged.stats[0], abs=5e-3)
