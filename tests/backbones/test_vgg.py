"""VGG: published counts, sizes and rates of each configuration, and invalid fields."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones.vgg import VGG, FullyConvolutional
from jaxseg.inspection import summary
from jaxseg.layers.norm import Norm
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images

LARGE_FOV = {"output_stride": 8, "pool_windows": (3,) * 5, "pool_paddings": (1,) * 5}
FRONT_END = {"output_stride": 8, "padding": False, "atrous_pools": False}


def ends_of(model, size):
    x = jnp.zeros((1, *size, 3))
    return jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False)[0])


def test_published_counts():
    """Counts thirteen convolutions, fc6 of 7 x 7 and fc7, and LargeFOV's fc6 and fc7."""
    assert count(shapes_of(VGG())) == 14_714_688
    assert count(shapes_of(VGG(norm=Norm()))) == 14_714_688 + 2 * 4224

    def head(**fields):
        x = jnp.zeros((1, 7, 7, 512))
        model = FullyConvolutional(**fields)
        return count(jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False)))

    assert head() == 102_764_544 + 16_781_312
    assert head(features=1024, kernel_size=3) == 4_719_616 + 1_049_600


@pytest.mark.parametrize(
    ("model", "sizes"),
    [  # rows of the image and of pool1 .. pool5, as released
        (VGG(image_padding=100), (500, 349, 175, 88, 44, 22)),  # FCN
        (VGG(image_padding=100), (360, 279, 140, 70, 35, 18)),
        (VGG(places=True), (360, 180, 90, 45, 23, 12)),  # SegNet
        (VGG(**LARGE_FOV), (321, 161, 81, 41, 41, 41)),  # DeepLab v1
        (VGG(**LARGE_FOV), (513, 257, 129, 65, 65, 65)),
    ],
)
def test_published_sizes(model, sizes):
    ends = ends_of(model, (sizes[0], 64))
    assert tuple(ends[f"pool{n}"].shape[1] for n in range(1, 6)) == sizes[1:]
    assert ends["features"].shape[3] == 512


def test_the_front_end_without_padding():
    """An input of n pixels leaves (n - 372) / 8 after fc6 of 7 x 7 at rate 4 (fyu/dilation)."""
    model = VGG(**FRONT_END)
    assert model.head_rate == 4
    for side, left in [(900, 66), (628, 32), (500, 16), (852, 60), (1396, 128)]:
        rows = ends_of(model, (side, 500))["features"].shape[1]
        assert rows - 6 * model.head_rate == left


def test_rates_follow_the_output_stride():
    layers = summary.summarize(VGG(output_stride=8, width=1), (65, 65)).layers
    rates = {layer.path: layer.rate for layer in layers}
    assert {rates[f"conv4_{n}"] for n in (1, 2, 3)} == {1}
    assert {rates[f"conv5_{n}"] for n in (1, 2, 3)} == {2}
    layers = summary.summarize(VGG(output_stride=4, width=1), (65, 65)).layers
    rates = {layer.path: layer.rate for layer in layers}
    assert (rates["conv3_1"], rates["conv4_1"], rates["conv5_1"]) == (1, 2, 4)


def test_receptive_field_of_fc6():
    """404 pixels for FCN's VGG-16, from conv1_1 to the 7 x 7 of fc6."""

    class Front(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = VGG(width=1)(x, train=train)["features"]
            return {"logits": FullyConvolutional(2, padding=0, name="fc")(x, train=train)}

    layers = summary.summarize(Front(), (512, 512)).layers
    (field,) = {layer.field for layer in layers if layer.path.endswith("fc6")}
    assert field == 404


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_against_a_loop_over_layers(norm):
    """Reimplements every convolution, bias, norm and pooling with NumPy and lax."""
    model = VGG(depth=11, width=2, norm=Norm(norm), places=True)
    x = images((37, 41))
    variables = random_variables(model)
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    ends = run(variables, x)
    for stage, units in enumerate((1, 1, 2, 2, 2), start=1):
        for unit in range(1, units + 1):
            its = variables["params"][f"conv{stage}_{unit}"]
            x = jax.lax.conv_general_dilated(
                x, its["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = np.asarray(x) + its["bias"]
            if norm == "batch":
                scale, stats = (
                    variables[kind][f"norm{stage}_{unit}"] for kind in ("params", "batch_stats")
                )
                x = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
                x = x * scale["scale"] + scale["bias"]
            x = np.maximum(x, 0)
        np.testing.assert_allclose(ends[f"conv{stage}"], x, rtol=1e-4, atol=1e-4)
        rows, columns = (-(-n // 2) for n in x.shape[1:3])
        edges = [(0, 0), (0, 2 * rows - x.shape[1]), (0, 2 * columns - x.shape[2]), (0, 0)]
        x = np.pad(x, edges, constant_values=-np.inf)
        x = x.reshape(1, rows, 2, columns, 2, -1).max((2, 4))
    np.testing.assert_allclose(ends["features"], x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"depth": 18}, "depth is 18: it must be one of 11, 13, 16, 19"),
        ({"output_stride": 64}, "output_stride is 64: VGG has 1, 2, 4, 8, 16, 32"),
        ({"pool_windows": (2, 2)}, "pool_windows is .2, 2.: VGG has 5"),
        ({"places": True, "output_stride": 8}, "places needs poolings of window and stride 2"),
    ],
)
def test_invalid_fields_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        shapes_of(VGG(**fields))
