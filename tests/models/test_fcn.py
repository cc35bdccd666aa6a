"""FCN: published counts, sizes, crops and receptive fields, and the positions of scores."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxseg.backbones.alexnet import AlexNet
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.vgg import VGG
from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.conv_transpose import bilinear_init, bilinear_taps
from jaxseg.layers.grid import Grid
from jaxseg.layers.norm import Norm
from jaxseg.models.fcn import FCN
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, ThreeMaps, images

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "FCN": [
        FCN(5, VGG(depth=11, image_padding=100, atrous_pools=False)),
        FCN(5, AlexNet(image_padding=100), 32, fc6_kernel=5),
        FCN(5, VGG(depth=11, norm=Norm(), atrous_pools=False), 16, True, fc6_padding=None),
    ],
}


STRIDES = (32, 16, 8)
BORDER = VGG(image_padding=100)
SMALL = FCN(3, VGG(depth=11, width=1, image_padding=100), head_features=4, compute=PLAIN)
ALEXNET = FCN(21, AlexNet(image_padding=100), 32, fc6_kernel=6)


@pytest.mark.parametrize(
    ("classes", "published"),
    [
        (21, (134_346_581, 134_357_354, 134_362_751)),
        (11, (134_305_611, 134_311_254, 134_314_081)),
        (19, (134_338_387, 134_348_134, 134_353_017)),
        (60, (134_506_364, 134_537_144, 134_552_564)),
    ],
)
def test_published_counts(classes, published):
    for stride, parameters in zip(STRIDES, published, strict=True):
        assert count(shapes_of(FCN(classes, BORDER, stride))) == parameters


def test_published_counts_of_the_other_forms():
    """Learned 4 x 4 kernels over all classes, a learned 16 x 16 kernel as well, and AlexNet."""
    model = FCN(21, BORDER)
    assert count(shapes_of(model.clone(at_once=True))) == 134_362_751
    assert count(shapes_of(model.clone(deconvolution="learned"))) == 134_376_863
    assert count(shapes_of(model.clone(deconvolution="all_learned"))) == 134_489_759
    assert count(shapes_of(ALEXNET)) == 56_954_261
    stored = {32: 136_152_917, 16: 134_815_994}
    for stride, parameters in stored.items():
        model = FCN(21, BORDER, stride, deconvolution="all_learned")
        assert count(shapes_of(model)) == parameters


def test_each_stage_has_the_parameters_of_the_previous_one():
    """Each parameter of a stage has the same name and shape in the next stage."""
    trees = [traverse_util.flatten_dict(shapes_of(FCN(21, BORDER, s))["params"]) for s in STRIDES]
    for before, after, new in zip(trees, trees[1:], ("score_pool4", "score_pool3"), strict=False):
        assert before.items() <= after.items()
        assert {path[0] for path in after.keys() - before.keys()} == {new}


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((500, 500), (16, 34, 70, 568), (16, 34, 70, 568)),
        ((360, 480), (12, 26, 54, 440), (16, 34, 70, 568)),
    ],
)
def test_published_sizes(size, rows, columns):
    """The sizes of fc7's map and of each upsampled map before its crop."""
    seen = []

    def record(call, arguments, keywords, context):
        result = call(*arguments, **keywords)
        if (context.module.name or "").startswith(("score_fr", "upscore")):
            seen.append(result.shape[1:3])
        return result

    with nn.intercept_methods(record):
        shapes_of(SMALL, size)
    assert seen == list(zip(rows, columns, strict=True))


def test_strides_of_the_scores():
    layers = summary.summarize(SMALL, (100, 70)).layers
    strides = {layer.path: layer.stride for layer in layers}
    names = ("score_fr", "upscore2", "score_pool4", "upscore_pool4", "score_pool3", "upscore8")
    assert [strides[name] for name in names] == [32, 16, 16, 8, 8, 1]


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (SMALL.clone(backbone=BORDER.clone(width=1)), 404),
        (ALEXNET.clone(backbone=AlexNet(width=2, image_padding=100), head_features=2), 355),
    ],
)
def test_published_receptive_fields(model, field):
    layers = summary.summarize(model, (500, 500)).layers
    assert {layer.field for layer in layers if layer.path == "head/fc6"} == {field}


