"""Dilated convolutions in torch, from the released networks: no padding but the mirrored image."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.layers.compute import PLAIN
from jaxseg.models.dilation import CONTEXT_8, Dilation, front_end_backbone
from tests.helpers.variables import random_variables
from tests.models.networks import QUICK, images

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")
F = torch.nn.functional


def _conv(x, params, padding=0, dilation=1):
    kernel = torch.from_numpy(np.ascontiguousarray(params["kernel"].transpose(3, 2, 0, 1)))
    return F.conv2d(x, kernel, torch.from_numpy(params["bias"]), 1, padding, dilation)


def _scores(x, params, pad_first):
    """VGG-11 without padding, fc6, fc7, the classifier and seven layers of context."""
    for stage, units in enumerate((1, 1, 2, 2, 2), start=1):
        for unit in range(1, units + 1):
            name, rate = f"conv{stage}_{unit}", 2 if stage == 5 else 1
            x = F.relu(_conv(x, params["backbone"][name], dilation=rate))
        if stage < 4:
            x = F.max_pool2d(x, 2, 2)
    x = F.relu(_conv(x, params["head"]["fc6"], dilation=4))
    x = _conv(F.relu(_conv(x, params["head"]["fc7"])), params["classifier"])
    for number, rate in enumerate(CONTEXT_8, start=1):
        first = 33 if number == 1 else 0
        padding = first if pad_first else rate
        x = F.relu(_conv(x, params["context"][f"layer{number}"], padding, rate))
    return _conv(x, params["context"]["final"])


@pytest.mark.parametrize(
    ("widths", "upsampling"), [((), "deconvolution"), ((2,) * 7, "probabilities")]
)
def test_released_networks(widths, upsampling):
    pad_first = bool(widths)
    backbone = front_end_backbone().clone(depth=11, width=2)
    model = Dilation(3, backbone, CONTEXT_8, widths, pad_first, head_features=4, compute=PLAIN)
    model = model.clone(upsampling=upsampling)
    size = (24, 40)
    x = images(size)
    variables = random_variables(model, (8, 8))
    ours = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)(
        variables, x
    )
    image = np.pad(x, [(0, 0), (155, 155), (155, 155), (0, 0)], mode="reflect")
    image = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))
    scores = _scores(image, variables["params"], pad_first)
    if upsampling == "deconvolution":
        taps = 1 - (torch.arange(16) - 7.5).abs() / 8
        kernel = torch.outer(taps, taps).expand(3, 1, 16, 16)
        theirs = F.conv_transpose2d(scores, kernel, stride=8, padding=4, groups=3)
        theirs = theirs.softmax(1)
    else:
        maps = F.pad(scores.softmax(1), (0, 1, 0, 1), mode="replicate")  # one beyond the last
        theirs = F.interpolate(
            maps, [8 * n + 1 for n in scores.shape[2:]], mode="bilinear", align_corners=True
        )[:, :, : size[0], : size[1]]
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    assert theirs.std() > 1e-2
    np.testing.assert_allclose(jax.nn.softmax(ours["logits"]), theirs, atol=1e-4)
