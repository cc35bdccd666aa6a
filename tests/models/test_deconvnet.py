"""DeconvNet: published counts and sizes, use of every index, small and large images."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from experiments.deconvnet import camvid
from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN, Compute
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.layers.upsample import Upsample
from jaxseg.models.deconvnet import DeconvNet
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "DeconvNet": [DeconvNet(5, depth=11, fc_features=8, fc_kernel=2)],
}


@pytest.mark.parametrize(
    ("model", "published"),
    [
        (DeconvNet(21, norm=Norm("none")), 251_772_245),
        (DeconvNet(21), 251_805_653),
        (DeconvNet(11), 251_805_003),
        (DeconvNet(11, fc_features=1024), 81_917_259),
    ],
)
def test_published_counts(model, published):
    assert count(shapes_of(model)) == published


def test_the_decoder_is_the_released_one():
    """The released prototxt: the output channels of each transposed convolution."""
    flat = traverse_util.flatten_dict(shapes_of(DeconvNet(21))["params"], sep="/")
    outputs = {
        path.split("/")[0]: leaf.shape[-1]
        for path, leaf in flat.items()
        if "deconv" in path and path.endswith("/kernel")
    }
    assert outputs == {
        **{"fc6_deconv": 512},
        **{"deconv5_1": 512, "deconv5_2": 512, "deconv5_3": 512},
        **{"deconv4_1": 512, "deconv4_2": 512, "deconv4_3": 256},
        **{"deconv3_1": 256, "deconv3_2": 256, "deconv3_3": 128},
        **{"deconv2_1": 128, "deconv2_2": 64, "deconv1_1": 64, "deconv1_2": 64},
    }
    assert flat["fc6_deconv/kernel"].shape == (7, 7, 4096, 512)


def test_the_decoder_without_relu_has_values_of_both_signs():
    model = DeconvNet(3, depth=11, width=2, fc_features=4, fc_kernel=2, compute=PLAIN)
    variables = random_variables(model)
    for relu in (True, False):
        run = functools.partial(model.clone(decoder_relu=relu).apply, train=False)
        outputs = jax.jit(run, compiler_options=QUICK)(variables, images((40, 40)))
        assert (outputs["features"] < 0).any() != relu
        assert (outputs["fc7"] >= 0).all()


@pytest.mark.parametrize(
    ("size", "fc7", "maps"),
    [
        ((224, 224), (1, 1), [14, 28, 56, 112, 224]),  # Figure 2
        ((360, 480), (6, 9), [23, 45, 90, 180, 360]),  # as in SegNet's benchmark
        ((50, 500), (1, 10), [13, 25, 49, 97, 193]),  # padded to 193 rows
    ],
)
def test_sizes(size, fc7, maps):
    model = DeconvNet(3, width=1, fc_features=4)
    sizes, norms = [], []

    def record(call, arguments, keywords, context):
        result = call(*arguments, **keywords)
        if isinstance(context.module, Upsample):
            sizes.append(result.shape[1])
        if isinstance(context.module, NormLayer) and context.method_name == "__call__":
            norms.append(context.module.norm)
        return result

    x = jnp.zeros((1, *size, 3))
    with nn.intercept_methods(record):
        outputs = jax.eval_shape(
            lambda: model.init_with_output(jax.random.key(0), x, train=False)[0]
        )
    assert outputs["fc7"].shape == (1, *fc7, 4)
    assert sizes == maps
    assert outputs["logits"].shape == (1, *size, 3)
    assert set(norms) == {Norm(epsilon=1e-9, bias_init=0.001)}
    assert len(norms) == 13 + 3 + 13


def test_receptive_field_of_fc6():
    """404 pixels as in FCN, so at 224 x 224 each feature sees the whole image."""
    layers = summary.summarize(DeconvNet(3, width=1, fc_features=2), (224, 224)).layers
    assert [layer.field for layer in layers if layer.path in ("fc6", "fc7")] == [404, 404]


def test_every_index_is_used_and_so_is_fc7():
    """Unpooling the values of one stage to the first pixel of their windows changes the logits."""
    model = DeconvNet(
        3, depth=11, width=2, fc_features=4, fc_kernel=2, compute=Compute(form="fast")
    )
    x = images((50, 61))
    variables = random_variables(model)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(variables, cornered):
        def change(call, arguments, keywords, context):
            if isinstance(context.module, Upsample):
                y, size, places = arguments
                stage = int(context.module.name.removeprefix("unpool"))
                arguments = (y, size, jnp.where(cornered == stage, 0, places))
            return call(*arguments, **keywords)

        with nn.intercept_methods(change):
            return model.apply(variables, x, train=False)["logits"]

    before = run(variables, 0)
    for stage in range(1, 6):
        assert np.abs(run(variables, stage) - before).max() > 1e-4, stage
    changed = jax.tree.map(np.copy, variables)
    changed["params"]["fc7_norm"]["scale"] *= 0
    changed["params"]["fc7_norm"]["bias"] *= 0
    assert np.abs(run(changed, 0) - before).max() > 1e-4


def test_configuration_of_the_segnet_benchmark():
    """SegNet's paper, section 4: fc6 and fc7 have 1024 features."""
    built = camvid.get_config("full")
    assert built.model == DeconvNet(11, fc_features=1024)
    assert (built.data.crop_size, built.data.batch_size) == ((360, 480), 5)
    with pytest.raises(ValueError, match="must be small or full"):
        camvid.get_config("release")
