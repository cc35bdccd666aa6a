"""Receptive fields against closed forms, published figures and probes; costs against the papers."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config
from jaxseg import summary as mode
from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN, Compute
from jaxseg.layers.conv import conv
from jaxseg.layers.mirror import mirrored
from jaxseg.layers.pool import avg_pool, global_avg_pool, max_pool
from jaxseg.layers.resize import resize_bilinear, resize_nearest
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.models.deeplab_v3_plus import DeepLabV3Plus
from jaxseg.models.pspnet import PSPNet, pspnet_backbone
from jaxseg.training.step_memory import step_memory


class Net(nn.Module):
    """Operations one after the other, with weights of ones: (name, arguments) each."""

    operations: tuple = ()

    @nn.compact
    def __call__(self, x, *, train):
        ends = []
        for i, (name, *arguments) in enumerate(self.operations):
            if name == "conv":
                size, options = arguments[0], dict(arguments[1:])
                groups = options.get("groups", 1)
                shape = (size, size, x.shape[-1] // groups, 4)
                kernel = self.param(f"kernel{i}", nn.initializers.ones, shape)
                x = conv(x, kernel, **options, form="plain")
            elif name == "transposed":
                shape = (4, 4, x.shape[-1], 4)
                kernel = self.param(f"kernel{i}", nn.initializers.ones, shape)
                x = jax.lax.conv_transpose(
                    x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
            elif name == "max":
                x = max_pool(x, *arguments, form="plain")
            elif name == "mean":
                x = avg_pool(x, *arguments)
            elif name == "bilinear":
                x = resize_bilinear(x, arguments[0], convention=arguments[1], form="plain")
            elif name == "nearest":
                x = resize_nearest(x, arguments[0], convention=arguments[1])
            elif name == "mirror":
                x = mirrored(x, arguments[0], arguments[0])
            elif name == "subsample":
                x = x[:, ::2, ::2]
            elif name == "keep":
                ends.append(x)
            elif name == "join":
                x = jnp.concatenate([x, ends.pop()], axis=-1)
            elif name == "add":
                x = nn.relu(x + ends.pop())
            elif name == "pad":
                x = jnp.pad(x, ((0, 0), (2, 1), (2, 1), (0, 0)))
            elif name == "pool":
                x = x + global_avg_pool(x)
            elif name == "sort":
                x = jnp.sort(x, axis=1)
            elif name == "shuffle":  # depth to space
                b, h, w, c = x.shape
                x = x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
                x = x.reshape(b, 2 * h, 2 * w, c // 4)
        return {"logits": x}


def last(operations, size=(33, 33)):
    return summary.summarize(Net(tuple(operations)), size).layers[-1]


def probed(operations, size):
    """The largest hull of rows or columns of the image on which one row or column of the output
    depends. Each of them is changed in an image of its own; all weights are positive.
    """
    height, width = size
    images = np.ones((1 + height + width, *size, 3), np.float32)
    for i in range(height):
        images[1 + i, i] = 2
    for i in range(width):
        images[1 + height + i, :, i] = 2
    model = Net(tuple(operations))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), variables)
    outputs = jax.jit(lambda x: model.apply(variables, x, train=False)["logits"])(images)
    changed = np.asarray(outputs[1:] != outputs[:1]).any(-1)  # [height + width, h, w]
    by_row, by_column = changed[:height].any(2), changed[height:].any(1)
    return max(np.ptp(np.flatnonzero(seen)) + 1 for seen in (*by_row.T, *by_column.T))


@pytest.mark.parametrize(
    "operations",
    [
        [("conv", 7, ("stride", 2)), ("conv", 3, ("rate", 3)), ("conv", 1)],
        [("conv", 3, ("stride", 2)), ("conv", 3, ("stride", 2)), ("conv", 3, ("rate", 2))],
        [("conv", 3), ("mean", 2, 2), ("conv", 3, ("groups", 4)), ("mean", 3, 1, 1)],
        [("conv", 3, ("stride", 2)), ("keep",), ("conv", 3, ("rate", 4)), ("add",), ("conv", 3)],
        [("keep",), ("conv", 3, ("rate", 6)), ("join",), ("pad",), ("conv", 4, ("padding", 0))],
        [("subsample",), ("conv", 3), ("subsample",), ("conv", 5)],
        [("mean", 4, 4), ("conv", 3), ("transposed",), ("conv", 3)],
        [("mean", 4, 4, 2), ("bilinear", (17, 17), "align_corners"), ("conv", 3)],
        [("conv", 3, ("stride", 4)), ("conv", 3), ("bilinear", (33, 33), "align_corners")],
        [("conv", 3, ("stride", 2)), ("bilinear", (34, 34), "half_pixel"), ("conv", 3)],
        [("conv", 3, ("stride", 4)), ("nearest", (18, 18), "half_pixel"), ("conv", 3)],
        [("conv", 3, ("stride", 2)), ("shuffle",), ("conv", 3)],
        [("mirror", (4, 7)), ("conv", 3, ("stride", 2)), ("conv", 3), ("conv", 3)],
        [
            ("keep",),
            ("conv", 5, ("stride", 4)),
            ("bilinear", (33, 33), "align_corners"),
            ("join",),
            ("conv", 3),
            ("conv", 3),
        ],
    ],
)
def test_receptive_field_is_what_changes_reach(operations):
    assert last(operations).field == probed(operations, (33, 33))


def test_fields_of_a_stack_follow_the_recurrence():
    """r = 1 + sum over layers of (k - 1) rate times the strides before (Araujo et al., 2019)."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        field, jump, operations = 1, 1, []
        for _ in range(rng.integers(1, 7)):
            size, stride, rate = (int(rng.choice(c)) for c in ((1, 3, 5), (1, 1, 2), (1, 2, 6)))
            operations.append(("conv", size, ("stride", stride), ("rate", rate)))
            field, jump = field + (size - 1) * rate * jump, jump * stride
        row = last(operations)
        assert (row.field, row.stride) == (field, jump)