def upsampled(x, stride, size):
    """Upsamples by loops: adds each input times the kernel at its position in the output."""
    kernel = np.outer(bilinear_taps(size), bilinear_taps(size))[None, :, :, None]
    batch, h, w, classes = x.shape
    y = np.zeros((batch, stride * (h - 1) + size, stride * (w - 1) + size, classes))
    for i, j in np.ndindex(h, w):
        top, left = stride * i, stride * j
        y[:, top : top + size, left : left + size] += kernel * x[:, i : i + 1, j : j + 1]
    return y


def scored(variables, name, x):
    its = variables["params"][name]
    return np.asarray(x, np.float64) @ its["kernel"][0, 0] + its["bias"]


@pytest.mark.parametrize("stride", [*STRIDES, "alexnet"])
def test_matches_a_reimplementation_with_the_published_crops(stride):
    """Crops of voc-fcn32s, 16s, 8s and the released AlexNet: 19, 27, 31 and 18; 5 and 9."""
    height, width = size = (21, 40)
    if stride == "alexnet":
        model = ALEXNET.clone(num_classes=3, head_features=4, compute=PLAIN)
        model = model.clone(backbone=AlexNet(image_padding=100, width=4, compute=PLAIN))
    else:
        model = SMALL.clone(stride=stride)
    variables = random_variables(model, size)
    x = images(size)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(variables, x):
        ends = model.backbone.apply({"params": variables["params"]["backbone"]}, x, train=False)
        return model.apply(variables, x, train=False), ends

    outputs, ends = run(variables, x)
    score = scored(variables, "score_fr", outputs["fc7"])
    crop, size, by = {32: (19, 64, 32), 16: (27, 32, 16), 8: (31, 16, 8), "alexnet": (18, 63, 32)}[
        stride
    ]
    skips = [("pool4", 5), ("pool3", 9)]
    for skip, offset in skips[: {16: 1, 8: 2}.get(stride, 0)]:
        score = upsampled(score, 2, 4)
        rows, columns = score.shape[1:3]
        finer = scored(variables, f"score_{skip}", ends[skip])
        score += finer[:, offset : offset + rows, offset : offset + columns]
    score = upsampled(score, by, size)
    expected = score[:, crop : crop + height, crop : crop + width]
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-4)


class Ramp(nn.Module):
    """Maps with the grids of another backbone, whose values are the image row of each pixel."""

    like: nn.Module
    head_rate = 1

    def grids(self):
        return self.like.grids()

    @nn.compact
    def __call__(self, x, *, train):
        shapes = jax.eval_shape(
            lambda: self.like.init_with_output(jax.random.key(0), x, train=False)[0]
        )
        maps = {}
        for name, grid in self.grids().items():
            rows = float(grid.start) + float(grid.stride) * jnp.arange(shapes[name].shape[1])
            maps[name] = jnp.broadcast_to(rows[:, None, None], (*shapes[name].shape[:3], 1))
        return {name: 1000 + rows for name, rows in maps.items()}


