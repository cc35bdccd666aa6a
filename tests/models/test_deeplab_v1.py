"""DeepLab v1: published counts, sizes and receptive fields; both forms of the direct paths."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN
from jaxseg.models.deeplab_v1 import (
    DIRECT,
    DeepLabV1,
    DirectPath,
    large_fov_backbone,
    last_direct_init,
    small_window_backbone,
)
from tests.helpers.variables import random_variables
from tests.models.networks import QUICK, images, parameters

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "DeepLabV1": [
        DeepLabV1(5, large_fov_backbone().clone(depth=11), msc_features=4),
        DeepLabV1(5, small_window_backbone().clone(depth=11), 4, 8, average_pool=False),
    ],
}


LARGE_FOV = DeepLabV1(21, large_fov_backbone())
ROWS = {  # of the table of fields of view, with 4096 features and without pool5a
    "7x7, rate 4": DeepLabV1(21, small_window_backbone(), 7, 4, 4096, average_pool=False),
    "4x4, rate 4": DeepLabV1(21, small_window_backbone(), 4, 4, 4096, average_pool=False),
    "4x4, rate 8": DeepLabV1(21, small_window_backbone(), 4, 8, 4096, average_pool=False),
    "LargeFOV": LARGE_FOV,
    "LargeFOV, 11 classes": LARGE_FOV.clone(num_classes=11),
    "LargeFOV, 19 classes": LARGE_FOV.clone(num_classes=19),
    "MSc-LargeFOV": LARGE_FOV.clone(msc_features=128),
    "MSc": DeepLabV1(21, large_fov_backbone(), 4, 4, 4096, False, msc_features=128),
}


def small(model, **fields):
    """Returns the model with few channels, on VGG-11."""
    backbone = model.backbone.clone(width=2, depth=11)
    return model.clone(num_classes=3, backbone=backbone, head_features=4, compute=PLAIN, **fields)


@pytest.mark.parametrize(
    ("row", "published"),
    [
        ("7x7, rate 4", 134_346_581),
        ("4x4, rate 4", 65_140_565),
        ("4x4, rate 8", 65_140_565),
        ("LargeFOV", 20_505_429),
        ("LargeFOV, 11 classes", 20_495_179),
        ("LargeFOV, 19 classes", 20_503_379),
        ("MSc-LargeFOV", 21_711_550),
        ("MSc", 66_346_686),
    ],
)
def test_published_counts(row, published):
    assert parameters(ROWS[row]) == published


@pytest.mark.parametrize(("row", "field"), [("LargeFOV", 435), ("4x4, rate 4", 308)])
def test_published_receptive_fields(row, field):
    """The receptive field of fc6 including poolings; the paper's 224 and 128 are nominal."""
    model = ROWS[row].clone(head_features=1, backbone=ROWS[row].backbone.clone(width=1))
    layers = summary.summarize(model, (97, 97)).layers
    assert [layer.field for layer in layers if layer.path == "head/fc6"] == [field]


@pytest.mark.parametrize(
    ("row", "side", "rows"),
    [("LargeFOV", 321, 41), ("LargeFOV", 513, 65), ("4x4, rate 4", 306, 39)],
)
def test_published_sizes(row, side, rows):
    outputs = jax.eval_shape(
        lambda: ROWS[row].init_with_output(
            jax.random.key(0), jnp.zeros((1, side, 33, 3)), train=False
        )[0]
    )
    assert outputs["coarse_logits"].shape[1] == rows
    assert outputs["logits"].shape == (1, side, 33, 21)


def test_the_rate_spans_the_same_part_of_the_image_at_every_output_stride():
    """Rate 12 is 3 times the law's 4, so it becomes 24 at output stride 4 and 6 at 16."""
    for output_stride, rate in ((4, 24), (8, 12), (16, 6), (32, 3)):
        model = small(LARGE_FOV)
        model = model.clone(backbone=model.backbone.clone(output_stride=output_stride))
        assert model.backbone.head_rate * 3 == rate
        layers = summary.summarize(model, (33, 33)).layers
        assert [layer.rate for layer in layers if layer.path == "head/fc6"] == [rate]


def test_a_fractional_rate_is_refused():
    model = small(LARGE_FOV, rate=3)
    model = model.clone(backbone=model.backbone.clone(output_stride=16))
    with pytest.raises(ValueError, match=r"stated at output stride 8: .* 16 that is 1\.5"):
        jax.eval_shape(
            lambda: model.init(jax.random.key(0), jnp.zeros((1, 33, 33, 3)), train=False)
        )


def _changed(variables, *path):
    """Returns the variables with one leaf set to zero."""
    if len(path) == 1:
        return variables | {path[0]: jnp.zeros_like(variables[path[0]])}
    return variables | {path[0]: _changed(variables[path[0]], *path[1:])}


def test_multi_scale_features_on_the_image_and_on_the_map():
    """On images of 8 k + 1 pixels, every 8th of the logits, whose direct paths are evaluated at all
    pixels, equals "coarse_logits", whose paths have strides. Each path affects both.
    """
    model = small(LARGE_FOV, msc_features=3)
    x = images((33, 41))
    variables = random_variables(model)
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    before = run(variables, x)
    assert before["coarse_logits"].shape == (1, 5, 6, 3)
    np.testing.assert_allclose(before["logits"][:, ::8, ::8], before["coarse_logits"], atol=1e-4)
    coarse = jax.image.resize(before["coarse_logits"], before["logits"].shape, "linear")
    assert np.abs(coarse - before["logits"]).max() > 0.1  # details that the coarse map lacks
    for name in DIRECT:
        without = run(_changed(variables, "params", f"direct_{name}", "classifier", "kernel"), x)
        for key in ("logits", "coarse_logits"):
            assert np.abs(without[key] - before[key]).max() > 1e-2


def test_direct_paths_are_initialised_as_in_the_released_configuration():
    """Standard deviations are 0.001, 0.005 (for pool4) and 0.01; biases are 0."""
    path = DirectPath(3, 64, second_init=last_direct_init)
    init = jax.jit(functools.partial(path.init, stride=1, train=False), compiler_options=QUICK)
    params = init(jax.random.key(0), jnp.zeros((1, 1, 1, 16)))["params"]
    for name, deviation in (("conv1", 0.001), ("conv2", 0.005), ("classifier", 0.01)):
        assert np.std(params[name]["kernel"]) == pytest.approx(deviation, rel=0.15)
        assert not params[name]["bias"].any()
