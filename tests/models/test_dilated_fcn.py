"""The dilated FCN: torchvision's counts and rates, and a reimplementation of the head."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.compute import PLAIN
from jaxseg.layers.fcn_head import FCNHead
from jaxseg.models.compat import torchvision_fcn
from jaxseg.models.dilated_fcn import DilatedFCN
from jaxseg.models.encnet import EncNet, encnet_backbone
from tests.helpers.variables import random_variables, shapes_of
from tests.models.networks import QUICK, EndPoints, images, parameters

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "DilatedFCN": [DilatedFCN(5, encnet_backbone(18), aux_features=0)],
}


@pytest.mark.parametrize(
    ("depth", "aux", "published"),
    [(50, True, 35_322_218), (101, True, 54_314_346), (50, False, 32_957_013)],
)
def test_counts_equal_torchvision(depth, aux, published):
    assert parameters(torchvision_fcn(depth, 21, aux)) == published


def test_the_baseline_is_encnet_without_its_module():
    """Both have the same backbone, 3x3 convolution, classifier and auxiliary head."""
    encnet = parameters(EncNet(59, encnet_backbone(50)))
    module = 512 * 512 + 2 * 512 + 32 * 512 + 32 + 2 * 32 + 512 * 512 + 512
    presence = 512 * 59 + 59
    assert parameters(DilatedFCN(59, encnet_backbone(50))) == encnet - module - presence


def test_rates_equal_torchvision():
    """The first unit of an atrous stage has the rate of the previous stage."""
    rates = {
        stage: [
            unit.rates[1]
            for unit in torchvision_fcn(50, 21).backbone.units()
            if unit.stage == stage
        ]
        for stage in (3, 4)
    }
    assert rates == {3: [1] + [2] * 5, 4: [2, 4, 4]}


def test_the_head_matches_a_reimplementation():
    x = images((6, 7))
    module = FCNHead(5, 4, compute=PLAIN)
    variables = random_variables(module, (6, 7))
    run = jax.jit(functools.partial(module.apply, train=False), compiler_options=QUICK)
    params, stats = variables["params"], variables["batch_stats"]["conv"]["norm"]
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    y = np.zeros((1, 6, 7, 4))
    for i, j in np.ndindex(3, 3):
        y += padded[:, i : i + 6, j : j + 7] @ params["conv"]["conv"]["kernel"][i, j]
    y = (y - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    y = np.maximum(y * params["conv"]["norm"]["scale"] + params["conv"]["norm"]["bias"], 0)
    classifier = params["classifier"]
    expected = y @ classifier["kernel"][0, 0] + classifier["bias"]
    np.testing.assert_allclose(run(variables, x), expected, rtol=1e-4, atol=1e-4)


def test_an_auxiliary_head_needs_a_stage_3():
    backbone = EndPoints(8, {"features": (1, 5, 5, 8)})
    with pytest.raises(ValueError, match="EndPoints has none; set it to 0"):
        shapes_of(DilatedFCN(5, backbone))
    assert "aux_head" not in shapes_of(DilatedFCN(5, backbone, aux_features=0))["params"]


def test_dropout_is_applied_only_in_training():
    model = FCNHead(5, 64, dropout=0.5, compute=PLAIN)
    x = jnp.asarray(images((4, 4)))
    variables = random_variables(model, (4, 4))
    run = functools.partial(model.apply, variables, x, mutable=["batch_stats"])
    step = jax.jit(lambda key: run(train=True, rngs={"dropout": key})[0], compiler_options=QUICK)
    assert np.abs(step(jax.random.key(0)) - step(jax.random.key(1))).max() > 1e-3
