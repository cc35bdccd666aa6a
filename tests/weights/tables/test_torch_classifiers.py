"""Which of torchvision's numbered layers is which; tests/other_libraries asks torchvision."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.backbones.vgg import VGG
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.norm import Norm
from jaxseg.weights import match
from jaxseg.weights.load import table_of
from jaxseg.weights.tables import torch_classifiers
from tests.helpers.variables import shapes_of
from tests.models.networks import QUICK

# Layers of `features` with a kernel, as torchvision's print of the networks gives them.
VGG_16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG_16_BN = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
ALEXNET = (0, 3, 6, 8, 10)
PATHS = [
    f"conv{stage}_{unit}"
    for stage, units in enumerate((2, 2, 3, 3, 3), start=1)
    for unit in range(1, units + 1)
]


def _names(layers, norms, classifier):
    names = [f"features.{n}.{t}" for n in layers for t in ("weight", "bias")]
    for layer in layers if norms else ():
        for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            names.append(f"features.{layer + 1}.{tensor}")
    return names + [f"classifier.{n}.{t}" for n in classifier for t in ("weight", "bias")]


@pytest.mark.parametrize(("layers", "norms"), [(VGG_16, False), (VGG_16_BN, True)])
def test_vgg_16(layers, norms):
    table = table_of(_names(layers, norms, (0, 3, 6)))
    targets = {entry.source: entry.target for entry in table.entries}
    for layer, path in zip(layers, PATHS, strict=True):
        assert targets[f"features.{layer}.weight"] == f"params/{path}/kernel"
        if norms:
            norm = path.replace("conv", "norm")
            assert targets[f"features.{layer + 1}.weight"] == f"params/{norm}/scale"
            assert targets[f"features.{layer + 1}.running_var"] == f"batch_stats/{norm}/var"
    assert targets["classifier.0.weight"] == "params/fc6/kernel"
    assert targets["classifier.3.bias"] == "params/fc7/bias"


def test_alexnet():
    table = table_of(_names(ALEXNET, False, (1, 4, 6)))
    targets = {entry.source: entry.target for entry in table.entries}
    for number, layer in enumerate(ALEXNET, start=1):
        assert targets[f"features.{layer}.bias"] == f"params/conv{number}/bias"
    assert targets["classifier.1.weight"] == "params/fc6/kernel"
    assert targets["classifier.4.weight"] == "params/fc7/kernel"


def test_fc6_sees_its_map_in_the_order_of_channels_rows_and_columns():
    table = torch_classifiers.vgg(_names(VGG_16, False, (0, 3, 6)))
    (entry,) = (e for e in table.entries if e.target == "params/fc6/kernel")
    kernel = np.random.default_rng(0).normal(size=(5, 2 * 49))
    x = np.random.default_rng(1).normal(size=(7, 7, 2))
    np.testing.assert_allclose(
        np.einsum("hwc,hwco->o", x, entry.transform(kernel)),
        kernel @ x.transpose(2, 0, 1).ravel(),
    )


def test_norms_that_the_file_lacks_are_the_identity():
    """VGG-16 for a SegNet: its paper starts from the convolutions alone."""
    model = VGG(width=2, norm=Norm(), compute=PLAIN)
    shapes = shapes_of(model)
    rng = np.random.default_rng(0)
    tensors = {}
    for layer, path in zip(VGG_16, PATHS, strict=True):
        leaf = shapes["params"][path]["kernel"]
        tensors[f"features.{layer}.weight"] = rng.normal(size=leaf.shape[::-1])
        tensors[f"features.{layer}.bias"] = rng.normal(size=leaf.shape[-1])
    table = torch_classifiers.vgg(_names(VGG_16, False, (0, 3, 6)))
    entries = tuple(e for e in table.entries if "/fc" not in e.target)
    filled = match.fill(tensors, shapes, match.Table(entries, constants=table.constants))
    x = rng.normal(size=(1, 32, 32, 3)).astype(np.float32)
    plain = {"params": {p: leaf for p, leaf in filled["params"].items() if "conv" in p}}

    @functools.partial(jax.jit, compiler_options=QUICK)
    def both(x):
        networks = (model, filled), (model.clone(norm=Norm("none")), plain)
        return [net.apply(variables, x, train=False)["features"] for net, variables in networks]

    normalised, plain = both(x)
    scale = np.abs(plain).max()
    # Each norm divides by sqrt(1 + 1e-5).
    np.testing.assert_allclose(normalised, plain, atol=2e-4 * scale)
    assert jax.tree.structure(filled) == jax.tree.structure(shapes)
