"""U-Net: the sizes and counts of Figure 1, use of every skip, mirror padding, overlap tiles."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxseg.layers.compute import PLAIN
from jaxseg.layers.norm import Norm
from jaxseg.layers.unpool import max_pool_with_places
from jaxseg.layers.upsample import Upsample
from jaxseg.models.unet import UNet, _middle
from tests.helpers.variables import count, random_variables
from tests.models.networks import QUICK

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "UNet": [UNet(5, norm=Norm(), valid=False), UNet(5, levels=3, dropout=0.0)],
}


def shapes_of(model, size, channels):
    images = jnp.zeros((1, *size, channels))
    return jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images, train=False))


@pytest.mark.parametrize(
    ("channels", "classes", "published"),
    [
        (1, 2, 31_030_658),
        (3, 2, 31_031_810),
        (3, 11, 31_032_395),
        (3, 12, 31_032_460),
        (3, 21, 31_033_045),
    ],
)
def test_published_counts(channels, classes, published):
    for valid in (True, False):
        _, variables = shapes_of(UNet(classes, valid=valid), (188, 188), channels)
        assert count(variables) == published


def test_figure_1():
    """Checks the size of every map: 572 in, 388 out."""
    model = UNet(2, mirror=False)
    seen = {}

    def record(call, arguments, keywords, context):
        result = call(*arguments, **keywords)
        if context.module.name and not isinstance(result, dict):
            seen[context.module.name] = result.shape[1]
        return result

    with nn.intercept_methods(record):
        outputs, _ = shapes_of(model, (572, 572), 1)
    assert outputs["logits"].shape == (1, 388, 388, 2)
    downs = [(seen[f"down{n}_conv1"], seen[f"down{n}_conv2"]) for n in range(5)]
    assert downs == [(570, 568), (282, 280), (138, 136), (66, 64), (30, 28)]
    ups = [(seen[f"up{n}"], seen[f"up{n}_conv1"], seen[f"up{n}_conv2"]) for n in (3, 2, 1, 0)]
    assert ups == [(56, 54, 52), (104, 102, 100), (200, 198, 196), (392, 390, 388)]
    assert (model.border, model.smallest) == (92, 188)
    legal = [side for side in range(188, 300) if model.padded(side) == side]
    assert legal == list(range(188, 300, 16))  # 16 k + 60


@pytest.mark.parametrize("valid", [True, False])
def test_every_skip_is_used(valid):
    """Zeroing the part of a kernel for the skip, or for the upsampled map, changes the logits."""
    model = UNet(3, width=2, levels=3, valid=valid, compute=PLAIN)
    x = np.random.default_rng(0).normal(size=(1, 20, 20, 3)).astype(np.float32)
    variables = random_variables(model, (20, 20))
    run = jax.jit(lambda v: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)
    before = run(variables)
    flat = traverse_util.flatten_dict(variables)
    for level in range(2):
        path = ("params", f"up{level}_conv1", "kernel")
        skip = flat[path].shape[2] // 2
        for half in (slice(0, skip), slice(skip, None)):
            kernel = flat[path].copy()
            kernel[:, :, half] = 0
            changed = traverse_util.unflatten_dict(flat | {path: kernel})
            assert np.abs(run(changed) - before).max() > 1e-3


@pytest.mark.parametrize("valid", [True, False])
@pytest.mark.parametrize("kind", ["nearest", "bed_of_nails", "max_unpooling", "bilinear"])
def test_upsampling_is_a_choice(kind, valid):
    """A 1x1 convolution replaces the transposed 2x2 one; sizes do not change."""
    model = UNet(2, width=2, levels=3, valid=valid)
    outputs, reference = shapes_of(model, (21, 30), 3)
    others, variables = shapes_of(model.clone(upsampling=kind), (21, 30), 3)
    assert others == outputs
    fewer = 3 * (8 * 4 + 4 * 2)  # one tap instead of four
    assert count(variables) == count(reference) - fewer


def test_unpooling_uses_the_places_under_the_cropped_skip():
    """Valid convolutions crop both sides equally, so they are the central ones."""
    model = UNet(2, width=2, levels=3, upsampling="max_unpooling", compute=PLAIN)
    x = np.random.default_rng(0).normal(size=(1, 20, 20, 3)).astype(np.float32)
    skips, places = {}, {}

    def record(call, arguments, keywords, context):
        result, module = call(*arguments, **keywords), context.module
        if module.name in ("down0_conv2", "down1_conv2"):
            skips[result.shape[-1]] = nn.relu(result)
        if isinstance(module, Upsample):
            places[result.shape[-1]] = arguments[2]
        return result

    with nn.intercept_methods(record):
        model.apply(random_variables(model, (20, 20)), x, train=False)
    assert set(skips) == set(places) == {2, 4}
    for channels, its in places.items():
        beside = _middle(skips[channels], tuple(2 * n for n in its.shape[1:3]))
        assert beside.shape != skips[channels].shape
        np.testing.assert_array_equal(its, max_pool_with_places(beside)[1])


def test_mirrored_borders_are_overlap_tiles():
    """One pass over an image equals passes over its tiles, each with its required border."""
    model = UNet(2, width=2, levels=3, compute=PLAIN)
    tile = UNet(2, width=2, levels=3, mirror=False, compute=PLAIN)
    border, step = model.border, 4  # shifts by multiples of it keep the grids of all levels aligned
    assert model._through(model.padded(24 + 2 * border)) == 24
    variables = random_variables(model, (24, 24))
    x = np.random.default_rng(0).normal(size=(1, 24, 32, 3)).astype(np.float32)
    whole = model.apply(variables, x, train=False)["logits"]
    edges = [(0, 0), (border, border), (border, border), (0, 0)]
    mirrored = np.pad(x, edges, mode="reflect")
    side = tile._through(tile.smallest)
    run = jax.jit(functools.partial(tile.apply, train=False), compiler_options=QUICK)
    assert side == step
    for top, left in [(0, 0), (8, 4), (20, 28)]:
        part = mirrored[:, top : top + tile.smallest, left : left + tile.smallest]
        logits = run(variables, part)["logits"]
        np.testing.assert_allclose(
            logits, whole[:, top : top + side, left : left + side], atol=1e-4
        )


def test_an_image_a_tenth_of_its_border_is_reflected_repeatedly():
    x = np.random.default_rng(0).normal(size=(1, 9, 1, 3)).astype(np.float32)
    model = UNet(2, width=1, compute=PLAIN)
    outputs, _ = shapes_of(model, (9, 1), 3)
    assert outputs["logits"].shape == (1, 9, 1, 2)
    ours = model._mirror_padded(x)
    assert ours.shape == (1, 204, 188, 3)


@pytest.mark.parametrize(
    ("model", "size", "says"),
    [
        (UNet(2, mirror=False), (570, 572), "use 572 pixels instead of 570"),
        (UNet(2, mirror=False), (188, 100), "use 188 pixels instead of 100"),
        (UNet(2, levels=1), (64, 64), "levels is 1"),
    ],
)
def test_invalid_sizes_and_levels_are_refused(model, size, says):
    with pytest.raises(ValueError, match=says):
        shapes_of(model, size, 1)
