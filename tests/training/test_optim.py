"""Optimisers against torch's formulas written out in NumPy; schedules; masks; multipliers."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from jaxseg import config
from jaxseg.training import optim

PARAMS = {
    "backbone": {
        "conv1": {"kernel": np.full((3, 3, 2, 4), 0.5), "bias": np.full(4, 0.25)},
        "norm1": {"scale": np.full(4, 1.5), "bias": np.full(4, 0.1)},
        "depthwise": {"kernel": np.full((3, 3, 1, 4), 0.7)},
    },
    "classifier": {"kernel": np.full((1, 1, 4, 3), -0.4)},
}


def paths(tree):
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): v for k, v in flat}


def run(settings, steps, gradient_of):
    """Updates PARAMS for `steps` steps in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(jax.numpy.asarray, PARAMS)
        transform, _ = optim.build(settings, steps, params)
        state = transform.init(params)
        update = jax.jit(transform.update)
        for step in range(steps):
            gradient = jax.tree.map(lambda p: gradient_of(p, step), params)  # noqa: B023
            updates, state = update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        return {path: np.asarray(p) for path, p in paths(params).items()}


def gradient(p, step):
    return 0.3 * p + 0.1 * (-1) ** step


DECAYED = {"backbone/conv1/kernel", "classifier/kernel"}


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_torchs(nesterov):
    settings = config.Optim(
        learning_rate=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov, schedule="constant"
    )
    found = run(settings, 4, gradient)
    for path, start in paths(PARAMS).items():
        p, v = start.copy(), np.zeros_like(start)
        for step in range(4):
            g = gradient(p, step) + (0.01 * p if path in DECAYED else 0)
            v = 0.9 * v + g
            p = p - 0.1 * (g + 0.9 * v if nesterov else v)
        np.testing.assert_allclose(found[path], p, rtol=1e-12, err_msg=path)


def test_adamw_is_torchs():
    settings = config.Optim(
        name="adamw",
        learning_rate=0.01,
        momentum=0.8,
        b2=0.95,
        weight_decay=0.1,
        schedule="poly",
        power=1.0,
    )
    found = run(settings, 5, gradient)
    for path, start in paths(PARAMS).items():
        p, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
        for step in range(5):
            rate = 0.01 * (1 - step / 5)
            g = gradient(p, step)
            if path in DECAYED:
                p = p - rate * 0.1 * p
            m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
            corrected = m / (1 - 0.8 ** (step + 1)), v / (1 - 0.95 ** (step + 1))
            p = p - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        np.testing.assert_allclose(found[path], p, rtol=1e-7, err_msg=path)


def test_poly_is_the_papers_curve():
    rate = optim.schedule(config.Optim(learning_rate=0.007, power=0.9), 30_000)
    for step in (0, 1, 12_345, 29_999, 30_000):
        expected = 0.007 * (1 - step / 30_000) ** 0.9
        np.testing.assert_allclose(rate(step), expected, rtol=1e-5, atol=1e-9)
    ending = optim.schedule(config.Optim(learning_rate=1.0, end_learning_rate=0.1, power=2.0), 10)
    np.testing.assert_allclose([ending(5), ending(10)], [0.1 + 0.9 * 0.25, 0.1], rtol=1e-6)


def test_step_schedule_counts_updates_already_done():
    rate = optim.schedule(
        config.Optim(learning_rate=1.0, schedule="step", decay_steps=(2, 4), decay_factor=0.5), 6
    )
    np.testing.assert_allclose([rate(i) for i in range(6)], [1, 1, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize("schedule", ["poly", "constant", "step"])
def test_warm_up_rises_to_the_base_rate_and_starts_the_clock_of_poly(schedule):
    settings = config.Optim(
        learning_rate=1.0, schedule=schedule, warmup_steps=4, power=1.0, decay_steps=(6,)
    )
    rate = optim.schedule(settings, 14)
    np.testing.assert_allclose([rate(i) for i in range(4)], [0.25, 0.5, 0.75, 1], rtol=1e-6)
    after = {
        "poly": [1 - i / 10 for i in range(10)],
        "constant": [1] * 10,
        "step": [1, 1, *[0.1] * 8],
    }
    np.testing.assert_allclose([rate(4 + i) for i in range(10)], after[schedule], rtol=1e-5)
    one = optim.schedule(dataclasses.replace(settings, warmup_steps=1), 14)
    np.testing.assert_allclose(one(0), 1)


def test_decay_is_on_kernels_that_are_not_depthwise():
    decayed = {path for path, on in paths(optim.decay_mask(PARAMS)).items() if on}
    assert decayed == DECAYED


def test_multipliers_scale_the_update_and_multiply_up():
    settings = config.Optim(
        learning_rate=0.1,
        weight_decay=0.0,
        momentum=0.0,
        schedule="constant",
        multipliers=((r"^backbone/", 0.1), (r"bias$", 2.0), (r"norm1", 0.0)),
    )
    found = run(settings, 1, lambda p, step: 1 + 0 * p)
    moved = {path: (start - found[path]).ravel()[0] for path, start in paths(PARAMS).items()}
    expected = {
        "backbone/conv1/kernel": 0.01,
        "backbone/conv1/bias": 0.02,
        "backbone/norm1/scale": 0,
        "backbone/norm1/bias": 0,
        "backbone/depthwise/kernel": 0.01,
        "classifier/kernel": 0.1,
    }
    assert moved == pytest.approx(expected)


def test_clipping_bounds_the_gradient_before_decay():
    settings = config.Optim(
        learning_rate=1.0, weight_decay=0.5, momentum=0.0, schedule="constant", clip_norm=0.01
    )
    found = run(settings, 1, lambda p, step: 5 + 0 * p)
    norm = 5 * np.sqrt(sum(p.size for p in paths(PARAMS).values()))
    for path, start in paths(PARAMS).items():
        expected = start - 5 * 0.01 / norm - (0.5 * start if path in DECAYED else 0)
        np.testing.assert_allclose(found[path], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "lamb"}, "optim.name='lamb' must be one of sgd, adamw"),
        ({"schedule": "cosine"}, "optim.schedule='cosine' must be one of poly, step, constant"),
        ({"schedule": "step"}, "needs optim.decay_steps"),
        ({"warmup_steps": 100}, "warmup_steps=100 .* train.steps=100"),
        ({"multipliers": (("decoder", 10.0),)}, "'decoder'.*backbone, classifier"),
        ({"multipliers": (("(", 10.0),)}, "is not a regular expression"),
    ],
)
def test_bad_settings_are_named(change, says):
    with pytest.raises(ValueError, match=says):
        optim.build(config.Optim(**change), 100, PARAMS)


def test_builds_from_shapes_alone():
    shapes = jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, PARAMS))
    settings = config.Optim(multipliers=(("classifier", 10.0),))
    transform, rate = optim.build(settings, 10, shapes)
    jax.eval_shape(transform.init, shapes)
    np.testing.assert_allclose(rate(0), settings.learning_rate)
