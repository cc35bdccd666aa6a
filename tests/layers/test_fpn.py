"""Feature pyramids: counts, Table 1's networks, the law of strides, PANet's path."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.fpn import FPN, BottomUpPath, Level, levels_of_backbone, like_finer
from jaxseg.layers.norm import Norm
from tests.helpers.variables import count, random_variables
from tests.models.networks import QUICK, images

STAGES = ("stage1", "stage2", "stage3", "stage4")
WIDTHS = (256, 512, 1024, 2048)  # of a ResNet-50


def levels(widths=WIDTHS, size=64, stride_of=lambda nominal: nominal):
    made = []
    for n, width in enumerate(widths):
        nominal = 2 ** (n + 2)
        side = -(-size // stride_of(nominal))
        made.append(Level(jnp.zeros((1, side, side, width)), nominal, stride_of(nominal)))
    return made


def traced(module, given):
    """Variables and the levels that come out, by shape."""
    strides = []

    def run():
        made, variables = module.init_with_output(jax.random.key(0), given, train=False)
        strides.extend((level.nominal, level.stride) for level in made)
        return [level.values for level in made], variables

    values, variables = jax.eval_shape(run)
    return variables, [x.shape for x in values], strides


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({}, 3_344_384),
        ({"norm": Norm()}, 3_346_432),
        ({"norm": Norm("group")}, 3_346_432),
        ({"top_down": False}, 3_344_384),
        # (e): the lateral of C5 alone.
        ({"lateral": False}, 3_344_384 - 256 * (256 + 512 + 1024 + 3)),
        ({"finest_only": True}, 3_344_384 - 3 * (9 * 256 * 256 + 256)),
        ({"extra": "conv"}, 3_344_384 + 256 * 9 * (2048 + 256) + 2 * 256),
    ],
)
def test_counts(fields, parameters):
    variables, _, _ = traced(FPN(**fields), levels())
    assert count(variables) == parameters


def test_pafpn_is_mmdetections():
    """6 x (3x3 256) more than FPN."""
    variables, _, _ = traced(BottomUpPath(), levels((256,) * 4))
    assert count(variables) == 6_884_864 - 3_344_384
    variables, _, _ = traced(BottomUpPath(norm=Norm("group")), levels((256,) * 4))
    assert count(variables) == 3_543_552


@pytest.mark.parametrize("extra", ["subsample", "conv", "none"])
def test_extra_levels(extra):
    _, shapes, strides = traced(FPN(features=8, extra=extra), levels((4, 4, 4, 4)))
    more = {"subsample": [(64, 64)], "conv": [(64, 64), (128, 128)], "none": []}[extra]
    assert strides == [(4, 4), (8, 8), (16, 16), (32, 32), *more]
    assert [shape[1] for shape in shapes] == [64 // stride for _, stride in strides[:5]] + [
        1 for _ in more[1:]
    ]


def test_an_unknown_extra_is_refused():
    with pytest.raises(ValueError, match=r"neck\.extra is 'p6'"):
        traced(FPN(features=8, extra="p6"), levels((4, 4)))


@pytest.mark.parametrize("size", [(9, 13), (5, 8), (1, 1), (10, 14)])
def test_repeating_is_torchs_nearest(size):
    """Index i of n takes floor(i m / n) of the m of the coarser map, whose stride is twice."""
    coarse = [-(-n // 2) for n in size]
    x = np.arange(np.prod(coarse), dtype=np.float32).reshape(1, *coarse, 1)
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, coarse, strict=True))
    np.testing.assert_array_equal(like_finer(jnp.asarray(x), size), x[:, rows][:, :, columns])


def test_written_out_again():
    """P4 of three levels; top-down additions; and (d), (e) of Table 1 without them."""
    rng = np.random.default_rng(0)
    given = [
        Level(jnp.asarray(rng.normal(size=(1, n, n, 3)).astype(np.float32)), 2**k, 2**k)
        for k, n in ((2, 8), (3, 4))
    ]
    for fields in ({}, {"top_down": False}, {"lateral": False}):
        module = FPN(features=2, extra="none", compute=PLAIN, **fields)
        made, variables = module.init_with_output(jax.random.key(0), given, train=False)
        params = variables["params"]
        fine, coarse = (np.asarray(level.values) for level in given)
        up = (coarse @ params["lateral3"]["conv"]["kernel"][0, 0]).repeat(2, 1).repeat(2, 2)
        expected = 0
        if fields.get("lateral", True):
            expected += fine @ params["lateral2"]["conv"]["kernel"][0, 0]
        else:
            assert "lateral2" not in params
        if fields.get("top_down", True):
            expected = expected + up
        kernel = np.asarray(params["output2"]["conv"]["kernel"])
        padded = np.pad(expected, ((0, 0), (1, 1), (1, 1), (0, 0)))
        out = sum(
            padded[:, i : i + 8, j : j + 8] @ kernel[i, j] for i in range(3) for j in range(3)
        )
        np.testing.assert_allclose(made[0].values, out, atol=1e-5)


@pytest.mark.parametrize("size", [pytest.param((96, 64), marks=pytest.mark.slow), (81, 65)])
def test_p5_and_p6_keep_the_law(size):
    """P5 and P6 on an atrous stage 4, sub-sampled, are those of the nominal network."""
    x = images(size)
    maps = {}
    for output_stride in (32, 16, 8):
        backbone = ResNet(18, width=4, output_stride=output_stride, compute=PLAIN)
        variables = random_variables(backbone.clone(output_stride=32))
        ends = jax.jit(functools.partial(backbone.apply, train=False), compiler_options=QUICK)(
            variables, x
        )
        given = levels_of_backbone(ends, STAGES, output_stride, "ResNet")
        neck = FPN(features=4, compute=PLAIN)
        made = neck.apply(neck.init(jax.random.key(1), given, train=False), given, train=False)
        assert [level.nominal for level in made] == [4, 8, 16, 32, 64]
        assert [level.stride for level in made] == [
            *(min(n, output_stride) for n in (4, 8, 16, 32)),
            2 * output_stride,
        ]
        maps[output_stride] = [np.asarray(level.values) for level in made[-2:]]
    for output_stride in (16, 8):
        step = 32 // output_stride
        for atrous, nominal in zip(maps[output_stride], maps[32], strict=True):
            np.testing.assert_allclose(atrous[:, ::step, ::step], nominal, atol=1e-4)


def test_the_bottom_up_path_on_an_atrous_pyramid():
    given = levels((8,) * 4, stride_of=lambda nominal: min(nominal, 8))
    _, shapes, strides = traced(BottomUpPath(features=8), given)
    assert strides == [(4, 4), (8, 8), (16, 8), (32, 8), (64, 16)]
    assert [shape[1] for shape in shapes] == [16, 8, 8, 8, 4]


def test_a_level_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="levels holds 'stage5': ResNet has stage1"):
        levels_of_backbone(
            {"stage1": jnp.zeros((1, 1, 1, 1)), "stem": None}, ("stage5",), 4, "ResNet"
        )
