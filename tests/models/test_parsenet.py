"""ParseNet: published counts, L2 normalisation by its formulas, a reimplementation of fusion."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones.vgg import VGG
from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN
from jaxseg.models.parsenet import MAPS, L2Norm, ParseNet, parsenet_fcn, parsenet_large_fov
from tests.helpers.variables import random_variables, shapes_of
from tests.models.networks import QUICK, images, parameters

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "ParseNet": [ParseNet(5, VGG(depth=11, atrous_pools=False), ("fc7",), "late")],
    "parsenet_fcn": [parsenet_fcn(5, MAPS)],
    "parsenet_large_fov": [parsenet_large_fov(5)],
}


SMALL = ParseNet(
    3, VGG(depth=11, width=2, atrous_pools=False), MAPS, head_features=4, compute=PLAIN
)


@pytest.mark.parametrize(
    ("classes", "published"),
    [
        (21, (134_350_677, 134_440_789, 134_452_053, 134_463_317, 134_468_949)),
        (60, (134_510_460, 134_760_316, 134_791_548, 134_822_780, 134_838_396)),
    ],
)
def test_counts(classes, published):
    """fc7, then with pool6, conv5, conv4 and conv3 added one by one, including scale factors."""
    selections = (("fc7",), *(MAPS[:n] for n in (2, 3, 4, 5)))
    assert tuple(parameters(parsenet_fcn(classes, maps)) for maps in selections) == published


def test_count_on_large_fov():
    model = parsenet_large_fov(21)
    assert parameters(model) == 20_528_981
    late = model.clone(fusion="late")
    assert parameters(late) == 20_528_981 + 21  # one more bias
    assert parameters(model.clone(normalize=False)) == 20_528_981 - 2 * 1024


def test_l2_norm_and_its_gradient_equal_the_formulas():
    """dL/dx = g / |x| - x (x . g) / |x|^3, g = scale dL/dy; dL/dscale = sum of dL/dy x / |x|."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 2, 3, 4, 5))
    scale = rng.uniform(5, 15, 5)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(x, scale, dy):
        norm = lambda x, scale: L2Norm(dtype="float64").apply({"params": {"scale": scale}}, x)
        y, pull = jax.vjp(norm, x, scale)
        return y, *pull(dy)

    with jax.enable_x64(True):
        y, dx, dscale = run(x, scale, dy)
    length = np.sqrt((x**2).sum(-1, keepdims=True) + 1e-10)
    np.testing.assert_allclose(y, scale * x / length, rtol=1e-12)
    g = dy * scale
    np.testing.assert_allclose(
        dx, g / length - x * (x * g).sum(-1, keepdims=True) / length**3, atol=1e-12
    )
    np.testing.assert_allclose(dscale, (dy * x / length).sum((0, 1, 2)), rtol=1e-12)


def test_epsilon_is_inside_the_root_and_factors_are_initially_10():
    module = L2Norm()
    x = jnp.full((1, 1, 1, 4), 5e-6)  # squares sum to epsilon
    y, variables = module.init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y, 10 * 5e-6 / np.sqrt(2e-10), rtol=1e-5)
    np.testing.assert_array_equal(variables["params"]["scale"], np.full(4, 10.0))
    half = L2Norm(dtype="bfloat16").apply(variables, jnp.full((1, 1, 1, 4), 300, "bfloat16"))
    np.testing.assert_array_equal(half, np.full((1, 1, 1, 4), 5.0, "bfloat16"))


def _upsampled(x, stride, size):
    """Interpolates between the centres of squares of `stride` pixels, with np.interp."""
    for axis, side in zip((1, 2), size, strict=True):
        place = (np.arange(side) + 0.5) / stride - 0.5
        line = functools.partial(np.interp, place, np.arange(x.shape[axis]))
        x = np.apply_along_axis(line, axis, x)
    return x


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_fusion_matches_a_reimplementation(fusion):
    """Normalises, upsamples, concatenates and classifies all maps, each of which is used."""
    model = SMALL.clone(fusion=fusion)
    size = (33, 70)
    x = images(size)
    variables = random_variables(model)
    params = variables["params"]
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    trunk = jax.jit(functools.partial(model.backbone.apply, train=False), compiler_options=QUICK)
    ours, ends = run(variables, x), dict(trunk({"params": params["backbone"]}, x))
    ends["fc7"] = np.asarray(ours["fc7"])
    ends["pool6"] = ends["fc7"].mean((1, 2), keepdims=True)
    strides = {"pool6": 1, "fc7": 32, "conv5": 16, "conv4": 8, "conv3": 4}
    expected, start = 0.0, 0
    if fusion == "early":
        expected = params["classifier"]["bias"]
    for name in MAPS:
        part = np.asarray(ends[name], float)
        part /= np.sqrt((part**2).sum(-1, keepdims=True) + 1e-10)
        part = _upsampled(part * params[f"norm_{name}"]["scale"], strides[name], size)
        if fusion == "late":
            own = params[f"classifier_{name}"]
            scores = part @ own["kernel"][0, 0] + own["bias"]
        else:
            scores = part @ params["classifier"]["kernel"][0, 0, start : start + part.shape[-1]]
            start += part.shape[-1]
        assert scores.std() > 0.05 or name == "pool6"  # the map is used
        assert np.abs(scores).max() > 0.05
        expected = expected + scores
    np.testing.assert_allclose(ours["logits"], expected, atol=2e-4)


@pytest.mark.parametrize("maps", [("fc7",), ("pool6", "fc7")])
def test_global_context_is_the_whole_image(maps):
    layers = summary.summarize(SMALL.clone(maps=maps), (64, 64)).layers
    scores = [row.field for row in layers if row.path == "classifier"]
    assert scores == {1: [342], 2: [None, 342]}[len(maps)]  # None: the whole image
    assert any(row.whole for row in layers) == ("pool6" in maps)


def test_on_large_fov_a_map_of_8_k_plus_1_keeps_its_corners():
    model = parsenet_large_fov(3)
    model = model.clone(
        backbone=model.backbone.clone(depth=11, width=2), head_features=4, compute=PLAIN
    )
    model = model.clone(maps=("fc7",))
    x = images((33, 41))
    variables = random_variables(model)
    outputs = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)(
        variables, x
    )
    params, fc7 = variables["params"], np.asarray(outputs["fc7"], float)
    assert fc7.shape == (1, 5, 6, 4)
    fc7 /= np.sqrt((fc7**2).sum(-1, keepdims=True) + 1e-10)
    scores = (fc7 * params["norm_fc7"]["scale"]) @ params["classifier"]["kernel"][0, 0]
    scores += params["classifier"]["bias"]
    np.testing.assert_allclose(outputs["logits"][:, ::8, ::8], scores, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"maps": ()}, r"choose at least one of pool6, fc7, conv5, conv4, conv3"),
        ({"maps": ("fc7", "conv2")}, "maps is .*conv2"),
        ({"fusion": "middle"}, "fusion is 'middle': it must be one of early, late"),
    ],
)
def test_invalid_fields_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        shapes_of(SMALL.clone(**fields))
