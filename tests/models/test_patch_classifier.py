"""Patch classification: dense equals patch by patch; cost and receptive field of both."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.inspection import summary
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.norm import Norm
from jaxseg.models.patch_classifier import PatchClassifier, PatchNetwork, patches_of
from tests.helpers.variables import random_variables
from tests.models.networks import QUICK, images

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "PatchClassifier": [
        PatchClassifier(5, stages=2, norm=Norm()),
        PatchClassifier(5, stages=1, dense=False),
    ],
}


def test_patches_are_cut_around_each_pixel():
    x = images((5, 4), batch=2)
    patches = np.asarray(patches_of(x, 7)).reshape(2, 5, 4, 7, 7, 3)
    padded = np.pad(x, [(0, 0), (3, 3), (3, 3), (0, 0)])
    for i, j in np.ndindex(5, 4):
        np.testing.assert_array_equal(patches[:, i, j], padded[:, i : i + 7, j : j + 7])
        np.testing.assert_array_equal(patches[:, i, j, 3, 3], x[:, i, j])


@pytest.mark.parametrize(
    ("stages", "size", "norm"),
    [(1, (9, 12), "none"), (2, (23, 6), "batch"), (3, (7, 5), "none"), (3, (1, 1), "none")],
)
def test_dense_equals_patch_by_patch(stages, size, norm):
    """Compares all logits and features, for images smaller and larger than a patch."""
    model = PatchClassifier(
        5, width=3, stages=stages, head_features=4, norm=Norm(norm), compute=PLAIN
    )
    variables = random_variables(model, size)
    x = images(size, batch=2)
    run = functools.partial(jax.jit, compiler_options=QUICK)
    dense = run(functools.partial(model.apply, train=False))(variables, x)
    naive = run(functools.partial(model.clone(dense=False).apply, train=False))(variables, x)
    assert np.ptp(dense["logits"]) > 0.1
    for name in ("logits", "features"):
        np.testing.assert_allclose(dense[name], naive[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("stages", "side"), [(1, 9), (2, 21), (3, 45)])
def test_the_receptive_field_is_the_patch(stages, side):
    model = PatchClassifier(5, width=1, stages=stages, head_features=1)
    assert PatchNetwork(5, stages=stages).side == side
    layers = summary.summarize(model, (64, 64)).layers
    assert (layers[-1].path, layers[-1].field) == ("network/classifier", side)
    rates = [layer.rate for layer in layers if layer.kind == "conv 3x3"]
    assert rates == [2**stage for stage in range(stages + 1)]


def test_cost_of_both_modes():
    """On 64 x 64 pixels, patch by patch needs 84 times the multiply-adds of dense."""
    model = PatchClassifier(7)
    dense, naive = (
        summary.summarize(model.clone(dense=way), (64, 64)).multiply_adds for way in (True, False)
    )
    first, inner, hidden, last = 27 * 16, 9 * 16 * 16, 9 * 16 * 64, 64 * 7  # per output
    patch = 43**2 * first + (19**2 + 7**2) * inner + hidden + last
    assert naive == 64**2 * patch
    assert dense == 106**2 * first + (100**2 + 88**2) * inner + 64**2 * (hidden + last)
    assert naive // dense == 84