@pytest.mark.parametrize(
    ("backbone", "fc6", "stride"),
    [
        (BORDER, (7, 0), 8),
        *((VGG(), (7, None), stride) for stride in STRIDES),
        (VGG(image_padding=33), (3, 1), 8),
        (AlexNet(image_padding=100), (6, 0), 32),
    ],
)
def test_scores_are_aligned_with_the_image(backbone, fc6, stride):
    """For any border, kernel and padding, maps of row numbers give the row numbers of the image."""
    kernel_size, padding = fc6
    backbone = backbone.clone(width=2)
    model = FCN(
        1, Ramp(backbone), stride, head_features=1, fc6_kernel=kernel_size, fc6_padding=padding
    )
    size = (160, 130)
    middle = np.zeros((kernel_size, kernel_size, 1, 1), np.float32)
    inner = slice((kernel_size - 1) // 2, kernel_size // 2 + 1)
    middle[inner, inner] = 1
    middle /= middle.sum()

    def weight(path, leaf):
        if path[-1].key == "bias":
            return np.zeros(leaf.shape, np.float32)
        return middle if path[-2].key == "fc6" else np.ones(leaf.shape, np.float32)

    shapes = shapes_of(model, size)
    variables = jax.tree_util.tree_map_with_path(weight, shapes)
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    logits = run(variables, jnp.zeros((1, *size, 3)))["logits"]
    maps = {32: 1, 16: 2, 8: 3}[stride]
    rows = np.asarray(logits)[0, :, size[1] // 2, 0] / maps - 1000
    inside = slice(48, size[0] - 48)  # scores decrease to 0 outside the coarsest map
    np.testing.assert_allclose(rows[inside], np.arange(size[0])[inside], atol=0.01)


def test_every_size_of_image_is_covered():
    for model in (SMALL, SMALL.clone(backbone=VGG(depth=11, width=1), fc6_padding=None)):
        for stride, size in ((32, (1, 32)), (16, (2, 33)), (8, (1, 31)), (8, (65, 95))):
            assert shapes_of(model.clone(stride=stride), size)  # it is refused otherwise


def run_of(model):
    x = images((40, 40))
    return jax.jit(lambda v: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)


def test_every_skip_is_used_and_scaled_with_at_once():
    """Removing any of the three scores changes the logits; 0.01 could be part of the kernel."""
    variables = random_variables(SMALL)
    run = run_of(SMALL)
    before = run(variables)
    for name in ("score_fr", "score_pool4", "score_pool3"):
        without = jax.tree.map(np.zeros_like, variables["params"][name])
        changed = {"params": variables["params"] | {name: without}}
        assert np.abs(run(changed) - before).max() > 1e-3
    at_once = run_of(SMALL.clone(at_once=True))(variables)
    scaled = dict(variables["params"])
    for name, factor in (("score_pool4", 0.01), ("score_pool3", 0.0001)):
        scaled[name] = scaled[name] | {"kernel": factor * scaled[name]["kernel"]}
    np.testing.assert_allclose(at_once, run({"params": scaled}), rtol=1e-5, atol=1e-5)


def test_learned_deconvolutions_are_initially_bilinear_and_get_gradients():
    variables = random_variables(SMALL)
    fixed = run_of(SMALL)(variables)
    model = SMALL.clone(deconvolution="all_learned")
    params = dict(variables["params"])
    for name, size in (("upscore2", 4), ("upscore_pool4", 4), ("upscore8", 16)):
        params[name] = {"kernel": bilinear_init(None, (size, size, 3, 3))}
    run = run_of(model)
    np.testing.assert_allclose(run({"params": params}), fixed, rtol=1e-4, atol=1e-4)

    def loss(kernels):
        outputs = model.apply({"params": params | kernels}, images((9, 9)), train=False)
        return jnp.sum(jnp.sin(outputs["logits"]))

    kernels = {name: params[name] for name in ("upscore2", "upscore_pool4", "upscore8")}
    gradient = jax.jit(jax.grad(loss), compiler_options=QUICK)(kernels)
    for name, leaf in gradient.items():
        assert np.isfinite(leaf["kernel"]).all(), name
        assert np.abs(leaf["kernel"]).max() > 0, name


def test_scores_start_at_zero():
    model = FCN(3, ThreeMaps(), head_features=2, fc6_padding=None, compute=PLAIN)
    start = functools.partial(model.init_with_output, train=False)
    outputs, variables = jax.jit(start, compiler_options=QUICK)(jax.random.key(0), images((8, 8)))
    assert not np.any(outputs["logits"])
    assert np.any(variables["params"]["head"]["fc7"]["kernel"])


class Shifted(Ramp):
    """Pool4 is shifted by a third of a pixel against the other maps."""

    def grids(self):
        grids = self.like.grids()
        pool4 = grids["pool4"]
        return grids | {"pool4": Grid(pool4.start + pool4.stride / 3, pool4.stride)}


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (FCN(5, BORDER, 4), "stride is 4: FCN has 32, 16, 8"),
        (FCN(5, BORDER, deconvolution="learnt"), "'learnt': it is one of fixed, learned"),
        (FCN(5, ResNet(depth=18)), r"ResNet has no method grids\(\)"),
        (ALEXNET.clone(stride=16), "it needs the map pool4, and AlexNet has none"),
        (FCN(5, VGG(), fc6_padding=2), "scores begin at pixel 4 and are 216 x 216, the image 224"),
        (FCN(5, Shifted(VGG())), "upscore2 cannot align its pixels with those of"),
        (
            FCN(5, VGG(image_padding=100, output_stride=16), deconvolution="learned"),
            "for output stride 32, and the backbone's is 16",
        ),
    ],
)
def test_invalid_fields_are_refused(model, says):
    with pytest.raises(ValueError, match=says):
        shapes_of(model, (224, 224))