@pytest.mark.parametrize(
    ("depth", "field"),
    [(50, 483), (101, 1027)],  # Araujo et al., Table 1: resnet_v1 of tf-slim
)
def test_fields_of_resnets_are_the_published_ones(depth, field):
    for output_stride in (32, 8) if depth == 50 else (32,):  # the a trous identity keeps it
        net = ResNet(depth=depth, output_stride=output_stride, stride_at="last_3x3")
        rows = summary.summarize(net, (65, 65)).layers
        assert max(row.field for row in rows) == field
        assert rows[-1].stride == output_stride
        assert [row.rate for row in rows if "stage4" in row.path and row.kind == "conv 3x3"] == [
            32 // output_stride
        ] * 3


def test_an_aspp_branch_sees_twice_its_rate_further_on_both_sides():
    net = ResNet(depth=18, width=4, output_stride=8)
    found = summary.summarize(DeepLabV3(5, net, atrous_rates=(6, 12, 18)), (65, 65))
    rows = {row.path: row for row in found.layers}
    before = rows["aspp/conv1x1/conv"].field
    for number, rate in enumerate((12, 24, 36), start=1):  # (6, 12, 18) at output stride 8
        row = rows[f"aspp/atrous{number}/conv"]
        assert (row.rate, row.field) == (rate, before + 2 * rate * 8)
        assert not row.whole
    assert rows["aspp/projection/conv"].field == before + 2 * 36 * 8
    assert rows["aspp/projection/conv"].whole
    assert rows["aspp/image_pooling/conv"].field is None
    assert rows["aspp/image_pooling/conv"].shape == (1, 1, 256)


def test_a_field_can_be_larger_than_the_image():
    operations = [("conv", 3, ("rate", 36)), ("conv", 3, ("rate", 36))]
    assert last(operations, (33, 33)).field == 145


def test_height_and_width_are_told_apart():
    row = last([("conv", 3, ("stride", 2)), ("bilinear", (40, 60), "align_corners")], (33, 65))
    assert row.shape == (40, 60, 4)


def test_an_operation_without_a_rule_is_taken_to_see_everything():
    row = last([("conv", 3, ("stride", 2)), ("sort",), ("conv", 3)], (32, 32))
    assert (row.whole, row.field, row.stride, row.shape) == (True, None, None, (16, 16, 4))
    assert row.multiply_adds == 16 * 16 * 9 * 4 * 4


V3_PLUS = {"stride_at": "last_3x3", "stem": "3x3x3"}


