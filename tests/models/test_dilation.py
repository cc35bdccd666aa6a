"""Dilated convolutions: published counts, sizes and fields; mirror padding; identity init."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.dilation import camvid
from experiments.dilation import cityscapes as dilation10_cityscapes
from jaxseg.checks import experiment as checks
from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN
from jaxseg.models.dilation import (
    CONTEXT_7,
    CONTEXT_8,
    CONTEXT_10,
    LARGE,
    ContextModule,
    Dilation,
    front_end_backbone,
    identity_init,
)
from jaxseg.training import optim
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "Dilation": [
        Dilation(5, front_end_backbone().clone(depth=11), (2, 4), (2, 1), pad_first=True),
        Dilation(5, front_end_backbone().clone(depth=11), upsampling="deconvolution"),
    ],
}


FRONT_END = Dilation(21, front_end_backbone())
SMALL = Dilation(  # VGG-11: 155 pixels on each side
    3, front_end_backbone().clone(depth=11, width=2), CONTEXT_8, head_features=4, compute=PLAIN
)


@pytest.mark.parametrize(
    ("classes", "front_end", "basic", "ten", "large"),
    [
        (21, 134_346_581, 28_392, 36_372, 6_803_139),
        (11, 134_305_611, 7_832, 10_032, 1_867_129),
        (19, 134_338_387, 23_256, 29_792, 5_569_185),
    ],
)
def test_published_counts(classes, front_end, basic, ten, large):
    def context(rates, widths=()):
        module = ContextModule(classes, rates, widths)
        x = jnp.zeros((1, 2, 2, classes))
        return count(jax.eval_shape(lambda: module.init(jax.random.key(0), x)))

    assert (context(CONTEXT_8), context(CONTEXT_10)) == (basic, ten)
    assert context(CONTEXT_8, LARGE) == large
    assert count(shapes_of(FRONT_END.clone(num_classes=classes), (8, 8))) == front_end


def test_the_released_networks_have_their_published_counts():
    fields = {"context_rates": CONTEXT_8, "context_widths": LARGE, "pad_first": True}
    assert count(shapes_of(FRONT_END.clone(**fields), (8, 8))) == 141_149_720  # VOC
    cityscapes = FRONT_END.clone(
        num_classes=19, context_rates=CONTEXT_10, upsampling="deconvolution"
    )
    assert count(shapes_of(cityscapes, (8, 8))) == 134_368_179


def test_the_stages_of_the_recipes():
    """Crops have 8 k + 1 pixels; the second stage trains only the context module."""
    stages = [dilation10_cityscapes.get_config(stage) for stage in dilation10_cityscapes.STAGES]
    stages += [camvid.get_config(stage) for stage in ("front_end", "joint")]
    for experiment in stages:
        checks.check(experiment)
        assert all(side % 8 == 1 for side in experiment.data.crop_size)
    context = stages[1]
    params = shapes_of(context.model, (8, 8))["params"]
    factors = optim.learning_rate_factors(params, context.optim.multipliers)
    learned = {top for top, tree in factors.items() if any(jax.tree.leaves(tree))}
    assert learned == {"context"}
    with pytest.raises(ValueError, match="stage is 'both'"):
        dilation10_cityscapes.get_config("both")


def test_published_sizes():
    """Maps pixels, including the mirrored border of 186, to rows of the map."""
    model = FRONT_END.clone(mirror=False)
    assert model.margin == 186
    for side, rows in ((900, 66), (628, 32), (500, 16), (852, 60), (1396, 128)):
        x = jnp.zeros((1, side, 380, 3))
        outputs = jax.eval_shape(
            lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0], x
        )
        assert outputs["coarse_logits"].shape == (1, rows, 1, 21)
        assert outputs["logits"].shape == (1, side - 372, 8, 21)


def test_published_receptive_fields():
    """380 pixels for the front end; Table 1 in pixels of its map of stride 8."""
    model = FRONT_END.clone(
        backbone=FRONT_END.backbone.clone(width=1), head_features=1, context_rates=CONTEXT_8
    )
    rows = {row.path: row for row in summary.summarize(model, (64, 72)).layers}
    assert (rows["head/fc6"].field, rows["head/fc6"].stride) == (380, 8)
    names = [*(f"layer{n}" for n in range(1, 8)), "final"]
    context = [(rows[f"context/{name}"].field - 380) // 8 + 1 for name in names]
    assert context == [3, 5, 9, 17, 33, 65, 67, 67]
    assert rows["context/final"].shape == (8, 9, 21)


def test_rates_follow_the_output_stride():
    model = FRONT_END.clone(backbone=front_end_backbone().clone(width=1, output_stride=4))
    assert model.margin == 186
    layers = summary.summarize(model.clone(head_features=1, context_rates=CONTEXT_7), (8, 8)).layers
    rates = {row.path: row.rate for row in layers}
    assert [rates[f"backbone/conv{n}_1"] for n in (3, 4, 5)] == [1, 2, 4]
    assert rates["head/fc6"] == 8
    assert [rates[f"context/layer{n}"] for n in range(1, 7)] == [2 * rate for rate in CONTEXT_7]


def _run(model):
    return jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)


@pytest.fixture(scope="module")
def variables():
    return random_variables(SMALL, (8, 8))


def test_the_image_is_padded_by_reflection(variables):
    """Padding equals NumPy's for any size, including images that are reflected several times."""
    model = SMALL.clone(context_rates=())
    x = images((13, 2))
    border = model.margin
    assert border == 155
    edges = [(0, 0), (border, border + 3), (border, border + 6), (0, 0)]
    by_hand = _run(model.clone(mirror=False))(variables, np.pad(x, edges, mode="reflect"))
    ours = _run(model)(variables, x)
    np.testing.assert_allclose(ours["coarse_logits"], by_hand["coarse_logits"], atol=1e-5)
    np.testing.assert_allclose(ours["logits"], by_hand["logits"][:, :13, :2], atol=1e-5)


