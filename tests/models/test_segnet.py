"""SegNet: released counts, sizes and fields; use of every index; the released class weights."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from experiments.segnet import camvid as segnet_camvid
from jaxseg.data.builders import camvid
from jaxseg.inspection import summary
from jaxseg.layers.compute import Compute
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.layers.upsample import KINDS, Upsample
from jaxseg.models.segnet import SegNet
from jaxseg.pixels import Normalisation
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "SegNet": [SegNet(5, depth=11)],
}


@pytest.mark.parametrize(
    ("classes", "released", "without_bias"),
    [
        (11, 29_449_355, 29_441_408),
        (37, 29_464_357, 29_456_384),
        *(
            pytest.param(*counts, marks=pytest.mark.slow)
            for counts in ((12, 29_449_932, 29_441_984), (21, 29_455_125, 29_447_168))
        ),
    ],
)
def test_published_counts(classes, released, without_bias):
    assert count(shapes_of(SegNet(classes))) == released
    assert count(shapes_of(SegNet(classes, use_bias=False))) == without_bias


def test_the_decoder_mirrors_the_encoder():
    """segnet_train.prototxt: the output channels of stages 5 to 1."""
    flat = traverse_util.flatten_dict(shapes_of(SegNet(11))["params"], sep="/")
    outputs = {
        path.split("/")[0]: leaf.shape[-1]
        for path, leaf in flat.items()
        if path.endswith("_D/kernel")
    }
    assert outputs == {
        **{"conv5_3_D": 512, "conv5_2_D": 512, "conv5_1_D": 512},
        **{"conv4_3_D": 512, "conv4_2_D": 512, "conv4_1_D": 256},
        **{"conv3_3_D": 256, "conv3_2_D": 256, "conv3_1_D": 128},
        **{"conv2_2_D": 128, "conv2_1_D": 64, "conv1_2_D": 64},
    }
    assert flat["classifier/kernel"].shape == (3, 3, 64, 11)


def called(model, kind, size):
    """Returns the modules of a kind that a model calls in training, with their output shapes."""
    found = []

    def record(call, arguments, keywords, context):
        result = call(*arguments, **keywords)
        if isinstance(context.module, kind) and context.method_name == "__call__":
            found.append((context.module.clone(parent=None), result.shape))
        return result

    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    with nn.intercept_methods(record):
        jax.eval_shape(lambda: model.init(keys, jnp.zeros((1, *size, 3)), train=True))
    return found


def test_published_sizes():
    """360 x 480 gives odd maps, whose sizes the unpooling restores."""
    sizes = [shape[1:3] for _, shape in called(SegNet(11), Upsample, (360, 480))]
    assert sizes == [(23, 30), (45, 60), (90, 120), (180, 240), (360, 480)]


def test_receptive_field_at_pool5():
    """The receptive field is 212 pixels."""
    layers = summary.summarize(SegNet(11, width=1), (360, 480)).layers
    pools = [layer for layer in layers if layer.kind == "max pool 2x2"]
    assert [layer.field for layer in pools] == [6, 16, 44, 100, 212]
    assert pools[-1].shape == (12, 15, 8)


def test_every_norm_is_the_released_one():
    """bn_layer.cpp: epsilon is 1e-9 and the initial bias 0.001; only the classifier has no norm."""
    norms = called(SegNet(11, width=1), NormLayer, (33, 33))
    assert len(norms) == 25
    assert {layer.norm for layer, _ in norms} == {Norm(epsilon=1e-9, bias_init=0.001)}
    layer = NormLayer(Norm(bias_init=0.001))
    start = layer.init(jax.random.key(0), jnp.zeros((1, 2, 2, 3)), train=False)
    np.testing.assert_array_equal(start["params"]["bias"], np.float32(0.001))


def test_dropout_is_where_bayesian_segnet_has_it():
    """After poolings 3, 4 and 5, and after the last convolutions of stages 5, 4 and 3."""
    layers = called(SegNet(11, dropout=0.5), nn.Dropout, (360, 480))
    assert [shape[1:] for _, shape in layers] == [
        *[(45, 60, 256), (23, 30, 512), (12, 15, 512)],
        *[(23, 30, 512), (45, 60, 256), (90, 120, 128)],
    ]
    assert {layer.rate for layer, _ in layers} == {0.5}


def test_every_index_is_used():
    """Unpooling the values of one stage to the first pixel of their windows changes the logits."""
    model = SegNet(3, depth=11, width=2, compute=Compute(form="fast"))
    x = images((33, 37))
    variables = random_variables(model)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(variables, cornered):
        def change(call, arguments, keywords, context):
            if isinstance(context.module, Upsample):
                y, size, places = arguments
                stage = int(context.module.name.removeprefix("upsample"))
                places = jnp.where(cornered == stage, 0, places)
                arguments = (y, size, places)
            return call(*arguments, **keywords)

        with nn.intercept_methods(change):
            return model.apply(variables, x, train=False)["logits"]

    before = run(variables, 0)
    for stage in range(1, 6):
        assert np.abs(run(variables, stage) - before).max() > 1e-3, stage


@pytest.mark.parametrize("kind", KINDS)
def test_upsampling_is_a_choice(kind):
    """Any size works, with the same parameters except for learned kernels."""
    model = SegNet(5, width=8, upsampling=kind)
    variables = shapes_of(model, (45, 61))
    learned = 16 * (64**2 + 64**2 + 32**2 + 16**2 + 8**2) if kind == "transposed" else 0
    assert count(variables) == count(shapes_of(SegNet(5, width=8))) + learned


def test_the_released_weights_are_in_the_order_of_the_classes():
    """They are 0.83 to 0.98 times those computed from the annotations, except for SignSymbol."""
    recomputed = {
        **{"sky": 0.2793, "building": 0.2017, "pole": 4.7865, "road": 0.1490, "pavement": 1.0},
        **{"tree": 0.4217, "signsymbol": 3.8467, "fence": 1.9736, "car": 0.7889},
        **{"pedestrian": 6.3747, "bicyclist": 8.8587},
    }
    released = dict(zip(camvid.LABELS.names, segnet_camvid.RELEASED, strict=True))
    factors = {name: released[name] / weight for name, weight in recomputed.items()}
    assert factors.pop("signsymbol") == pytest.approx(2.5, abs=0.01)
    assert min(factors.values()) > 0.825
    assert max(factors.values()) < 0.985


def test_the_recipes_of_the_paper_and_the_release():
    """Compares the paper's benchmark (section 4) with the released solver and prototxt."""
    full, release = (segnet_camvid.get_config(size) for size in ("full", "release"))
    for built in (full, release):
        assert built.data.crop_size == built.eval.size == (360, 480)
        assert built.data.augment.scale_range == (1.0, 1.0)
        assert not built.data.augment.flip
        optim = built.optim
        assert (optim.name, optim.schedule, optim.learning_rate) == ("sgd", "constant", 1e-3)
        assert (optim.momentum, optim.weight_decay, built.train.steps) == (0.9, 5e-4, 40_000)
        assert built.model == SegNet(11)
    assert (full.data.batch_size, full.loss.class_weights) == (5, ())
    assert (release.data.batch_size, release.loss.class_weights) == (4, segnet_camvid.RELEASED)
    assert release.data.normalisation == Normalisation((0, 0, 0), (1, 1, 1))
    with pytest.raises(ValueError, match="must be small, full or release"):
        segnet_camvid.get_config("large")
