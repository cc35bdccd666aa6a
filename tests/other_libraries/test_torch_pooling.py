"""PSPNet's pooling beside torch's adaptive pooling, its pyramid beside smp's."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.layers.compute import PLAIN
from jaxseg.models.pspnet import PyramidPooling, pool_to_grid
from tests.models.networks import QUICK

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


@pytest.mark.parametrize("size", [(60, 60), (13, 22), (4, 3)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("pooling", ["average", "max"])
def test_pool_to_grid(pooling, bins, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 5)).astype(np.float32)
    layer = {"average": torch.nn.AdaptiveAvgPool2d, "max": torch.nn.AdaptiveMaxPool2d}[pooling]
    expected = layer(bins)(torch.tensor(x.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(pool_to_grid(x, bins, pooling), expected, atol=1e-6)


def _carry_over(peer, bins, variables):
    """Our variables into smp's module; without a norm, its level of one bin takes it as a bias."""
    with torch.no_grad():
        for size, block in zip(bins, peer.blocks, strict=True):
            params, stats = (variables[kind][f"level{size}"] for kind in ("params", "batch_stats"))
            conv, norm, _ = block.pool[1]
            conv.weight.copy_(torch.tensor(params["conv"]["kernel"].transpose(3, 2, 0, 1)))
            tensors = params["norm"] | stats["norm"]
            if size > 1:
                norm.weight.copy_(torch.tensor(tensors["scale"]))
                norm.bias.copy_(torch.tensor(tensors["bias"]))
                norm.running_mean.copy_(torch.tensor(tensors["mean"]))
                norm.running_var.copy_(torch.tensor(tensors["var"]))
            else:
                scale = tensors["scale"] / np.sqrt(tensors["var"] + 1e-5)
                conv.weight.mul_(torch.tensor(scale)[:, None, None, None])
                conv.bias.copy_(torch.tensor(tensors["bias"] - tensors["mean"] * scale))


def _smps_order(y, channels):
    """Our pyramid has the map first, smp's last."""
    return np.concatenate([y[..., channels:], y[..., :channels]], axis=-1)


def _modules(smp, bins):
    """smp's pyramid and ours with the same weights, and a map for them."""
    channels = 4 * len(bins)
    peer = smp.decoders.pspnet.decoder.PSPModule(channels, bins)
    module = PyramidPooling(bins, compute=PLAIN)
    x = np.random.default_rng(0).normal(size=(2, 11, 14, channels)).astype(np.float32)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda a: rng.uniform(0.5, 1.5, a.shape).astype(np.float32), shapes)
    for size in bins:
        kernel = variables["params"][f"level{size}"]["conv"]["kernel"]
        kernel[:] = rng.normal(size=kernel.shape)
    _carry_over(peer, bins, variables)
    return peer, module, variables, x


def test_pyramid_in_evaluation(smp):
    """With all four levels of the paper."""
    peer, module, variables, x = _modules(smp, (1, 2, 3, 6))
    run = jax.jit(functools.partial(module.apply, train=False), compiler_options=QUICK)
    with torch.inference_mode():
        expected = peer.eval()(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    ours = _smps_order(run(variables, x), x.shape[-1])
    np.testing.assert_allclose(ours, expected.transpose(0, 2, 3, 1), atol=1e-4)


def test_pyramid_and_its_gradient_in_training(smp):
    """Without the level of one bin, which has no norm in smp."""
    peer, module, variables, x = _modules(smp, (2, 3, 6))
    weights = np.random.default_rng(2).normal(size=(*x.shape[:3], 2 * x.shape[-1]))

    def loss(x):
        y, _ = module.apply(variables, x, train=True, mutable=["batch_stats"])
        return (y * weights).sum(), y

    gradient = jax.jit(jax.grad(loss, has_aux=True), compiler_options=QUICK)
    dx, ours = gradient(x)
    inputs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    theirs = peer.train()(inputs)
    in_their_order = _smps_order(weights, x.shape[-1]).transpose(0, 3, 1, 2)
    (theirs * torch.tensor(in_their_order)).sum().backward()
    theirs = theirs.detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(_smps_order(ours, x.shape[-1]), theirs, atol=1e-4)
    expected = inputs.grad.numpy().transpose(0, 2, 3, 1)
    assert np.abs(expected - weights[..., : x.shape[-1]]).max() > 0.1  # more than the map itself
    np.testing.assert_allclose(dx, expected, atol=1e-3)