def test_a_front_end_that_pads_has_no_margin():
    model = SMALL.clone(backbone=SMALL.backbone.clone(padding=True))
    assert model.margin == 0
    outputs, variables = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), jnp.zeros((1, 18, 23, 3)), train=False)
    )
    assert outputs["features"].shape[1:3] == outputs["coarse_logits"].shape[1:3] == (3, 3)
    assert variables == shapes_of(SMALL, (8, 8))


def test_probabilities_are_interpolated_between_every_eighth_pixel(variables):
    outputs = _run(SMALL)(variables, images((18, 23)))
    coarse, logits = (np.asarray(outputs[key], float) for key in ("coarse_logits", "logits"))
    probabilities = np.exp(coarse) / np.exp(coarse).sum(-1, keepdims=True)
    for axis, side in ((1, 18), (2, 23)):
        place = functools.partial(np.interp, np.arange(side) / 8, np.arange(3))
        probabilities = np.apply_along_axis(place, axis, probabilities)
    np.testing.assert_allclose(np.exp(logits), probabilities, atol=1e-5)


@pytest.mark.parametrize(("widths", "pad_first"), [((), False), (LARGE[:4], True)])
def test_without_noise_the_context_module_passes_positive_scores_on(widths, pad_first):
    """The output is max(score, 0), because of the first ReLU, and 0 if any layer is zeroed."""
    scores = np.random.default_rng(0).normal(size=(1, 5, 6, 2)).astype(np.float32)
    module = ContextModule(2, CONTEXT_8[:4], widths, pad_first, noise=0.0, compute=PLAIN)
    variables = jax.jit(module.init, compiler_options=QUICK)(jax.random.key(0), scores)
    run = jax.jit(module.apply, compiler_options=QUICK)
    np.testing.assert_allclose(run(variables, scores), np.maximum(scores, 0), atol=1e-6)
    for name, layer in variables["params"].items():
        without = variables["params"] | {name: jax.tree.map(jnp.zeros_like, layer)}
        assert not run({"params": without}, scores).any()


def test_a_random_start_is_not_the_identity():
    scores = np.random.default_rng(0).normal(size=(1, 5, 6, 2)).astype(np.float32)
    module = ContextModule(2, (1, 2), start="random", compute=PLAIN)
    run = jax.jit(module.init_with_output, compiler_options=QUICK)
    out, _ = run(jax.random.key(0), scores)
    assert np.abs(out - np.maximum(scores, 0)).max() > 0.3


def test_the_identity_start_is_equation_5():
    """For 2 classes, 4 inputs and 8 outputs, centre weights within a class are 2 / 8."""
    start = jax.jit(identity_init(2, 0.01), static_argnums=1, compiler_options=QUICK)
    kernel = np.asarray(start(jax.random.key(0), (3, 3, 4, 8)))
    same = np.arange(4)[:, None] * 2 // 4 == np.arange(8) * 2 // 8
    np.testing.assert_array_equal(kernel[1, 1][same], 0.25)
    rest = np.concatenate([kernel[1, 1][~same], np.delete(kernel.reshape(9, -1), 4, 0).ravel()])
    assert rest.std() == pytest.approx(0.01, rel=0.2)
    assert np.abs(rest).max() < 0.05


@pytest.mark.parametrize(
    ("model", "size", "says"),
    [
        (SMALL.clone(upsampling="bilinear"), (8, 8), "upsampling is 'bilinear'"),
        (SMALL.clone(mirror=False), (318, 320), "minus 155 pixels on each side are not a multiple"),
        (SMALL.clone(mirror=False), (310, 318), "are not a multiple of 8"),
        (SMALL.clone(context_widths=(2,)), (8, 8), "1 context_widths for 7 context_rates"),
        (SMALL.clone(context_start="zero"), (8, 8), "context_start is 'zero'"),
        (SMALL.clone(backbone=SMALL.backbone.clone(output_stride=16)), (8, 8), "not a whole rate"),
    ],
)
def test_invalid_fields_and_sizes_are_refused(model, size, says):
    with pytest.raises(ValueError, match=says):
        shapes_of(model, size)
