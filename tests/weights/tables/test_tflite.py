"""Google's DeepLab v3 lands leaf by leaf, its folded norms are exact, it runs at any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.deeplab_v3 import google_voc
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.weights import load, match
from jaxseg.weights.tables import tflite

FILE = "deeplabv3_257_mv_gpu.tflite"
MODEL = google_voc.get_config().model


@pytest.fixture(scope="module")
def shapes():
    return jax.eval_shape(
        lambda: MODEL.init(jax.random.key(0), jnp.zeros((1, 65, 65, 3)), train=False)
    )


@pytest.fixture(scope="module")
def variables(shared, shapes):
    return load.load_variables(shared / "weights" / FILE, shapes)


def test_the_network_has_the_published_number_of_parameters(shapes):
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == 697_013


def test_width_one_has_the_published_number_of_parameters():
    model = MODEL.clone(backbone=MODEL.backbone.clone(width=1.0, divisible_by=8))
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 65, 65, 3)), train=False)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == 2_113_557


@pytest.mark.parametrize("epsilon", [tflite.BACKBONE_EPSILON, tflite.HEAD_EPSILON, 1e-4, 2e-5])
def test_a_folded_norm_is_exactly_a_shift(epsilon):
    norm = NormLayer(Norm(epsilon=epsilon))
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
    bias = np.float32([1, 2, 3, 4])
    variables = {
        "params": {"scale": np.ones(4, np.float32), "bias": bias},
        "batch_stats": {"mean": np.zeros(4, np.float32), "var": np.full(4, 1 - epsilon, "f4")},
    }
    shifted = norm.apply(variables, x, train=False)
    np.testing.assert_array_equal(shifted, x + bias)


def test_the_epsilons_are_those_of_the_model():
    assert MODEL.backbone.norm.epsilon == tflite.BACKBONE_EPSILON
    assert MODEL.norm.epsilon == tflite.HEAD_EPSILON


def test_every_tensor_has_one_place(shared, shapes, variables):
    source = load.read(shared / "weights" / FILE)
    kernel = variables["params"]["backbone"]["layer_5"]["depthwise"]["kernel"]
    stored = source["MobilenetV2/expanded_conv_3/depthwise/depthwise_weights"]
    assert kernel[0, 2, 0, 7] == stored[0, 0, 2, 7]
    projection = variables["params"]["aspp"]["projection"]["conv"]["kernel"]
    stored = source["concat_projection/weights"]  # pooled channels first
    assert projection[0, 0, 0, 3] == stored[3, 0, 0, 256]
    assert projection[0, 0, 256, 3] == stored[3, 0, 0, 0]
    total = sum(array.size for array in source.values())
    constants = sum(
        leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
        if path[-1].key in ("scale", "mean", "var")
    )
    assert total + constants == sum(leaf.size for leaf in jax.tree.leaves(variables))
    report = match.describe(source, shapes, tflite.deeplab_v3_mobilenet_v2())
    assert "aspp0/weights (256, 1, 1, 160) -> params/aspp/conv1x1/conv/kernel" in report


def test_another_model_is_refused_with_what_does_not_fit(shared):
    model = MODEL.clone(atrous_rates=(6,))
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 65, 65, 3)), train=False)
    )
    with pytest.raises(ValueError, match=f"{FILE} does not fit the model") as error:
        load.load_variables(shared / "weights" / FILE, shapes)
    assert "params/aspp/atrous1/conv/kernel" in str(error.value)


def test_it_runs_at_another_size_and_stride_with_sane_scores(variables):
    model = MODEL.clone(backbone=MODEL.backbone.clone(output_stride=16))
    grey = np.zeros((1, 66, 97, 3), np.float32)
    logits = jax.jit(lambda v, x: model.apply(v, x, train=False)["logits"])(variables, grey)
    assert logits.shape == (1, 66, 97, 21)
    assert bool(jnp.isfinite(logits).all())
    assert float(jnp.mean(logits.argmax(-1) == 0)) > 0.9  # an empty picture is background


def test_files_are_told_by_their_content(tmp_path):
    (tmp_path / "notes.pth").write_text("some text, long enough")
    with pytest.raises(ValueError, match=r"notes\.pth: not a weight file in a supported format"):
        load.read(tmp_path / "notes.pth")
    with pytest.raises(FileNotFoundError, match="gone"):
        load.read(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"no name table fits its 2 tensors \(a, b"):
        load.table_of(["b", "a"])
