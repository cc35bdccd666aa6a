"""The training step: a hand-made step, accumulation, determinism, averages, initial state."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config, losses
from jaxseg.training import step
from jaxseg.types import IGNORE
from tests.helpers.programs import tiny


def build(experiment):
    optimizer, rate = step.make_optimizer(experiment)
    init = functools.partial(step.init_state, experiment, optimizer)
    state = jax.jit(init, compiler_options=tiny.QUICK)()
    train_step = step.make_train_step(experiment, optimizer, rate)
    return state, jax.jit(train_step, compiler_options=tiny.QUICK)


def assert_close(a, b, rtol, atol=0.0):
    a, b = tiny.leaves(a), tiny.leaves(b)
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_allclose(a[path], b[path], rtol=rtol, atol=atol, err_msg=path)


def test_one_step_is_gradient_descent_on_the_stated_loss():
    experiment = tiny.experiment(tiny.Tiny(dropout=0.0, aux=True))
    experiment.loss.class_weights = (0.5, 1.0, 2.0)
    experiment.optim.weight_decay = 0.0
    batch = tiny.batch()
    state, train_step = build(experiment)
    new, metrics = train_step(state, batch)

    def loss(params):
        outputs, updated = experiment.model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            (batch["image"].astype(np.float32) - 127.5) / 127.5,
            train=True,
            mutable=["batch_stats"],
        )
        valid = batch["label"] != IGNORE
        weights = np.array([0.5, 1.0, 2.0])[np.where(valid, batch["label"], 0)] * valid
        terms = {}
        for name in ("logits", "aux_logits"):
            log_p = jax.nn.log_softmax(outputs[name])
            hit = jax.nn.one_hot(batch["label"], tiny.CLASSES)
            terms[name] = -jnp.sum(log_p * hit * weights[..., None]) / valid.sum()
        return terms["logits"] + 0.4 * terms["aux_logits"], (terms, updated["batch_stats"])

    (value, (terms, stats)), gradient = jax.jit(
        jax.value_and_grad(loss, has_aux=True), compiler_options=tiny.QUICK
    )(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.05 * g, state.params, gradient)
    assert_close(new.params, expected, 1e-4, 1e-6)
    assert_close(new.batch_stats, stats, 1e-5, 1e-6)
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-5)
    assert float(metrics["aux"]) == pytest.approx(float(terms["aux_logits"]), rel=1e-5)
    assert float(metrics["cross_entropy"]) == pytest.approx(float(terms["logits"]), rel=1e-5)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient)))
    assert float(metrics["gradient_norm"]) == pytest.approx(norm, rel=1e-5)
    assert float(metrics["learning_rate"]) == pytest.approx(0.05)
    assert int(new.step) == 1


@pytest.mark.parametrize(
    ("parts", "loss"),
    [
        (2, {}),
        (4, {}),
        (2, {"cross_entropy": 0.0, "coarse": 1.0}),
        (4, {"coarse": 0.5, "focal": 0.1, "reduction": "images"}),
    ],
)
def test_accumulation_without_batch_norm_is_the_whole_batch(parts, loss):
    """Also when the void pixels are spread unevenly over the micro-batches."""
    with jax.enable_x64(True):
        model = tiny.Tiny(norm=False, dropout=0.0, aux=True, coarse=True, numbers="float64")
        experiment = tiny.experiment(model)
        experiment.loss = config.Loss(**loss)
        batch = tiny.batch(8)
        batch["label"][1] = IGNORE  # a micro-batch of 2 whose valid pixels are in one image
        batch["label"][5, :11] = IGNORE
        state, whole = build(experiment)
        experiment.train = dataclasses.replace(experiment.train, accumulate=parts)
        _, in_parts = build(experiment)
        (a, a_metrics), (b, b_metrics) = whole(state, batch), in_parts(state, batch)
        assert_close(a, b, 1e-9, 1e-12)
        assert_close(a_metrics, b_metrics, 1e-9)


def test_the_sum_over_an_images_pixels_moves_as_far_as_their_mean_times_their_number():
    """Caffe's loss without normalisation: 16 x 16 valid pixels an image, so 256 times the step."""
    batch = tiny.batch(4)
    batch["label"][batch["label"] == IGNORE] = 0
    moves = {}
    for reduction, learning_rate in (("pixels", 0.256), ("images", 0.001)):
        experiment = tiny.experiment(tiny.Tiny(norm=False, dropout=0.0))
        experiment.loss.reduction = reduction
        experiment.optim.learning_rate, experiment.optim.weight_decay = learning_rate, 0.0
        state, train_step = build(experiment)
        moves[reduction] = train_step(state, batch)[0].params
    assert_close(moves["pixels"], moves["images"], 1e-5, 1e-7)


