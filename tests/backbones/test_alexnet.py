"""AlexNet: counts and sizes of both releases, a reimplementation, invalid fields."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones.alexnet import AlexNet
from jaxseg.inspection import summary
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images


def ends_of(model, size):
    x = jnp.zeros((1, *size, 3))
    return jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False)[0])


def test_counts():
    """With two groups, kernels have half of the input channels; torchvision has fewer features."""
    caffenet = 11**2 * 3 * 96 + 96 + 5**2 * 48 * 256 + 256 + 9 * 256 * 384 + 384
    caffenet += 9 * 192 * 384 + 384 + 9 * 192 * 256 + 256
    assert count(shapes_of(AlexNet(), (65, 65))) == caffenet == 2_334_080
    assert count(shapes_of(AlexNet(variant="torchvision"), (65, 65))) == 2_469_696


@pytest.mark.parametrize(
    ("model", "sizes"),
    [  # of conv1, pool1, pool2, pool5 for rows of an image
        (AlexNet(image_padding=0), (227, 55, 27, 13, 6)),
        (AlexNet(variant="torchvision"), (224, 55, 27, 13, 6)),
        (AlexNet(variant="torchvision"), (63, 15, 7, 3, 1)),
        (AlexNet(image_padding=100), (500, 173, 86, 43, 21)),
        (AlexNet(image_padding=100), (1, 48, 24, 12, 6)),  # rounded up: 12, not 11
    ],
)
def test_sizes(model, sizes):
    ends = ends_of(model, (sizes[0], 64))
    names = ("conv1", "pool1", "pool2", "pool5")
    assert tuple(ends[name].shape[1] for name in names) == sizes[1:]
    assert ends["features"].shape[3] == 256


def test_rates_follow_the_output_stride():
    """Omitting the stride of a pooling doubles the rates of the convolutions after it."""
    rates = {}
    for stride in (32, 8, 4):
        layers = summary.summarize(AlexNet(output_stride=stride, width=4), (129, 129)).layers
        rates[stride] = [layer.rate for layer in layers if layer.path.startswith("conv")]
    assert rates == {32: [1] * 5, 8: [1, 1, 2, 2, 2], 4: [1, 2, 4, 4, 4]}
    assert AlexNet(output_stride=8).head_rate == 4


def conv(x, parameters, stride, padding, groups):
    y = jax.lax.conv_general_dilated(
        x,
        parameters["kernel"],
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    return jnp.maximum(y + parameters["bias"], 0)


def max_pool(x, ceil):
    """Max pooling of 3 x 3 with stride 2, window by window."""
    batch, height, width, channels = x.shape
    rows, columns = ((n - 3 + ceil) // 2 + 1 for n in (height, width))
    y = np.zeros((batch, rows, columns, channels), np.float32)
    for i, j in np.ndindex(rows, columns):
        y[:, i, j] = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2))
    return y


def normalised(x):
    """Normalises over five neighbouring channels with Caffe's constants."""
    energy = np.pad(np.square(x), [(0, 0)] * 3 + [(2, 2)])
    total = sum(energy[..., n : n + x.shape[-1]] for n in range(5))
    return x / (1 + 1e-4 / 5 * total) ** 0.75


@pytest.mark.parametrize("variant", ["caffenet", "torchvision"])
def test_matches_a_reimplementation(variant):
    """Pooling precedes normalisation, which large values make noticeable."""
    caffe = variant == "caffenet"
    model = AlexNet(variant=variant, width=4, image_padding=7)
    x = 100 * images((77, 90))
    variables = random_variables(model, (77, 90))
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    ends = run(variables, x)
    groups = (1, 2, 1, 2, 2) if caffe else (1,) * 5
    x = jnp.asarray(x)
    for number, (stride, padding) in enumerate([(4, 7), (1, 2), (1, 1), (1, 1), (1, 1)], start=1):
        x = conv(x, variables["params"][f"conv{number}"], stride, padding, groups[number - 1])
        np.testing.assert_allclose(ends[f"conv{number}"], x, rtol=1e-4, atol=1e-2)
        if number in (1, 2, 5):
            x = max_pool(np.asarray(x), caffe)
            x = normalised(x) if caffe and number < 5 else x
            np.testing.assert_allclose(ends[f"pool{number}"], x, rtol=1e-4, atol=1e-2)
            x = jnp.asarray(x)
    np.testing.assert_array_equal(ends["features"], ends["pool5"])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"variant": "zfnet"}, "variant is 'zfnet': AlexNet has caffenet, torchvision"),
        ({"output_stride": 2}, "output_stride is 2: AlexNet has 4, 8, 16, 32"),
    ],
)
def test_invalid_fields_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        shapes_of(AlexNet(**fields), (65, 65))
