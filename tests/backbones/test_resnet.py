"""ResNet: published counts, the table of rates, and the a trous identity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones import resnet
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.norm import Norm
from tests.helpers.variables import count, random_variables, shapes_of

STRIDES_AT = ("first_3x3", "first_1x1", "last_3x3")


@pytest.mark.parametrize(
    ("depth", "stem", "parameters"),
    [
        (18, "7x7", 11_689_512 - 513_000),  # torchvision's total minus its fc
        (34, "7x7", 21_797_672 - 513_000),
        (50, "7x7", 23_508_032),
        (101, "7x7", 42_500_160),
        pytest.param(152, "7x7", 58_143_808, marks=pytest.mark.slow),
        (50, "3x3x3", 23_631_808),
        (101, "3x3x3", 42_623_936),
        pytest.param(152, "3x3x3", 58_267_584, marks=pytest.mark.slow),
    ],
)
def test_published_counts(depth, stem, parameters):
    assert count(shapes_of(ResNet(depth=depth, stem=stem))) == parameters


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_an_extra_block_adds_no_projection(blocks):
    base, extra = (count(shapes_of(ResNet(extra_blocks=n))) for n in (0, blocks))
    assert extra - base == blocks * 13_387_776


def _rates(**fields):
    """Returns the rates of the 3x3 convolutions of each stage of a bottleneck ResNet."""
    stages = {}
    for unit in ResNet(**fields).units():
        stages.setdefault(unit.stage, []).append(unit.rates[1])
    return [tuple(rates) for rates in stages.values()]


# Rates of blocks 1 to 4, from tf-slim's stack_blocks_dense.
SLIM = {
    32: ((1,) * 3, (1,) * 4, (1,) * 6, (1, 2, 4)),
    16: ((1,) * 3, (1,) * 4, (1,) * 6, (2, 4, 8)),
    8: ((1,) * 3, (1,) * 4, (2,) * 6, (4, 8, 16)),
    4: ((1,) * 3, (2,) * 4, (4,) * 6, (8, 16, 32)),
}


@pytest.mark.parametrize("output_stride", SLIM)
def test_rates_of_the_deeplab_papers(output_stride):
    fields = {"output_stride": output_stride, "multi_grid": (1, 2, 4)}
    assert _rates(stride_at="last_3x3", **fields) == list(SLIM[output_stride])
    assert _rates(stride_at="first_1x1", **fields) == list(SLIM[output_stride])


def test_rates_of_torchvision_and_of_pspnet():
    """The first unit of an atrous stage has the previous stage's rate, or in hszhao's its own."""
    assert _rates(output_stride=8)[2:] == [(1, 2, 2, 2, 2, 2), (2, 4, 4)]
    assert _rates(output_stride=16)[2:] == [(1,) * 6, (1, 2, 2)]
    assert _rates(output_stride=8, dilate_first=True)[2:] == [(2,) * 6, (4, 4, 4)]
    assert _rates(output_stride=16, dilate_first=True)[2:] == [(1,) * 6, (2, 2, 2)]
    assert _rates(output_stride=32, dilate_first=True) == _rates(output_stride=32)


def test_rates_of_the_cascade():
    """Table 3: base rates 2, 4, 8, 16 of block4 to block7 at output stride 16, times multi-grid."""
    fields = {"stride_at": "last_3x3", "extra_blocks": 3, "multi_grid": (1, 2, 1)}
    assert _rates(output_stride=16, **fields)[3:] == [(r, 2 * r, r) for r in (2, 4, 8, 16)]
    assert _rates(output_stride=256, **fields)[3:] == [(1, 2, 1)] * 4


def test_both_convolutions_of_a_basic_unit_follow_the_law():
    units = {(u.stage, u.number): u for u in ResNet(depth=18, output_stride=8).units()}
    assert (units[3, 1].strides, units[3, 1].rates) == ((1, 1), (1, 2))
    assert (units[3, 2].strides, units[3, 2].rates) == ((1, 1), (2, 2))
    assert (units[4, 1].strides, units[4, 1].rates) == ((1, 1), (2, 4))
    assert (units[2, 1].strides, units[2, 1].rates) == ((2, 1), (1, 1))


def _features(variables, images, **fields):
    model = ResNet(**fields)
    return jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)


def _difference(dense, strided, step):
    """Compares the last map with the subsampled dense one, relative to the largest value."""
    dense, strided = np.asarray(dense["features"]), np.asarray(strided["features"])
    assert np.isfinite(strided).all()
    assert strided.std() > 1e-2 * np.abs(strided).max() > 0
    return np.abs(dense[:, ::step, ::step] - strided).max() / np.abs(strided).max()


@pytest.fixture
def small():
    """Two bottlenecks per stage: every kind of unit, at a quarter of ResNet-50's compile time."""
    return {"depth": 50, "stage_units": (2, 2, 2, 2), "width": 4, "multi_grid": (1, 2)}


