"""SegNet-Basic and Table 1: published counts, sizes and fields; use of every index and map."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.segnet import basic_camvid, camvid
from jaxseg.inspection import summary
from jaxseg.layers.compute import Compute
from jaxseg.layers.lrn import local_response_norm
from jaxseg.layers.upsample import Upsample
from jaxseg.models.segnet_basic import SegNetBasic, bilinear_interpolation, fcn_basic
from jaxseg.pixels import Normalisation
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "SegNetBasic": [SegNetBasic(5, stages=3, decoder="depthwise", encoder_addition=True)],
    "fcn_basic": [fcn_basic(5)],
    "bilinear_interpolation": [bilinear_interpolation(5)],
}


WITHOUT_BIAS = functools.partial(SegNetBasic, 11, use_bias=False)
TABLE_1 = {  # row: network and parameters in millions
    "Bilinear-Interpolation": (bilinear_interpolation(11), 0.625),
    "SegNet-Basic": (WITHOUT_BIAS(), 1.425),
    "SegNet-Basic-EncoderAddition": (WITHOUT_BIAS(encoder_addition=True), 1.425),
    "SegNet-Basic-SingleChannelDecoder": (WITHOUT_BIAS(decoder="depthwise"), 0.625),
    "FCN-Basic": (fcn_basic(11), 0.65),
    "FCN-Basic-NoAddition": (fcn_basic(11, encoder_addition=False), 0.65),
    "FCN-Basic-NoDimReduction": (fcn_basic(11, reduce=False), 1.625),
    "FCN-Basic-NoAddition-NoDimReduction": (
        fcn_basic(11, encoder_addition=False, reduce=False),
        1.625,
    ),
}


@pytest.mark.parametrize(
    ("classes", "released", "without_bias"),
    [(11, 1_416_587, 1_416_064), (12, 1_416_652, 1_416_128)],
)
def test_published_counts(classes, released, without_bias):
    assert count(shapes_of(SegNetBasic(classes))) == released
    assert count(shapes_of(SegNetBasic(classes, use_bias=False))) == without_bias


@pytest.mark.parametrize("row", TABLE_1)
def test_counts_of_table_1(row):
    """To the nearest 25 thousand, but 2 % more without dimensionality reduction (unsure)."""
    model, published = TABLE_1[row]
    number = count(shapes_of(model)) / 1e6
    if "NoDimReduction" in row:
        assert number == pytest.approx(1.661312)
        assert number == pytest.approx(published, rel=0.025)
    else:
        assert round(number / 0.025) * 0.025 == pytest.approx(published)


@pytest.mark.parametrize("row", TABLE_1)
def test_published_sizes(row):
    """360 x 480 gives 23 x 30 maps; unpooling restores odd sizes; 106 pixels are seen."""
    model, _ = TABLE_1[row]
    layers = summary.summarize(model.clone(width=2), (360, 480)).layers
    pools = [layer for layer in layers if layer.kind == "max pool 2x2"]
    assert [layer.shape[:2] for layer in pools] == [(180, 240), (90, 120), (45, 60), (23, 30)]
    assert [layer.field for layer in pools] == [8, 22, 50, 106]
    assert layers[-1].shape[2] == 11


def pool(x):
    """Returns the maxima of 2 x 2 windows and a map of their positions (the first among ties)."""
    batch, height, width, channels = x.shape
    best = np.zeros((batch, -(-height // 2), -(-width // 2), channels), x.dtype)
    here = np.zeros(x.shape, bool)
    for b, i, j, c in np.ndindex(*best.shape):
        window = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        row, column = np.unravel_index(window.argmax(), window.shape)
        best[b, i, j, c] = window[row, column]
        here[b, 2 * i + row, 2 * j + column, c] = True
    return best, here


def spread(x, kernel):
    """Applies an 8 x 8 transposed convolution of stride 2, cropped equally on each side."""
    batch, height, width, _ = x.shape
    y = np.zeros((batch, 2 * height + 6, 2 * width + 6, kernel.shape[3]), x.dtype)
    for i, j in np.ndindex(height, width):
        part = np.einsum("bc,tuco->btuo", x[:, i, j], kernel)
        y[:, 2 * i : 2 * i + 8, 2 * j : 2 * j + 8] += part
    return y[:, 3:-3, 3:-3]


def written_out(model, variables, x, added=(1, 2, 3)):
    """Computes the logits layer by layer; `added` are the pooled maps passed to the decoder."""
    params, stats = variables["params"], variables["batch_stats"]

    def conv(x, name):
        kernel = params[name]["kernel"]
        groups = x.shape[-1] // kernel.shape[2]
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups
        )
        return np.asarray(y) + params[name].get("bias", 0)

    def norm(x, name):
        x = (x - stats[name]["mean"]) / np.sqrt(stats[name]["var"] + 1e-9)
        return x * params[name]["scale"] + params[name]["bias"]

    x = np.asarray(local_response_norm(x))
    maps, places = [x], []
    for stage in range(1, 5):
        x, here = pool(np.maximum(norm(conv(x, f"conv{stage}"), f"norm{stage}"), 0))
        maps.append(x)
        places.append(here)
    if model.reduce:
        x = conv(x, "reduce4")
    for stage in range(4, 0, -1):
        height, width = places[stage - 1].shape[1:3]
        if model.upsampling == "transposed":
            x = spread(x, params[f"upsample{stage}"]["kernel"])[:, :height, :width]
        else:
            x = x.repeat(2, 1).repeat(2, 2)[:, :height, :width] * places[stage - 1]
        if model.decoder != "none":
            x = norm(conv(x, f"conv_decode{stage}"), f"norm_decode{stage}")
        if model.encoder_addition and stage - 1 in added:
            skip = maps[stage - 1]
            x = x + (conv(skip, f"reduce{stage - 1}") if model.reduce else skip)
    return x if model.reduce else conv(x, "classifier")


@pytest.mark.parametrize(
    "model",
    [
        SegNetBasic(3, width=2, encoder_addition=True),
        SegNetBasic(3, width=2, encoder_addition=True, decoder="depthwise", use_bias=False),
        fcn_basic(3).clone(width=2),
        fcn_basic(3, reduce=False).clone(width=2),
    ],
    ids=["conv", "depthwise", "fcn", "fcn_not_reduced"],
)
def test_the_family_matches_a_reimplementation(model):
    """Each added map changes the logits."""
    x = 100 * images((21, 26))  # so that LRN has an effect
    variables = random_variables(model)
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    ours = run(variables, x)["logits"]
    scale = np.abs(ours).max()
    np.testing.assert_allclose(written_out(model, variables, x), ours, atol=1e-4 * scale)
    for left_out in (1, 2, 3):
        added = {1, 2, 3} - {left_out}
        changed = written_out(model, variables, x, added)
        assert np.abs(changed - ours).max() > 1e-3 * scale, left_out


def test_every_index_is_used():
    """Unpooling the values of one stage to the first pixel of their windows changes the logits."""
    model = SegNetBasic(3, width=2, kernel_size=3, compute=Compute(form="fast"))
    x = images((33, 37))
    variables = random_variables(model)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(variables, cornered):
        def change(call, arguments, keywords, context):
            if isinstance(context.module, Upsample):
                y, size, places = arguments
                stage = int(context.module.name.removeprefix("upsample"))
                arguments = (y, size, jnp.where(cornered == stage, 0, places))
            return call(*arguments, **keywords)

        with nn.intercept_methods(change):
            return model.apply(variables, x, train=False)["logits"]

    before = run(variables, 0)
    for stage in range(1, 5):
        assert np.abs(run(variables, stage) - before).max() > 1e-3, stage


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"decoder": "dense"}, "decoder is 'dense': it must be one of conv, depthwise, none"),
        ({"reduce": True, "decoder": "none"}, "reduce leaves 3 channels"),
        ({"reduce": True, "upsampling": "bilinear"}, "use another upsampling, and decoder='none'"),
    ],
)
def test_incompatible_fields_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        shapes_of(SegNetBasic(3, **fields))


def test_the_recipes_of_the_study_and_the_release():
    """Both use SGD at 0.1, batches of 12 or 4, raw pixels and the released class weights."""
    for size, batch, bias in (("full", 12, False), ("release", 4, True)):
        built = basic_camvid.get_config(size)
        assert built.model == SegNetBasic(11, use_bias=bias)
        assert (built.data.batch_size, built.optim.learning_rate) == (batch, 0.1)
        assert built.data.normalisation == Normalisation((0, 0, 0), (1, 1, 1))
        assert built.loss.class_weights == camvid.RELEASED
    with pytest.raises(ValueError, match="must be small, full or release"):
        basic_camvid.get_config("paper")
