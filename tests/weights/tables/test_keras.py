"""Keras' MobileNetV2 0.35 (a published file) lands leaf by leaf and computes what Keras would."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from PIL import Image

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.weights import match
from jaxseg.weights.readers import h5_file
from jaxseg.weights.tables import keras

FILE = "mobilenet_v2_035_teachable_machine.h5"
MODEL = MobileNetV2(width=0.35, divisible_by=8, output_stride=32)


@pytest.fixture(scope="module")
def source(shared):
    return h5_file.read(shared / "weights" / FILE)


@pytest.fixture(scope="module")
def shapes():
    return jax.eval_shape(
        lambda: MODEL.init(jax.random.key(0), jnp.zeros((1, 65, 65, 3)), train=False)
    )


@pytest.fixture(scope="module")
def variables(source, shapes):
    table = keras.mobilenet_v2(source, into="")
    return match.fill(source, shapes, table, file=FILE)


@pytest.fixture(scope="module")
def photo(shared):
    folder = shared / "data" / "VOCdevkit" / "VOC2012" / "JPEGImages"
    image = Image.open(sorted(folder.glob("*.jpg"))[0]).convert("RGB").resize((97, 97))
    return np.asarray(image, np.float32)[None] / 127.5 - 1


def test_every_tensor_of_the_extractor_is_used(source, variables):
    assert len(jax.tree.leaves(variables)) == 255  # 263 in the file: 5 of Conv_1, 3 of the head
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 250_208
    np.testing.assert_array_equal(
        variables["params"]["layer_3"]["depthwise"]["kernel"][1, 2, 0, 5],
        source["model_weights/sequential_1/block_1_depthwise/depthwise_kernel:0"][1, 2, 5, 0],
    )
    np.testing.assert_array_equal(
        variables["batch_stats"]["layer_18"]["project"]["norm"]["var"],
        source["model_weights/sequential_1/block_16_project_BN/moving_variance:0"],
    )


def test_one_missing_tensor_is_named(source, shapes):
    cut = {name: array for name, array in source.items() if "block_7_expand_BN/gamma" not in name}
    with pytest.raises(ValueError, match="block_7_expand_BN/gamma:0") as error:
        match.fill(cut, shapes, keras.mobilenet_v2(cut, into=""))
    assert "params/layer_9/expand/norm/scale" not in str(error.value)
    wider = jax.eval_shape(
        lambda: MODEL.clone(width=0.5).init(
            jax.random.key(0), jnp.zeros((1, 65, 65, 3)), train=False
        )
    )
    with pytest.raises(ValueError, match=r"block_16_project/kernel:0 \(1, 1, 336, 112\)"):
        match.fill(source, wider, keras.mobilenet_v2(source, into=""))


def _keras(source, x):
    """Keras' graph from the file's own names, with 'same' padding (its own at odd sizes)."""
    values = {"/".join(name.split("/")[-2:]): array for name, array in source.items()}

    def norm(y, layer):
        gamma, beta, mean, variance = (
            values[f"{layer}/{n}:0"] for n in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (y - mean) / jnp.sqrt(variance + 1e-3) + beta

    def conv(y, kernel, stride=1, groups=1):
        return lax.conv_general_dilated(
            y,
            kernel,
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    y = jnp.clip(norm(conv(x, values["Conv1/kernel:0"], 2), "bn_Conv1"), 0, 6)
    for index in range(17):
        layer = f"block_{index}" if index else "expanded_conv"
        z = y
        if index:
            z = jnp.clip(
                norm(conv(y, values[f"{layer}_expand/kernel:0"]), f"{layer}_expand_BN"), 0, 6
            )
        kernel = values[f"{layer}_depthwise/depthwise_kernel:0"].transpose(0, 1, 3, 2)
        stride = 2 if index in (1, 3, 6, 13) else 1
        z = conv(z, kernel, stride, groups=z.shape[-1])
        z = jnp.clip(norm(z, f"{layer}_depthwise_BN"), 0, 6)
        z = norm(conv(z, values[f"{layer}_project/kernel:0"]), f"{layer}_project_BN")
        y = y + z if y.shape == z.shape else z
    return y


def test_features_of_a_photo_are_keras_and_not_degenerate(source, variables, photo):
    # Compiling takes far longer than running here.
    quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    features = quick(lambda v, x: MODEL.apply(v, x, train=False)["features"])(variables, photo)
    expected = quick(_keras)(source, photo)
    assert features.shape == (1, 4, 4, 112)
    scale = float(jnp.std(expected))
    assert 0.1 < scale < 10  # batch norm's output before no activation: of the order of 1
    assert float(jnp.mean(jnp.std(expected, axis=(1, 2)) > 0.1)) > 0.9  # channels that vary
    np.testing.assert_allclose(features, expected, atol=2e-4 * scale)
