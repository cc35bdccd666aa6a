"""Equal to torchvision's detectors with random weights carried over, in float64 and float32.

torchvision's compiled operations need stub libraries beside a build of torch for the CPU, found
before the process starts: so the judge is a process of its own.
"""

import dataclasses
import functools
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config
from jaxseg.layers.compute import Compute
from jaxseg.layers.norm import Norm
from jaxseg.losses.detection import detection
from jaxseg.models import compat_detection
from jaxseg.postprocess.paste_masks import paste_mask
from jaxseg.types import Objects
from jaxseg.weights import match
from jaxseg.weights.tables import torchvision_detection
from tests.conftest import ROOT

pytestmark = [pytest.mark.other_libraries, pytest.mark.slow]
JUDGE = ROOT / ".judges" / "torchvision"
PROGRAM = ROOT / "tests" / "helpers" / "programs" / "torchvision_detector.py"
GAINS = {"cls_logits": 0.3, "bbox_pred": 0.05, "cls_score": 0.1, "mask_fcn_logits": 1.0}
SIZES = [(128, 161), (165, 128)]  # of the shorter side that the judge is told: none is resized
CANVAS = (192, 192)  # a multiple of 64, where torchvision's strides are those of the maps
OBJECTS = 6
CLASSES = 5  # with the background
EVERYTHING = 20_000  # more than all anchors, more than all proposals: nothing is left to chance
OURS = {
    "fasterrcnn_resnet50_fpn": compat_detection.torchvision_faster_rcnn,
    "fasterrcnn_resnet50_fpn_v2": compat_detection.torchvision_faster_rcnn_v2,
    "maskrcnn_resnet50_fpn": compat_detection.torchvision_mask_rcnn,
    "maskrcnn_resnet50_fpn_v2": compat_detection.torchvision_mask_rcnn_v2,
}


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """What the judge answers to a request, by name; the same request is answered once."""
    if not (JUDGE / "site").is_dir():
        pytest.skip(f"needs torchvision with its operations in {JUDGE}")

    @functools.cache
    def answered(name, depth, train, options):
        folder = tmp_path_factory.mktemp("judge")
        request = {
            "name": name,
            "classes": CLASSES,
            "depth": depth,
            "sizes": SIZES,
            "train": train,
            "options": dict(options),
            "objects": OBJECTS,
            "gains": GAINS,
        }
        (folder / "request.json").write_text(json.dumps(request))
        environment = os.environ | {
            "PYTHONPATH": str(JUDGE / "site"),
            "LD_LIBRARY_PATH": str(JUDGE / "stubs"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, str(PROGRAM), "request.json", "answer.npz"]
        subprocess.run(command, cwd=folder, env=environment, check=True)
        return dict(np.load(folder / "answer.npz"))

    return lambda name, depth, train, options: answered(
        name, depth, train, tuple(sorted(options.items()))
    )


def _under(answer, prefix):
    return {k.removeprefix(prefix): v for k, v in answer.items() if k.startswith(prefix)}


def _model(name, depth, **fields):
    build = OURS[name]
    model = build(CLASSES - 1, depth) if name.endswith("v2") else build(CLASSES - 1, depth, Norm())
    return config.with_fields(model, {"compute": Compute("float64")} | fields)


def _variables(model, state):
    """The state of the judge as float64 variables of ours."""
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
    )
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, np.float64), shapes)
    return match.fill(state, shapes, torchvision_detection.detector(state))


def _padded(answer):
    """The images on one canvas, and the objects with two places more than there are."""
    images = np.zeros((len(SIZES), *CANVAS, 3))
    boxes = np.zeros((len(SIZES), OBJECTS + 2, 4))
    classes = np.zeros(boxes.shape[:2], np.int32)
    masks = np.zeros((*classes.shape, *CANVAS), bool)
    for n, (height, width) in enumerate(SIZES):
        images[n, :height, :width] = answer[f"image{n}"]
        boxes[n, :OBJECTS] = answer[f"boxes{n}"]
        classes[n, :OBJECTS] = answer[f"labels{n}"]
        masks[n, :OBJECTS, :height, :width] = answer[f"masks{n}"]
    return images, Objects(boxes, classes, classes > 0, np.packbits(masks, axis=-1))


INFERENCE = [
    ("maskrcnn_resnet50_fpn", 18),
    ("maskrcnn_resnet50_fpn_v2", 18),
    ("fasterrcnn_resnet50_fpn", 50),
    ("fasterrcnn_resnet50_fpn_v2", 50),
    ("maskrcnn_resnet50_fpn", 50),
    ("maskrcnn_resnet50_fpn_v2", 50),
]
FLOAT32 = [("maskrcnn_resnet50_fpn", 18), ("maskrcnn_resnet50_fpn", 50)]
LOSSES = [("maskrcnn_resnet50_fpn_v2", 18), ("maskrcnn_resnet50_fpn", 50)]


