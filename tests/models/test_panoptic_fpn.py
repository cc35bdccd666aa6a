"""Semantic and Panoptic FPN: published counts, the law of strides, both modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.fpn import FPN, Level
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.models.compat import smp_fpn
from jaxseg.models.faster_rcnn import FROZEN
from jaxseg.models.mask_rcnn import MaskHead
from jaxseg.models.panoptic_fpn import PanopticFPN, SemanticFPN, SemanticHead, panoptic_fpn
from tests.helpers.variables import count, shapes_of
from tests.losses.test_detection import some_objects
from tests.models.test_mask_rcnn import TINY, frozen_free

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "SemanticFPN": [SemanticFPN(5, ResNet(18, output_stride=32))],
}


@pytest.mark.parametrize(("classes", "parameters"), [(54, 1_630_774), (19, 1_626_259)])
def test_the_head_has_its_published_count(classes, parameters):
    levels = [Level(jnp.zeros((1, 64 // s, 64 // s, 256)), s, s) for s in (4, 8, 16, 32)]
    head = SemanticHead(classes)
    scores, variables = jax.eval_shape(
        lambda: head.init_with_output(jax.random.key(0), levels, train=False)
    )
    assert scores.shape == (1, 16, 16, classes)
    assert count(variables) == parameters


@pytest.mark.parametrize(
    ("depth", "parameters"),
    [(50, 28_430_070), pytest.param(101, 47_369_974, marks=pytest.mark.slow)],
)
def test_published_counts(depth, parameters):
    """Of the backbone's convolutions, pyramid and head, for 54 classes."""
    shapes = shapes_of(SemanticFPN(54, ResNet(depth, output_stride=32)))
    norms = [
        leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes["params"]["backbone"])
        if path[-2].key == "norm"
    ]
    assert count(shapes) - sum(norms) == parameters


@pytest.mark.parametrize(
    ("depth", "parameters"), [(18, 13_049_813), (50, 26_118_613), (101, 45_110_741)]
)
def test_counts_of_smp(depth, parameters):
    assert count(shapes_of(smp_fpn(depth, 21))) == parameters


def test_the_panoptic_network_is_mask_rcnn_and_the_head():
    number, _ = frozen_free(panoptic_fpn(90, 54))
    assert number == 44_454_513 + 1_630_774


@pytest.mark.parametrize("output_stride", [32, 8])
def test_shapes_of_both_modes(output_stride):
    model = PanopticFPN(
        semantic_classes=7,
        backbone=ResNet(18, width=4, output_stride=output_stride, norm=FROZEN),
        neck=FPN(8),
        box_head=ConvFCHead(fc_features=8),
        mask_head=MaskHead(layers=1, features=8),
        head_features=8,
        norm=Norm("group", groups=4),
        **TINY,
    )
    objects = some_objects(np.random.default_rng(0), size=(65, 90))

    def both(x):
        found, variables = model.init_with_output(jax.random.key(0), x, train=False)
        training = model.apply(
            variables, x, train=True, objects=objects, rngs={"sampling": jax.random.key(1)}
        )
        return found, training

    for outputs in jax.eval_shape(both, jnp.zeros((2, 65, 90, 3))):
        assert outputs["logits"].shape == (2, 65, 90, 7)
        assert outputs["coarse_logits"].shape == (2, 17, 23, 7)
        assert "mask_logits" in outputs
