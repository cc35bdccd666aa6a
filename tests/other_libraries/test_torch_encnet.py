"""EncNet's context encoding beside the same in torch, batch statistics and gradients included."""

import functools

import jax
import numpy as np
import pytest

from jaxseg.layers.compute import Compute
from jaxseg.models.encnet import ContextEncoding
from tests.helpers.variables import random_variables
from tests.models.networks import QUICK, images

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


def _normalised(x, params):
    """torch's batch norm in training: [B, C, ...] by statistics of all but C."""
    return torch.nn.functional.batch_norm(
        x, None, None, params["scale"], params["bias"], training=True, eps=1e-5
    )


def _context(x, params):
    """The module of arXiv 1803.08904, Figure 3, in its definition; x is [B, C, h, w]."""
    y = torch.einsum("bchw,ce->behw", x, params["conv"]["conv"]["kernel"][0, 0])
    y = torch.relu(_normalised(y, params["conv"]["norm"])).flatten(2).mT  # [B, N, C]
    residuals = y[:, :, None] - params["codewords"]  # [B, N, K, C]
    assignment = torch.softmax(params["smoothing"] * residuals.pow(2).sum(-1), dim=-1)
    e = (assignment[..., None] * residuals).sum(1)  # [B, K, C]
    e = torch.relu(_normalised(e, params["norm"])).mean(1)  # [B, C]
    gate = torch.sigmoid(e @ params["gate"]["kernel"] + params["gate"]["bias"])
    return torch.relu(x + x * gate[:, :, None, None]), e


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_values_and_gradients_in_train_mode(form):
    x = images((5, 7), batch=2)
    module = ContextEncoding(codewords=4, compute=Compute(form=form))
    variables = random_variables(module, (5, 7))
    rng = np.random.default_rng(1)
    weights = rng.normal(size=x.shape).astype(np.float32), rng.normal(size=(2, 3))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def step(params, x):
        def loss(params, x):
            outputs, _ = module.apply(
                variables | {"params": params}, x, train=True, mutable=["batch_stats"]
            )
            return sum((a * w).sum() for a, w in zip(outputs, weights, strict=True)), outputs

        return jax.grad(loss, (0, 1), has_aux=True)(params, x)

    ours, (scaled, encoding) = step(variables["params"], x)
    params, inputs = jax.tree.map(
        lambda a: torch.tensor(a, requires_grad=True), (variables["params"], x)
    )
    theirs = _context(inputs.permute(0, 3, 1, 2), params)
    theirs = theirs[0].permute(0, 2, 3, 1), theirs[1]
    for a, b in zip((scaled, encoding), theirs, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-4, atol=1e-5)
    sum((a * torch.tensor(w)).sum() for a, w in zip(theirs, weights, strict=True)).backward()
    expected = jax.tree.map(lambda a: a.grad.numpy(), (params, inputs))
    for (path, a), b in zip(
        jax.tree.leaves_with_path(ours), jax.tree.leaves(expected), strict=True
    ):
        assert np.abs(b).max() > 1e-4, jax.tree_util.keystr(path)
        np.testing.assert_allclose(
            a, b, rtol=1e-3, atol=1e-4 * np.abs(b).max(), err_msg=jax.tree_util.keystr(path)
        )
