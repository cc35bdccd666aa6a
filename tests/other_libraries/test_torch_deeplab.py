"""DeepLab v1 and v2 layer by layer in torch, from the tables of the papers' configurations."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.layers.compute import PLAIN
from jaxseg.models.deeplab_v1 import DIRECT, DeepLabV1, large_fov_backbone, small_window_backbone
from jaxseg.models.deeplab_v2 import MSC, DeepLabV2, deeplab_v2_resnet
from tests.helpers.variables import random_variables
from tests.models.networks import QUICK, images

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")
F = torch.nn.functional


def _torch(array):
    return torch.from_numpy(np.ascontiguousarray(np.asarray(array).transpose(0, 3, 1, 2)))


def _conv(x, params, stride=1, padding=0, dilation=1):
    kernel = torch.from_numpy(np.ascontiguousarray(params["kernel"].transpose(3, 2, 0, 1)))
    bias = torch.from_numpy(params["bias"]) if "bias" in params else None
    return F.conv2d(x, kernel, bias, stride, padding, dilation)


def _vgg11(x, params, windows, paddings):
    """pool1 .. pool5 of the trunk at output stride 8."""
    pools = []
    for stage, units in enumerate((1, 1, 2, 2, 2), start=1):
        rate = 2 if stage == 5 else 1
        for unit in range(1, units + 1):
            x = F.relu(_conv(x, params[f"conv{stage}_{unit}"], padding=rate, dilation=rate))
        window, padding = windows[stage - 1], paddings[stage - 1]
        x = F.max_pool2d(x, window, 2 if stage < 4 else 1, padding, ceil_mode=True)
        pools.append(x)
    return pools


def _enlarged(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def _run(model, x):
    variables = random_variables(model)
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    return variables["params"], run(variables, x)


def _assert_close(ours, theirs):
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_msc_large_fov():
    model = DeepLabV1(3, large_fov_backbone().clone(width=2, depth=11), head_features=4)
    model = model.clone(msc_features=3, compute=PLAIN)
    size = (50, 36)
    x = images(size, batch=2)
    params, ours = _run(model, x)
    image = _torch(x)
    pools = _vgg11(image, params["backbone"], (3,) * 5, (1,) * 5)
    y = F.avg_pool2d(pools[4], 3, 1, 1)
    y = F.relu(_conv(y, params["head"]["fc6"], padding=12, dilation=12))
    y = F.relu(_conv(y, params["head"]["fc7"]))
    y = _enlarged(_conv(y, params["classifier"]), size)
    for name, pool in zip(DIRECT, [image, *pools[:4]], strict=True):
        path = params[f"direct_{name}"]
        pool = F.relu(_conv(pool, path["conv1"], padding=1))
        pool = _conv(F.relu(_conv(pool, path["conv2"])), path["classifier"])
        y = y + _enlarged(pool, size)
    _assert_close(ours["logits"], y)


def test_four_by_four_at_rate_four():
    model = DeepLabV1(3, small_window_backbone().clone(width=2, depth=11), 4, 4, 4, False)
    x = images((50, 58))
    params, ours = _run(model.clone(compute=PLAIN), x)
    y = _vgg11(_torch(x), params["backbone"], (2, 2, 2, 2, 3), (1, 1, 1, 0, 1))[4]
    y = F.relu(_conv(y, params["head"]["fc6"], padding=6, dilation=4))
    y = F.relu(_conv(y, params["head"]["fc7"]))
    y = _conv(y, params["classifier"])
    _assert_close(ours["coarse_logits"], y)
    _assert_close(ours["logits"], _enlarged(y, (50, 58)))


def _normed(x, variables, name, stride=1, padding=0, dilation=1):
    params, stats = (variables[kind][name] for kind in ("params", "batch_stats"))
    x = _conv(x, params["conv"], stride, padding, dilation)
    mean, var, scale, bias = (
        torch.from_numpy(np.asarray(array))
        for array in (
            *(stats["norm"][key] for key in ("mean", "var")),
            *(params["norm"][key] for key in ("scale", "bias")),
        )
    )
    return F.batch_norm(x, mean, var, scale, bias, eps=1e-5)


def _resnet(x, variables):
    """The released ResNet with one unit a stage; strides and dilations of the prototxt."""
    x = F.relu(_normed(x, variables, "stem1", 2, 3))
    x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
    for stage, (stride, rate) in enumerate(((1, 1), (2, 1), (1, 2), (1, 4)), start=1):
        unit = {kind: tree[f"stage{stage}_unit1"] for kind, tree in variables.items()}
        y = F.relu(_normed(x, unit, "conv1", stride))
        y = F.relu(_normed(y, unit, "conv2", 1, rate, rate))
        x = F.relu(_normed(x, unit, "shortcut", stride) + _normed(y, unit, "conv3"))
    return x


def test_resnet_with_aspp_at_three_scales():
    backbone = deeplab_v2_resnet(50).clone(stage_units=(1, 1, 1, 1), width=2)
    model = DeepLabV2(3, backbone, scales=MSC, compute=PLAIN)
    variables = random_variables(model)
    x = images((65, 97))
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    ours = run(variables, x)
    backbone = {kind: tree["backbone"] for kind, tree in variables.items()}
    maps = []
    for size in ((65, 97), (49, 73), (33, 49)):
        y = _resnet(_enlarged(_torch(x), size), backbone)
        branches = (
            _conv(y, variables["params"]["aspp"][f"classifier{n}"], padding=rate, dilation=rate)
            for n, rate in enumerate((6, 12, 18, 24), start=1)
        )
        maps.append(_enlarged(sum(branches), (9, 13)))
    fused = torch.stack(maps).amax(0)
    _assert_close(ours["coarse_logits"], fused)
    _assert_close(ours["logits"], _enlarged(fused, (65, 97)))