@pytest.mark.parametrize(("name", "depth"), INFERENCE)
def test_the_detections(judge, name, depth):
    """All 100 of each image, in order: boxes, scores, classes, masks as logits and as drawn."""
    answer = judge(name, depth, False, {"rpn_pre_nms_top_n_test": 300})
    with jax.enable_x64(True):
        model = _model(name, depth)
        model = model.clone(rpn=dataclasses.replace(model.rpn, before_nms=(300, 300)))
        variables = _variables(model, _under(answer, "state/"))
        images, _ = _padded(answer)
        found = jax.jit(lambda v, x, s: model.apply(v, x, train=False, sizes=s))(
            variables, images, np.array(SIZES)
        )
        found = {key: np.asarray(value) for key, value in found.items()}
    first = 0
    for n in range(len(SIZES)):
        count = len(answer[f"found_scores{n}"])
        assert count == 100
        assert found["valid"][n].sum() == count
        assert found["classes"][n].tolist() == answer[f"found_labels{n}"].tolist()
        np.testing.assert_allclose(found["scores"][n], answer[f"found_scores{n}"], rtol=1e-6)
        np.testing.assert_allclose(found["boxes"][n], answer[f"found_boxes{n}"], atol=1e-5)
        if "mask_logits" in answer:
            theirs = answer["mask_logits"][first + np.arange(100), found["classes"][n]]
            assert theirs.std() > 0.1
            np.testing.assert_allclose(found["mask_logits"][n], theirs, atol=1e-5, rtol=1e-5)
            first += count
            probabilities = 1 / (1 + np.exp(-found["mask_logits"][n].astype(np.float32)))
            boxes, wrong = found["boxes"][n].astype(np.float32), 0
            for mask, box, drawn in zip(probabilities, boxes, answer[f"pasted{n}"], strict=True):
                wrong += ((paste_mask(mask, box, SIZES[n]) > 0.5) != drawn).sum()
            # In float64 here, in float32 ours: a box whose edge is cut to another pixel is moved.
            assert wrong <= 1e-3 * answer[f"pasted{n}"].size
    assert found["scores"].std() > 1e-3


@pytest.mark.parametrize(("name", "depth"), FLOAT32)
def test_the_detections_in_float32(judge, name, depth):
    """Those of the judge in float64, up to near ties, in which rounding decides what is kept.

    With random weights the scores are close together, and so are overlaps and the threshold of NMS:
    a few of the 100 may be others. What is found by both must be the same.
    """
    answer = judge(name, depth, False, {"rpn_pre_nms_top_n_test": 300})
    model = config.with_fields(_model(name, depth), {"compute": Compute()})
    model = model.clone(rpn=dataclasses.replace(model.rpn, before_nms=(300, 300)))
    with jax.enable_x64(True):
        variables = _variables(_model(name, depth), _under(answer, "state/"))
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), variables)
    images, _ = _padded(answer)
    found = jax.jit(lambda v, x, s: model.apply(v, x, train=False, sizes=s))(
        variables, images.astype(np.float32), np.array(SIZES)
    )
    found = {key: np.asarray(value) for key, value in found.items()}
    for n, size in enumerate(SIZES):
        boxes, scores = answer[f"found_boxes{n}"], answer[f"found_scores{n}"]
        apart = np.abs(found["boxes"][n][:, None] - boxes[None]).max(-1)
        apart[found["classes"][n][:, None] != answer[f"found_labels{n}"][None]] = np.inf
        partner, near = apart.argmin(1), apart.min(1) < 0.05  # pixels
        assert near.mean() >= 0.95
        assert len(set(partner[near])) == near.sum()
        np.testing.assert_allclose(found["scores"][n][near], scores[partner[near]], rtol=1e-3)
        probabilities = 1 / (1 + np.exp(-found["mask_logits"][n][near]))
        drawn = answer[f"pasted{n}"][partner[near]]
        wrong = 0
        for mask, box, theirs in zip(probabilities, found["boxes"][n][near], drawn, strict=True):
            wrong += ((paste_mask(mask, box, size) > 0.5) != theirs).sum()
        assert wrong <= 2e-3 * drawn.size


@pytest.mark.parametrize(("name", "depth"), LOSSES)
def test_the_losses_and_their_gradients(judge, name, depth):
    """With everything sampled."""
    options = {
        "rpn_batch_size_per_image": EVERYTHING,
        "rpn_positive_fraction": 1.0,
        "box_batch_size_per_image": EVERYTHING,
        "box_positive_fraction": 1.0,
        "rpn_pre_nms_top_n_train": 100,
        "rpn_post_nms_top_n_train": 60,
    }
    answer = judge(name, depth, True, options)
    with jax.enable_x64(True):
        model = _model(name, depth)
        model = model.clone(
            rpn=dataclasses.replace(model.rpn, before_nms=(100, 100), after_nms=(60, 60)),
            sampling=dataclasses.replace(
                model.sampling, count=60 + OBJECTS + 2, positive_fraction=1.0
            ),
        )
        state = _under(answer, "state/")
        variables = _variables(model, state)
        images, objects = _padded(answer)
        settings = config.Detection(rpn_samples=EVERYTHING, rpn_positive_fraction=1.0)

        def objective(params):
            outputs, _ = model.apply(
                {**variables, "params": params},
                images,
                train=True,
                sizes=np.array(SIZES),
                objects=objects,
                rngs={"sampling": jax.random.key(0)},
                mutable=["batch_stats"],
            )
            terms = detection(outputs, objects, settings)
            return terms["loss"], terms

        run = jax.jit(jax.grad(objective, has_aux=True))
        gradients, terms = run(variables["params"])
        theirs = _under(answer, "loss/")
        names = {
            "objectness": "loss_objectness",
            "rpn_box": "loss_rpn_box_reg",
            "class": "loss_classifier",
            "box": "loss_box_reg",
            "mask": "loss_mask",
        }
        for ours, key in names.items():
            if key in theirs:
                assert float(terms[ours]) == pytest.approx(float(theirs[key]), rel=1e-4), ours
        expected = _variables(model, state | _under(answer, "gradient/"))["params"]
    for (path, own), other in zip(
        jax.tree.leaves_with_path(gradients), jax.tree.leaves(expected), strict=True
    ):
        error = np.abs(np.asarray(own) - other).max()
        assert error < 1e-4 * np.abs(other).max() + 1e-9, jax.tree_util.keystr(path)
