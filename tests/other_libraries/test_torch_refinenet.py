"""RefineNet's head beside the same in torch's own operations, on maps of sizes that do not fit."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxseg.layers.compute import PLAIN
from jaxseg.models.refinenet import RefineNet
from tests.helpers.variables import random_variables
from tests.models.networks import QUICK, images

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


class Stages(nn.Module):
    """The end points of a ResNet: one convolution each."""

    @nn.compact
    def __call__(self, x, *, train):
        ends = {}
        for stage in (1, 2, 3, 4):
            x = nn.Conv(3, (3, 3), 2, padding=1, use_bias=False, name=f"stage{stage}")(x)
            ends[f"stage{stage}"] = x
        return ends | {"features": x}


def _conv(x, params, stride=1):
    kernel = params["kernel"].permute(3, 2, 0, 1)
    return torch.nn.functional.conv2d(x, kernel, params.get("bias"), stride=stride, padding=1)


def _enlarged(x, size):
    return torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=True)


def _unit(x, params):
    return x + _conv(torch.relu(_conv(torch.relu(x), params["conv1"])), params["conv2"])


def _pool(x):
    return torch.nn.functional.max_pool2d(x, 5, 1, 2)


def _block(maps, refined, params, pool_first):
    """Figure 3 of arXiv 1611.06612: two units a path, two poolings, three units at the end."""
    paths = []
    for stage, x in maps.items():
        x = _conv(x, params[f"reduce{stage}"])
        for number in (1, 2):
            x = _unit(x, params[f"adapt{stage}_unit{number}"])
        paths.append(_conv(x, params[f"fuse{stage}"]) if f"fuse{stage}" in params else x)
    if refined is not None:
        paths.append(_conv(refined, params["fuse_refined"]))
    size = max(tuple(x.shape[2:]) for x in paths)
    x = sum(_enlarged(path, size) for path in paths)
    total = stage = torch.relu(x)
    for number in (1, 2):
        conv = params["pooling"][f"conv{number}"]
        stage = _conv(_pool(stage), conv) if pool_first else _pool(_conv(stage, conv))
        total = total + stage
    for number in (1, 2, 3):
        total = _unit(total, params[f"output_unit{number}"])
    return total


@pytest.mark.parametrize(("cascades", "pool_first"), [(4, True), (4, False), (2, True), (1, True)])
def test_logits(cascades, pool_first):
    model = RefineNet(
        5,
        Stages(),
        cascades,
        head_features=4,
        pooling_stages=2,
        pool_first=pool_first,
        compute=PLAIN,
    )
    x = images((50, 77), batch=2)
    variables = random_variables(model)
    run = jax.jit(lambda v: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)
    ours = run(variables)
    params = jax.tree.map(torch.tensor, variables["params"])
    ends, y = {}, torch.tensor(x.transpose(0, 3, 1, 2))
    for stage in (1, 2, 3, 4):
        y = ends[stage] = _conv(y, params["backbone"][f"stage{stage}"], stride=2)
    taken = {4: [[4], [3], [2], [1]], 2: [[4, 3], [2, 1]], 1: [[4, 3, 2, 1]]}[cascades]
    refined = None
    for number, stages in enumerate(taken, start=1):
        maps = {stage: ends[stage] for stage in stages}
        refined = _block(maps, refined, params[f"refine{number}"], pool_first)
    theirs = _enlarged(_conv(refined, params["classifier"]), x.shape[1:3])
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    scale = np.abs(theirs).max()
    assert theirs.std() > 1e-2 * scale
    assert np.abs(ours - theirs).max() < 1e-4 * scale