@pytest.mark.parametrize("stride_at", STRIDES_AT)
def test_a_trous_identity(small, stride_at):
    fields = small | {"stride_at": stride_at}
    variables = random_variables(ResNet(**fields))
    images = _images((65, 50))  # odd and even
    strided = _features(variables, images, **fields, output_stride=32)
    for output_stride in (8, 16):
        dense = _features(variables, images, **fields, output_stride=output_stride)
        assert dense["features"].shape[1] == -(-65 // output_stride)
        assert dense["features"].shape[2] == -(-50 // output_stride)
        assert _difference(dense, strided, 32 // output_stride) < 1e-5


@pytest.mark.parametrize("stride_at", ["first_3x3", "last_3x3"])
def test_a_trous_identity_of_basic_units_through_the_cascade(stride_at):
    fields = {"depth": 18, "width": 2, "stride_at": stride_at, "extra_blocks": 1, "stem": "3x3x3"}
    variables = random_variables(ResNet(**fields))
    images = _images((66, 129))
    strided = _features(variables, images, **fields, output_stride=64)
    assert strided["features"].shape[1:3] == (2, 3)
    dense = _features(variables, images, **fields, output_stride=4)
    assert _difference(dense, strided, 16) < 1e-5


def test_dilate_first_breaks_the_identity(small):
    fields = small | {"stride_at": "first_3x3", "dilate_first": True}
    variables = random_variables(ResNet(**fields))
    images = _images((65, 65))
    strided = _features(variables, images, **fields, output_stride=32)
    dense = _features(variables, images, **fields, output_stride=16)
    assert _difference(dense, strided, 2) > 0.05


def test_fewer_stages_with_custom_units():
    """The last stage has the multi-grid; its copies follow the law."""
    fields = {"stage_units": (1, 3), "stride_at": "last_3x3", "multi_grid": (1, 2, 4)}
    assert _rates(output_stride=4, **fields) == [(1,), (2, 4, 8)]
    assert _rates(output_stride=4, extra_blocks=1, **fields)[2] == (4, 8, 16)
    widths = [unit.features for unit in ResNet(output_stride=8, extra_blocks=1, **fields).units()]
    assert widths == [64] + [128] * 6
    same = ResNet(stage_units=resnet.UNITS[50], multi_grid=(1, 2, 4))
    assert list(same.units()) == list(ResNet(depth=50, multi_grid=(1, 2, 4)).units())
    of_two = ResNet(depth=18, width=8, stage_units=(2, 1), output_stride=8)
    ends = jax.eval_shape(
        lambda: of_two.init_with_output(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
    )[0]
    assert ends["features"].shape == (1, 8, 8, 16)
    assert "stage2" in ends
    assert "stage3" not in ends


@pytest.mark.parametrize("extra_blocks", [0, 3])
def test_parameters_do_not_depend_on_stride_or_rates(small, extra_blocks):
    fields = small | {"extra_blocks": extra_blocks}
    reference = shapes_of(ResNet(**fields))
    variants = [{"output_stride": 2**n} for n in range(2, 6 + extra_blocks)]
    variants += [{"stride_at": "last_3x3"}, {"dilate_first": True}, {"norm": Norm("frozen")}]
    for changes in variants:
        assert shapes_of(ResNet(**fields | changes)) == reference


def _images(size, batch=1):
    return np.random.default_rng(0).normal(size=(batch, *size, 3)).astype(np.float32)


@pytest.mark.parametrize("stride_at", STRIDES_AT)
@pytest.mark.parametrize(("depth", "channels"), [(50, 2048), (34, 512)])
def test_end_points_of_any_size(stride_at, depth, channels):
    if depth == 34 and stride_at == "first_1x1":
        pytest.skip("basic units have no 1x1 convolution")
    model = ResNet(depth=depth, stride_at=stride_at, output_stride=32)
    variables = shapes_of(model)
    ends = jax.eval_shape(
        lambda v: model.apply(v, jnp.zeros((2, 97, 130, 3)), train=False), variables
    )
    assert ends["stem"].shape == (2, 49, 65, 64)
    for stage, stride in ((1, 4), (2, 8), (3, 16), (4, 32)):
        shape = (2, -(-97 // stride), -(-130 // stride), channels // 2 ** (4 - stage))
        assert ends[f"stage{stage}"].shape == ends[f"stage{stage}_residual"].shape == shape
    assert ends["features"].shape == (2, 4, 5, channels)


@pytest.mark.parametrize(("side", "sizes"), [(321, (81, 41)), (320, (81, 41)), (322, (81, 41))])
def test_ceil_pooling_of_the_stem(small, side, sizes):
    """Caffe's rule gives n // 2 + 1, one more than PyTorch's for even sides."""
    model = ResNet(**small, ceil_pooling=True, stride_at="first_1x1", output_stride=8)
    x = jnp.zeros((1, side, 33, 3))
    ends = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False)[0])
    assert (ends["stage1"].shape[1], ends["features"].shape[1]) == sizes
    assert ends["stage1"].shape[2] == 9


def test_the_low_level_end_point_is_the_map_before_striding(small):
    """In DeepLab's layout the last unit of stage 1 has a stride, so the one before it is used."""
    fields = small | {"stride_at": "last_3x3", "output_stride": 16}
    variables = random_variables(ResNet(**fields))
    images = _images((33, 33))
    ends = _features(variables, images, **fields)
    assert ends["stage1"].shape[1] == 9
    assert ends["stage2"].shape[1] == 5
    assert np.asarray(ends["stage1"]).min() == 0
    assert np.asarray(ends["stage1_residual"]).min() < 0


def test_remat_changes_neither_tree_nor_values():
    small = ResNet(depth=50, stage_units=(1, 1), width=2, output_stride=8, multi_grid=(1,))
    plain, remat = small, small.clone(remat=True)
    variables = random_variables(plain)
    assert jax.tree.structure(shapes_of(remat)) == jax.tree.structure(variables)
    images = _images((65, 65), batch=2)

    def gradient(model):
        def loss(params):
            ends, updates = model.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            return jnp.mean(ends["features"] ** 2), updates

        return jax.jit(jax.grad(loss, has_aux=True))

    assert str(jax.make_jaxpr(gradient(remat))(variables["params"])).count("remat") >= 2
    results = [gradient(model)(variables["params"]) for model in (plain, remat)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), *results)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 20}, "depth is 20: it must be one of 18, 34, 50, 101, 152"),
        ({"stem": "5x5"}, "stem is '5x5': it must be one of 7x7, 3x3x3"),
        ({"stride_at": "last"}, "stride_at is 'last'"),
        ({"depth": 18, "stride_at": "first_1x1"}, "'first_1x1': ResNet-18 has no 1x1 convolutions"),
        ({"output_stride": 12}, "output_stride is 12: .* 4, 8, 16, 32"),
        ({"output_stride": 64}, "0 extra blocks has 4, 8, 16, 32"),
        ({"stage_units": (1, 1), "output_stride": 16}, "0 extra blocks has 4, 8$"),
        ({"stage_units": (1, 0), "output_stride": 4}, r"stage_units is \(1, 0\)"),
        (
            {"stage_units": (1, 2), "output_stride": 4, "multi_grid": (1, 2, 4)},
            "stage 2 of ResNet-50 has 2 units",
        ),
        ({"output_stride": 256, "extra_blocks": 2}, "2 extra blocks has 4, 8, 16, 32, 64, 128"),
        ({"multi_grid": (1, 2)}, r"multi_grid is \(1, 2\): stage 4 of ResNet-50 has 3 units"),
    ],
)
def test_invalid_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        list(ResNet(**fields).units())
