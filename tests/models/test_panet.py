"""PANet: the counts of the authors' code, and each component by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Pooling
from jaxseg.models.faster_rcnn import FROZEN
from jaxseg.models.panet import GROUPS, FusionMaskHead, PathAggregation, panet
from tests.helpers.variables import count
from tests.models.networks import QUICK
from tests.models.test_mask_rcnn import FROZEN_STEM, frozen_free, tiny


def test_published_counts():
    """73,080,837 trained ones for ResNet-50 and 80 classes."""
    assert frozen_free(panet(80))[1] == 73_080_837 + FROZEN_STEM


@pytest.mark.parametrize(
    ("head", "levels", "size", "parameters"),
    [
        # The authors' box branch of 17,393,557 less its predictor of 81 and 324 outputs.
        (ConvFCHead(convs=4, fcs=1, norm=GROUPS), 4, 7, 17_393_557 - 1025 * 405),
        (ConvFCHead(), 4, 7, 13_895_680 + 3 * (49 * 256 + 1) * 1024),
        (FusionMaskHead(norm=GROUPS), 4, 14, 24_970_849),
        (FusionMaskHead(), 1, 14, 2_643_537 + 19_669_776 + 590_080 + 295_040),
        (FusionMaskHead(fusion=False), 1, 14, 2_643_537),
    ],
)
def test_counts_of_heads(head, levels, size, parameters):
    maps = [jnp.zeros((1, size, size, 256))] * levels
    given = (81,) if isinstance(head, FusionMaskHead) else ()
    variables = jax.eval_shape(lambda: head.init(jax.random.key(0), maps, *given, train=False))
    assert count(variables) == parameters


def test_the_maximum_over_levels_goes_on():
    rng = np.random.default_rng(0)
    maps = [jnp.asarray(rng.normal(size=(2, 3, 3, 2)).astype(np.float32)) for _ in range(3)]
    head = ConvFCHead(fcs=1, fc_features=4)
    headed, variables = jax.jit(
        lambda: head.init_with_output(jax.random.key(0), maps, train=False), compiler_options=QUICK
    )()
    own = []
    for number, x in enumerate(maps, start=1):
        layer = variables["params"][f"fc1_level{number}"]
        own.append(np.maximum(x.reshape(2, -1) @ layer["kernel"] + layer["bias"], 0))
    np.testing.assert_allclose(headed.vectors, np.max(own, axis=0), atol=1e-5)


def test_the_branch_is_added_to_every_class():
    rng = np.random.default_rng(0)
    x = [jnp.asarray(rng.normal(size=(2, 4, 4, 3)).astype(np.float32))]
    head = FusionMaskHead(features=4, size=4)
    masks, variables = jax.jit(
        lambda: head.init_with_output(jax.random.key(0), x, 3, train=False), compiler_options=QUICK
    )()
    alone = jax.jit(
        lambda: head.clone(fusion=False).apply(variables, x, 3, train=False), compiler_options=QUICK
    )()
    branch = np.asarray(masks - alone)
    assert masks.shape == (2, 8, 8, 3)
    assert branch.max() > 0
    np.testing.assert_allclose(branch, branch[..., :1].repeat(3, axis=-1), atol=1e-6)


GROUP = Norm("group", groups=4)
ROWS = {
    "all": {},
    "no path": {"neck": PathAggregation(8, bottom_up=False, norm=GROUP)},
    "no pooling": {"pooling": Pooling()},
    "no fusion": {"mask_head": FusionMaskHead(fusion=False, features=8, norm=GROUP)},
    "no heavy head": {"box_head": ConvFCHead(fc_features=8)},
}


@pytest.mark.parametrize(
    "row", ["all", *(pytest.param(row, marks=pytest.mark.slow) for row in ROWS if row != "all")]
)
def test_each_component_is_a_field(row):
    fields = {
        "neck": PathAggregation(8, norm=GROUP),
        "pooling": Pooling(adaptive=True),
        "box_head": ConvFCHead(convs=2, fcs=1, conv_features=8, fc_features=8, norm=GROUP),
        "mask_head": FusionMaskHead(features=8, norm=GROUP),
    }
    model = tiny(**fields | ROWS[row])
    assert model.backbone.norm == FROZEN
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
    )["params"]
    assert ("bottom_up" in shapes["neck"]) == (row != "no path")
    assert ("conv1_level4" in shapes["mask_head"]) == (row != "no pooling")
    assert ("branch_fc" in shapes["mask_head"]) == (row != "no fusion")
    assert ("conv1" in shapes["box_head"] or "conv1_level1" in shapes["box_head"]) == (
        row != "no heavy head"
    )
