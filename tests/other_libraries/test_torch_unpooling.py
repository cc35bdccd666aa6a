"""SegNet and DeconvNet beside the same layers of torch: its pooling with indices and unpooling."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.models.deconvnet import DeconvNet
from jaxseg.models.segnet import SegNet
from tests.helpers.variables import random_variables
from tests.models.networks import QUICK, images

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")
F = torch.nn.functional
UNITS = (1, 1, 2, 2, 2)  # of VGG-11


class Layers:
    """Functions of torch with the variables of a model of ours."""

    def __init__(self, variables):
        self.variables = variables

    def _of(self, kind, path):
        node = self.variables[kind]
        for part in path.split("/"):
            node = node[part]
        return {name: torch.tensor(leaf) for name, leaf in node.items()}

    def conv(self, x, path, padding=None, transposed=False):
        its = self._of("params", path)
        if transposed:
            kernel = its["kernel"].permute(2, 3, 0, 1)
            return F.conv_transpose2d(x, kernel, its["bias"], padding=padding)
        kernel = its["kernel"].permute(3, 2, 0, 1)
        padding = kernel.shape[2] // 2 if padding is None else padding
        return F.conv2d(x, kernel, its["bias"], padding=padding)

    def norm(self, x, path):
        its, stats = self._of("params", path), self._of("batch_stats", path)
        return F.batch_norm(x, stats["mean"], stats["var"], its["scale"], its["bias"], eps=1e-9)

    def encode(self, x):
        indices, sizes = [], []
        for stage, units in enumerate(UNITS, start=1):
            for unit in range(1, units + 1):
                x = self.conv(x, f"backbone/conv{stage}_{unit}")
                x = F.relu(self.norm(x, f"backbone/norm{stage}_{unit}"))
            sizes.append(x.shape[2:])
            x, index = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
            indices.append(index)
        return x, indices, sizes


def segnet(layers, x):
    x, indices, sizes = layers.encode(x)
    for stage in range(5, 0, -1):
        x = F.max_unpool2d(x, indices[stage - 1], 2, 2, output_size=sizes[stage - 1])
        for unit in range(UNITS[stage - 1], 0, -1):
            if (stage, unit) != (1, 1):
                x = layers.conv(x, f"conv{stage}_{unit}_D")
                x = F.relu(layers.norm(x, f"norm{stage}_{unit}_D"))
    return layers.conv(x, "classifier")


def deconvnet(layers, x):
    x, indices, sizes = layers.encode(x)
    for name in ("fc6", "fc7", "fc6_deconv"):
        x = layers.conv(x, name, padding=0, transposed=name == "fc6_deconv")
        x = F.relu(layers.norm(x, f"{name}_norm"))
    for stage in range(5, 0, -1):
        x = F.max_unpool2d(x, indices[stage - 1], 2, 2, output_size=sizes[stage - 1])
        for unit in range(1, UNITS[stage - 1] + 1):
            name = f"deconv{stage}_{unit}"
            x = F.relu(layers.norm(layers.conv(x, name, 1, True), f"{name}_norm"))
    return layers.conv(x, "classifier")


@pytest.mark.parametrize(
    ("model", "peer"),
    [
        (SegNet(5, depth=11, width=3), segnet),
        (DeconvNet(5, depth=11, width=3, fc_features=8, fc_kernel=2), deconvnet),
    ],
    ids=["segnet", "deconvnet"],
)
def test_logits_at_odd_sizes(model, peer):
    x = images((75, 90), batch=2)
    variables = random_variables(model)
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    ours = run(variables, x)["logits"]
    with torch.no_grad():
        theirs = peer(Layers(variables), torch.tensor(x.transpose(0, 3, 1, 2)))
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
