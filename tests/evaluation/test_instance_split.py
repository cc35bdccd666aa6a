"""A detector judged on a split: the batch changes nothing, and broken scores are refused."""

import dataclasses
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from jaxseg.backbones.resnet import ResNet
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.prepare import prepare
from jaxseg.data.source import open_instances
from jaxseg.evaluation import instance_split
from jaxseg.inference.detect import Found
from jaxseg.layers.fpn import FPN
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Selection
from jaxseg.layers.rpn import RPN
from jaxseg.models.fpn import BoxProposals
from jaxseg.models.mask_rcnn import MaskHead, MaskRCNN
from jaxseg.pixels import Normalisation
from jaxseg.runtime.mesh import make_mesh
from jaxseg.shape_trace import trace_shapes
from tests.conftest import ROOT

MODEL = MaskRCNN(
    num_classes=5,
    backbone=ResNet(18, (1, 1), width=4, output_stride=8, norm=Norm("frozen")),
    levels=("stage1", "stage2"),
    neck=FPN(features=8),
    rpn=RPN(sizes=(8, 16, 32), before_nms=(20, 20), after_nms=(16, 8)),
    box_head=ConvFCHead(fc_features=8),
    mask_head=MaskHead(layers=1, features=8, size=7),
    # An untrained network has low scores: everything counts as found.
    selection=Selection(score=0.0, count=6, candidates=20),
)
TRANSFORM = InstanceTransform((64, 64), InstanceAugment(objects=6, short_side=(64,), long_side=64))


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Four drawn images of 48 x 48, so that boxes are scaled back."""
    folder = tmp_path_factory.mktemp("prepared")
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        flags.FLAGS(["x", "--shapes_size=48", "--shapes_train=2", "--shapes_val=4"])
        prepare.prepare("shapes/instances", folder)
    return open_instances("shapes/instances", "val", folder)


def random_variables():
    """Normal numbers for every parameter, which need no compilation."""
    _, shapes = trace_shapes(MODEL, (64, 64))
    rng = np.random.default_rng(0)

    def values(leaf):
        fan = max(1, int(np.prod(leaf.shape[:-1])))
        return rng.normal(0, fan**-0.5, leaf.shape).astype(np.float32)

    variables = jax.tree.map(values, dict(shapes))
    variables["batch_stats"] = jax.tree.map(np.ones_like, variables["batch_stats"])
    return variables


def evaluated(split, variables, batch_size, mesh=None, **views):
    return instance_split.evaluate(
        MODEL,
        variables,
        split,
        transform=TRANSFORM,
        normalisation=Normalisation(),
        batch_size=batch_size,
        threads=0,
        mesh=mesh,
        progress=False,
        **views,
    )


@pytest.mark.parametrize(
    "views",
    [{}, pytest.param({"scales": (1.0, 1.5), "flip": True}, marks=pytest.mark.slow)],
    ids=["one view", "four views"],
)
def test_neither_batch_size_nor_mesh_changes_anything(split, views):
    assert jax.device_count() >= int(os.environ.get("DEVICES", "1"))
    variables = random_variables()
    one = evaluated(split, variables, 1, **views)
    three = evaluated(split, variables, 3, make_mesh(), **views)
    assert len(one.detections) == len(split) == 4  # images in which nothing is found count too
    assert set(one.judged) == {"bbox", "segm"}
    found = one.detections.results()
    assert found
    for a, b in zip(found, three.detections.results(), strict=True):
        assert (a["image_id"], a["category_id"]) == (b["image_id"], b["category_id"])
        np.testing.assert_allclose(a["bbox"], b["bbox"], rtol=1e-4, atol=1e-3)
        x, y, width, height = a["bbox"]
        assert min(x, y) >= 0  # of the images of 48 pixels, not of the canvas
        assert max(x + width, y + height) <= 48.001
        assert a["segmentation"]["size"] == [48, 48]
    assert one.summary() == pytest.approx(three.summary(), abs=1e-6, nan_ok=True)
    assert {"box AP", "mask AP50", "mask ARl", "PQ things"} <= one.summary().keys()
    assert one.panoptic.counts.wrong.sum() + one.panoptic.counts.hits.sum() > 0


@pytest.mark.slow
def test_two_devices_find_the_same():
    """The test above with one view and with several, over a mesh of two devices."""
    flags_of_two = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    chosen = f"{__file__}::test_neither_batch_size_nor_mesh_changes_anything"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", chosen],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags_of_two, "DEVICES": "2"},
        capture_output=True,
        text=True,
    )
    assert "2 passed" in done.stdout, done.stdout[-2000:]


def test_scores_that_are_not_finite_are_refused(split):
    broken = jax.tree.map(lambda leaf: leaf * np.float32(np.nan), random_variables())
    with pytest.raises(ValueError, match="image 0 of the split has scores that are not finite"):
        evaluated(split, broken, 1)


def test_perfect_masks_have_an_ap_and_a_panoptic_quality_of_one(split, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Exact(Found):
        def masks(self, convention="torchvision"):
            objects = split.objects(self.index)
            return (objects.mask(i) for i in np.flatnonzero(~objects.crowd))

    def found(index):
        objects = split.objects(index)
        kept = objects.take(np.flatnonzero(~objects.crowd))
        scores = np.linspace(0.9, 0.6, len(kept))
        return Exact(index, (48, 48), kept.boxes, scores, kept.classes, np.zeros((len(kept), 1, 1)))

    def detect(variables, batch):
        return [found(int(index)) for index in batch["index"] if index >= 0]

    monkeypatch.setattr(instance_split, "make_detector", lambda *_, **__: detect)
    summary = evaluated(split, {}, 2).summary()
    assert summary["mask AP"] == pytest.approx(1)
    assert [summary[name] for name in ("PQ things", "SQ things", "RQ things")] == [1, 1, 1]


def test_proposals_are_judged_by_their_recall_whatever_the_class(split, monkeypatch):
    """A network that proposes all true boxes, as objects of the first class."""

    def found(index):
        boxes = split.objects(index).boxes.astype(np.float32)
        scores, classes = np.linspace(0.9, 0.5, len(boxes)), np.ones(len(boxes), int)
        return Found(index, (48, 48), boxes, scores, classes, None)

    def detect(variables, batch):
        return [found(int(index)) for index in batch["index"] if index >= 0]

    monkeypatch.setattr(instance_split, "make_detector", lambda *_, **__: detect)
    monkeypatch.setattr(sys.modules[__name__], "MODEL", BoxProposals(MODEL.backbone))
    summary = evaluated(split, {}, 2).summary()
    assert summary["box AR@100"] == summary["box AR@1000"] == 1
    assert 0 < summary["box AR@1"] < 1
    assert not any("AP" in name or "PQ" in name for name in summary)