@pytest.mark.parametrize(
    ("model", "parameters", "billions"),
    [
        (DeepLabV3Plus(21, ResNet(50, output_stride=16, **V3_PLUS)), 40_475_957, 77.19),
        (DeepLabV3Plus(21, ResNet(50, output_stride=8, **V3_PLUS)), 40_475_957, 193.97),
        (DeepLabV3Plus(21, ResNet(101, output_stride=16, stride_at="last_3x3")), 59_344_309, 90.67),
        pytest.param(
            DeepLabV3(21, ResNet(101, output_stride=8, **V3_PLUS)),
            58_164_437,
            252.25,
            marks=pytest.mark.slow,
        ),
        (DeepLabV3(21, MobileNetV2(), atrous_rates=()), None, 2.74),
        (PSPNet(21, pspnet_backbone(50), aux_features=0), 46_716_373, 161.64),
        pytest.param(
            PSPNet(21, pspnet_backbone(101), aux_features=0),
            65_708_501,
            229.82,
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_costs_are_those_of_the_papers(model, parameters, billions):
    """Counted by hand from the papers' layer tables, with 21 classes at the papers' crop."""
    crop = 473 if isinstance(model, PSPNet) else 513
    found = summary.summarize(model, (crop, crop))
    assert round(found.multiply_adds / 1e9, 2) == billions
    assert parameters in (None, found.parameters)
    assert sum(row.parameters for row in found.layers) == found.parameters


def test_multiply_adds_of_grouped_and_dense_layers():
    row = last([("conv", 1), ("conv", 3, ("groups", 4))], (8, 8))
    assert (row.kind, row.multiply_adds, row.parameters) == ("depthwise 3x3", 8 * 8 * 9 * 4, 36)
    model = nn.Dense(5)
    found = summary.trace(Wrapped(model), (8, 9))[0]
    assert [(row.kind, row.multiply_adds) for row in found] == [("dense", 8 * 9 * 3 * 5)]
    assert (found[0].path, found[0].parameters, found[0].shape) == ("inner", 20, (8, 9, 5))


class Wrapped(nn.Module):
    inner: nn.Module

    def __call__(self, x, *, train):
        return {"logits": self.inner(x)}


def test_plain_reaches_every_part_and_the_table_is_aligned():
    model = DeepLabV3(
        5,
        ResNet(depth=18, width=8, output_stride=8, compute=Compute(form="fast")),
        compute=Compute(form="fast"),
    )
    plain = config.with_fields(model, {"compute": PLAIN})
    assert plain.compute.form == plain.backbone.compute.form == "plain"
    assert model.compute.form == "fast"
    found = summary.summarize(model, (33, 33))
    lines = summary.table(found).splitlines()
    assert lines[-1].split()[:2] == ["total", f"{found.parameters:,}"]
    ends = {len(line) for line in lines[2:-2] if line.split()[1] == "conv"}
    assert len(ends) == 1  # the last column is flush right
    assert json.loads(json.dumps(summary.to_json(found)))["layers"][0]["field"] == 7


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1234, "1.23 k"), (15_600_000, "15.6 M"), (77_185_891_264, "77.2 G")],
)
def test_counts_have_three_digits(number, text):
    assert summary.count(number) == text


def test_describe_tells_of_both_strides_and_of_memory():
    experiment = config.Experiment(
        model=Net((("conv", 3), ("conv", 3))),
        data=config.Data(batch_size=2),
        eval=config.Eval(batch_size=3, scales=(0.5, 1.0), flip=True),
    )
    found = step_memory(experiment, (33, 33))
    weights = 4 * (3 * 3 * 3 * 4 + 3 * 3 * 4 * 4)
    batch = 2 * 33 * 33 * 4  # images and labels
    assert found["train step"]["arguments"] >= 2 * weights + batch  # parameters and momentum
    assert found["eval step"]["arguments"] >= weights + 3 * 33 * 33 * 3
    assert all(part["peak"] >= part["arguments"] for part in found.values())
    text = mode.describe(experiment, (33, 33), memory=True)
    for words in ("train step, batch 2: ", "eval step, batch 3: ", "MiB per device"):
        assert words in text
    with pytest.raises(ValueError, match="--size=33 must be height,width"):
        mode.describe(experiment, (33,))


@pytest.mark.parametrize("scales", [(1.0,), pytest.param((1.0, 1.75), marks=pytest.mark.slow)])
def test_an_evaluation_holds_less_than_a_training_step(scales):
    """Of many classes, one view never makes their map at the image's size; several hold one."""
    backbone = ResNet(depth=18, stage_units=(1, 1, 1, 1), width=16, output_stride=16)
    model = DeepLabV3(150, backbone, aspp_features=32)
    experiment = config.Experiment(
        model=model,
        data=config.Data(batch_size=1),
        eval=config.Eval(batch_size=1, scales=scales, flip=len(scales) > 1),
    )
    found = step_memory(experiment, (257, 321))
    one_map = 4 * 257 * 321 * 150
    assert found["train step"]["temporary"] > one_map
    assert found["eval step"]["temporary"] < (1.5 if len(scales) > 1 else 0.6) * one_map
    assert found["eval step"]["peak"] < found["train step"]["peak"]


def test_describe_tells_the_cost_at_the_stride_of_evaluation():
    model = DeepLabV3(3, ResNet(depth=18, width=4, output_stride=16), aspp_features=8)
    experiment = config.Experiment(model=model, eval=config.Eval(output_stride=8))
    text = mode.describe(experiment, (33, 33))
    dense = DeepLabV3(3, ResNet(depth=18, width=4, output_stride=8), aspp_features=8)
    cost = summary.count(summary.summarize(dense, (33, 33)).multiply_adds)
    assert text.endswith(f"evaluated at output stride 8: {cost}")
