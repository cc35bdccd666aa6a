"""EncNet: published counts, the Encoding Layer against loops, and the use of the encoding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.compute import PLAIN
from jaxseg.models.encnet import ContextEncoding, EncNet, encnet_backbone, encode
from tests.helpers.variables import random_variables, shapes_of
from tests.models.networks import QUICK, EndPoints, ThreeMaps, images, parameters

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "EncNet": [
        EncNet(5, encnet_backbone(18), lateral=True, codewords=3),
        EncNet(5, encnet_backbone(18), codewords=3, aggregation="sum", se_loss=False),
    ],
}


@pytest.mark.parametrize(
    ("depth", "classes", "lateral", "with_aux", "without"),
    [
        (50, 59, True, 43_915_217, 41_540_246),
        (101, 59, True, 62_907_345, 60_532_374),
        (50, 150, False, 36_164_578, 33_766_220),
        (101, 150, False, 55_156_706, 52_758_348),
        (101, 21, True, 62_858_591, 60_493_386),
    ],
)
def test_published_counts(depth, classes, lateral, with_aux, without):
    model = EncNet(classes, encnet_backbone(depth), lateral=lateral)
    assert parameters(model) == with_aux
    assert parameters(model.clone(aux_features=0)) == without


def test_the_first_unit_of_an_atrous_stage_has_half_its_rate():
    rates = {
        stage: [unit.rates[1] for unit in encnet_backbone(50).units() if unit.stage == stage]
        for stage in (2, 3, 4)
    }
    assert rates == {2: [1] * 4, 3: [1] + [2] * 5, 4: [2, 4, 4]}


def _looped(x, codewords, smoothing):
    """Section 3.1, one descriptor and one codeword at a time, in float64."""
    encodings = np.zeros((len(x), *codewords.shape))
    for image, descriptors in enumerate(x.astype(np.float64)):
        for descriptor in descriptors:
            residuals = [descriptor - d for d in codewords.astype(np.float64)]
            weights = np.exp([s * r @ r for s, r in zip(smoothing, residuals, strict=True)])
            for k, residual in enumerate(residuals):
                encodings[image, k] += weights[k] / weights.sum() * residual
    return encodings


def _arguments(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 7, 4)).astype(np.float32)
    codewords = rng.normal(size=(3, 4)).astype(np.float32)
    return x, codewords, rng.uniform(-1, 0, 3).astype(np.float32)


@pytest.mark.parametrize("form", ["auto", "plain", "fast"])
def test_the_encoding_layer_equals_loops(form):
    arguments = _arguments()
    np.testing.assert_allclose(encode(*arguments, form=form), _looped(*arguments), atol=1e-5)


def test_both_forms_have_the_same_gradients():
    arguments = _arguments()
    weights = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)

    def loss(arguments, form):
        return jnp.sum(encode(*arguments, form=form) * weights)

    gradient = jax.jit(jax.grad(loss), static_argnames="form", compiler_options=QUICK)
    gradients = [gradient(arguments, form) for form in ("plain", "fast")]
    for plain, fast in zip(*gradients, strict=True):
        assert np.abs(plain).max() > 0.1
        np.testing.assert_allclose(fast, plain, atol=1e-5)


def test_the_fast_form_does_not_store_all_residuals():
    def largest(form):
        shapes = [(2, 50, 16), (8, 16), (8,)]
        program = jax.make_jaxpr(functools.partial(encode, form=form))(*map(jnp.zeros, shapes))
        return max(v.aval.size for equation in program.eqns for v in equation.outvars)

    assert largest("plain") == 2 * 50 * 8 * 16
    assert largest("fast") == 2 * 50 * 16


def test_half_precision_is_encoded_in_float32():
    x, codewords, smoothing = _arguments()
    x = x.astype(jnp.bfloat16) + jnp.bfloat16(100)  # distances of 10^4: bfloat16 steps of 64
    e = encode(x, codewords + 100, smoothing)
    assert e.dtype == jnp.float32
    expected = _looped(np.asarray(x, np.float32), codewords + 100, smoothing)
    np.testing.assert_allclose(e, expected, atol=0.05)


def test_codewords_are_initialised_as_in_the_released_code():
    module = ContextEncoding(codewords=32)
    init = jax.jit(functools.partial(module.init, train=False), compiler_options=QUICK)
    params = init(jax.random.key(0), jnp.zeros((1, 2, 2, 128)))["params"]
    bound = (32 * 128) ** -0.5
    assert 0.99 * bound < np.abs(params["codewords"]).max() <= bound
    assert params["smoothing"].min() >= -1
    assert -0.7 < params["smoothing"].mean() < -0.3
    assert params["smoothing"].max() <= 0


@pytest.mark.parametrize("aggregation", ["mean", "sum"])
@pytest.mark.parametrize("residual_gate", [True, False])
def test_the_module_matches_a_reimplementation(aggregation, residual_gate):
    x = images((5, 3), batch=2)
    module = ContextEncoding(4, aggregation, residual_gate)
    variables = random_variables(module, (5, 3))
    run = jax.jit(functools.partial(module.apply, train=False), compiler_options=QUICK)
    scaled, encoding = run(variables, x)

    def normalised(y, params, stats):
        y = (y - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
        return np.maximum(y * params["scale"] + params["bias"], 0)

    params, stats = variables["params"], variables["batch_stats"]
    y = x @ params["conv"]["conv"]["kernel"][0, 0]
    y = normalised(y, params["conv"]["norm"], stats["conv"]["norm"]).reshape(2, 15, 3)
    e = _looped(y, params["codewords"], params["smoothing"]).transpose(0, 2, 1)  # [B, C, codewords]
    e = normalised(e, params["norm"], stats["norm"])
    e = e.mean(-1) if aggregation == "mean" else e.sum(-1)
    np.testing.assert_allclose(encoding, e, rtol=1e-4, atol=1e-4)
    gate = 1 / (1 + np.exp(-(e @ params["gate"]["kernel"] + params["gate"]["bias"])))
    expected = np.maximum(x * (gate[:, None, None] + residual_gate), 0)
    np.testing.assert_allclose(scaled, expected, rtol=1e-4, atol=1e-4)


def test_one_image_updates_the_statistics_of_the_codewords():
    """Statistics are over images and channels, so they are defined for a single image."""
    module = ContextEncoding(4, compute=PLAIN)
    variables = random_variables(module, (5, 3))
    step = functools.partial(module.apply, train=True, mutable=["batch_stats"])
    _, updates = jax.jit(step, compiler_options=QUICK)(variables, images((5, 3)))
    before, after = (tree["batch_stats"]["norm"] for tree in (variables, updates))
    assert before["mean"].shape == (4,)
    assert np.all(before["mean"] != after["mean"])
    assert np.all(before["var"] != after["var"])


def test_the_gate_and_each_lateral_stage_are_used():
    """Changing the gate, or zeroing the scale and shift of a lateral stage, changes the logits."""
    model = EncNet(
        5, ThreeMaps(), lateral=True, head_features=8, codewords=3, aux_features=0, compute=PLAIN
    )
    x = images((33, 40))
    variables = random_variables(model)
    run = jax.jit(lambda v: model.apply(v, x, train=False), compiler_options=QUICK)
    before = run(variables)

    def without(*path):
        changed = jax.tree.map(lambda leaf: leaf, variables)
        node = changed["params"]
        for name in path:
            node = node[name]
        for name in node:
            node[name] = 0 * node[name]
        return run(changed)

    for path in (
        ("context", "gate"),
        ("context", "norm"),
        ("lateral_stage2", "norm"),
        ("lateral_stage3", "norm"),
    ):
        assert np.abs(without(*path)["logits"] - before["logits"]).max() > 1e-3, path
    after = without("context", "norm")
    assert np.abs(after["presence_logits"] - before["presence_logits"]).max() > 1e-3
    after = without("context", "gate")
    np.testing.assert_array_equal(after["presence_logits"], before["presence_logits"])


def test_a_missing_stage_of_the_backbone_is_named():
    backbone = EndPoints(8, {"features": (1, 5, 5, 8)})
    with pytest.raises(ValueError, match=r"aux_features is 256: .* stage 3"):
        shapes_of(EncNet(5, backbone))
    with pytest.raises(ValueError, match="lateral is True: it needs stage2"):
        shapes_of(EncNet(5, backbone, lateral=True, aux_features=0))
    shapes_of(EncNet(5, backbone, aux_features=0))


def test_an_unknown_aggregation_is_refused():
    with pytest.raises(ValueError, match="'max': it must be one of mean, sum"):
        shapes_of(EncNet(5, ThreeMaps(), aggregation="max"))