def test_accumulation_normalises_each_micro_batch_by_itself():
    experiment = tiny.experiment(tiny.Tiny(dropout=0.0), accumulate=2)
    batch = tiny.batch(4)
    state, train_step = build(experiment)
    new, _ = train_step(state, batch)
    stats = state.batch_stats
    for part in (0, 1):  # images 0, 2 and then 1, 3
        images = (batch["image"][part::2].astype(np.float32) - 127.5) / 127.5
        variables = {"params": state.params, "batch_stats": stats}
        _, updated = experiment.model.apply(variables, images, train=True, mutable=["batch_stats"])
        stats = updated["batch_stats"]
    assert_close(new.batch_stats, stats, 1e-5, 1e-6)


def test_a_batch_of_void_changes_nothing_and_is_finite():
    experiment = tiny.experiment(tiny.Tiny(norm=False))
    experiment.optim.weight_decay = 0.0
    batch = tiny.batch()
    batch["label"][:] = IGNORE
    state, train_step = build(experiment)
    new, metrics = train_step(state, batch)
    assert_close(new.params, state.params, 0)
    assert metrics["loss"] == 0
    assert metrics["gradient_norm"] == 0


def test_dropout_is_drawn_from_seed_and_step():
    state, train_step = build(tiny.experiment(tiny.Tiny(dropout=0.5)))
    batch = tiny.batch()
    first, again = (train_step(state, batch)[1]["loss"] for _ in range(2))
    later = train_step(state.replace(step=state.step + 1), batch)[1]["loss"]
    assert first == again
    assert first != later


def test_the_seed_decides_the_start():
    starts = [build(tiny.experiment(seed=seed))[0].params["conv"]["kernel"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert np.abs(starts[0] - starts[2]).max() > 0.01


def test_the_average_follows_its_formula():
    experiment = tiny.experiment(ema_decay=0.9)
    state, train_step = build(experiment)
    expected = {"params": state.params, "batch_stats": state.batch_stats}
    assert_close(state.ema, expected, 0)
    for done in range(3):
        state, _ = train_step(state, tiny.batch(seed=done))
        d = min(0.9, (1 + done) / (10 + done))
        now = {"params": state.params, "batch_stats": state.batch_stats}
        expected = jax.tree.map(lambda e, p: d * e + (1 - d) * p, expected, now)  # noqa: B023
    assert_close(state.ema, expected, 1e-5, 1e-7)


def test_every_leaf_is_float32_and_the_start_has_no_forward_pass():
    experiment = tiny.experiment()
    optimizer, _ = step.make_optimizer(experiment)
    init = jax.jit(functools.partial(step.init_state, experiment, optimizer))
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(jax.eval_shape(init))}
    assert kinds == {"float32", "int32"}
    assert "convolution" not in init.lower().compile().as_text()


def test_weights_of_classes_reach_the_loss():
    batch = tiny.batch()
    logits = jnp.zeros((*batch["label"].shape, tiny.CLASSES))
    terms = losses.segmentation(
        {"logits": logits}, batch["label"], config.Loss(class_weights=(0, 1, 0))
    )
    valid = batch["label"] != IGNORE
    expected = np.log(3) * (batch["label"] == 1).sum() / valid.sum()
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-6)
