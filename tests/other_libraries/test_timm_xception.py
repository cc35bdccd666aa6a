"""Equal to timm's aligned Xception, a network that takes the released weights.

timm comes with segmentation_models_pytorch. Random variables are carried over.
"""

import jax
import numpy as np
import pytest

from jaxseg.backbones.xception import Xception
from jaxseg.layers.compute import PLAIN
from tests.helpers.variables import count, random_variables, shapes_of
from tests.models.networks import QUICK, images

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def timm(smp):
    return pytest.importorskip("timm")


@pytest.mark.parametrize("depth", [41, 65, 71])
def test_counts(timm, depth):
    with torch.device("meta"):
        peer = timm.create_model(f"xception{depth}", num_classes=0)
    expected = sum(parameter.numel() for parameter in peer.parameters())
    assert count(shapes_of(Xception(depth=depth, compute=PLAIN))) == expected


def _peer(timm, plans, stem, output_stride):
    """timm's network of those modules, with a stem as narrow as ours."""
    aligned = pytest.importorskip("timm.models.xception_aligned")
    blocks, channels = [], stem
    nominal = {"entry1": 2, "entry2": 2, "entry3": 2, "exit1": 2}
    for plan in plans:
        blocks.append(
            {
                "in_chs": channels,
                "out_chs": plan.features,
                "stride": nominal.get(plan.name, 1),
                "no_skip": plan.skip == "none",
                "start_with_relu": not plan.activate_inside,
            }
        )
        channels = plan.features[-1]
    peer = aligned.XceptionAligned(blocks, 0, output_stride=output_stride)
    peer.stem = torch.nn.Sequential(
        aligned.ConvNormAct(3, stem, 3, stride=2), aligned.ConvNormAct(stem, stem, 3)
    )
    for module in peer.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
    return peer.eval()


def _carry_over(peer, plans, variables):
    """Our random variables into the peer's tensors; all of them are filled."""
    modules = {f"blocks.{i}": plan.name for i, plan in enumerate(plans)}
    halves = {"conv_dw": "depthwise", "bn_dw": "depthwise_norm"}
    halves |= {"conv_pw": "pointwise", "bn_pw": "pointwise_norm"}
    leaves = {
        "weight": ("params", "scale"),
        "bias": ("params", "bias"),
        "running_mean": ("batch_stats", "mean"),
        "running_var": ("batch_stats", "var"),
    }
    state = {}
    for name, tensor in peer.state_dict().items():
        parts = name.split(".")
        if parts[-1] == "num_batches_tracked":
            continue
        if parts[0] == "stem":
            path = [f"stem{int(parts[1]) + 1}", "norm" if parts[2] == "bn" else "conv"]
        elif parts[2] == "shortcut":
            path = [modules[".".join(parts[:2])], "shortcut"]
            path.append("norm" if parts[3] == "bn" else "conv")
        else:
            path = [modules[".".join(parts[:2])], parts[3].replace("conv", "separable")]
            path.append(halves[parts[4]])
        kernel = tensor.dim() == 4
        kind, leaf = ("params", "kernel") if kernel else leaves[parts[-1]]
        value = variables[kind]
        for part in (*path, leaf):
            value = value[part]
        state[name] = torch.from_numpy(value.transpose(3, 2, 0, 1) if kernel else value)
    missing, unexpected = peer.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    assert len(state) == len(jax.tree.leaves(variables))


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_features(timm, output_stride):
    # So wide that modules which stride change their channels: else timm drops their shortcuts.
    model = Xception(
        depth=41, width=0.02, middle_modules=1, output_stride=output_stride, compute=PLAIN
    )
    variables = random_variables(model)
    plans = list(model.modules())
    stem = variables["params"]["stem2"]["conv"]["kernel"].shape[-1]
    peer = _peer(timm, plans, stem, output_stride)
    _carry_over(peer, plans, variables)
    x = images((66, 49))
    with torch.no_grad():
        expected = peer.forward_features(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    expected = expected.numpy().transpose(0, 2, 3, 1)
    run = jax.jit(lambda v: model.apply(v, x, train=False), compiler_options=QUICK)
    ours = run(variables)["features"]
    assert expected.std() > 0.1
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())
