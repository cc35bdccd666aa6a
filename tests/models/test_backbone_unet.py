"""U-Net on a backbone: smp's counts, use of every skip, both forms, invalid fields."""

import functools

import jax
import numpy as np
import pytest
from flax import traverse_util

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import PLAIN, Compute
from jaxseg.models.backbone_unet import BackboneUNet
from jaxseg.models.compat import smp_unet
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, ThreeMaps, images

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "BackboneUNet": [BackboneUNet(5, MobileNetV2(output_stride=32), ("layer_4", "layer_2"))],
}


SMALL = BackboneUNet(3, ThreeMaps(), ("stage3", "stage1"), (4, 4, 4, 4), compute=PLAIN)


@pytest.mark.parametrize(
    ("depth", "parameters"), [(18, 14_331_109), (34, 24_439_269), (50, 32_524_005)]
)
def test_counts_equal_smp(depth, parameters):
    assert count(shapes_of(smp_unet(depth, 21))) == parameters


@pytest.mark.parametrize("size", [(32, 48), (37, 30)])
def test_every_skip_is_used(size):
    """Zeroing the part of a kernel for the skip, or for the upsampled map, changes the logits."""
    variables = random_variables(SMALL)
    run = jax.jit(functools.partial(SMALL.apply, train=False), compiler_options=QUICK)
    x = images(size)
    before = run(variables, x)["logits"]
    assert before.shape == (1, *size, 3)
    flat = traverse_util.flatten_dict(variables)
    for step, below in ((1, 8), (2, 4)):  # channels of the upsampled map; the skip has the other 8
        path = ("params", f"up{step}_conv1", "kernel")
        assert flat[path].shape[2] == below + 8
        for half in (slice(0, below), slice(below, None)):
            kernel = flat[path].copy()
            kernel[:, :, half] = 0
            changed = traverse_util.unflatten_dict(flat | {path: kernel})
            assert np.abs(run(changed, x)["logits"] - before).max() > 1e-3


def test_both_forms_are_equal_whether_or_not_sizes_double():
    variables = random_variables(SMALL)
    for size in ((16, 32), (19, 14)):
        plain, fast = (
            jax.jit(
                functools.partial(SMALL.clone(compute=Compute(form=form)).apply, train=False),
                compiler_options=QUICK,
            )(variables, images(size))["logits"]
            for form in ("plain", "fast")
        )
        np.testing.assert_allclose(plain, fast, atol=1e-4 * np.abs(plain).max())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"skips": ("stage3", "pool1")}, "skips contains pool1: the backbone has stem, stage1"),
        ({"step_features": (8, 8, 8, 8)}, "step_features has 4 steps: 4 skips need at least 5"),
    ],
)
def test_invalid_fields_are_refused(fields, says):
    model = BackboneUNet(3, ResNet(depth=18, width=4, output_stride=32)).clone(**fields)
    with pytest.raises(ValueError, match=says):
        shapes_of(model)
