"""Local response normalisation against torch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.lrn import local_response_norm

pytestmark = pytest.mark.other_libraries


@pytest.mark.parametrize(("size", "alpha", "beta", "k"), [(5, 1e-4, 0.75, 1.0), (3, 2.0, 0.5, 2.0)])
def test_value_and_gradient_are_torchs(size, alpha, beta, k):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, dy = (50 * rng.normal(size=(2, 2, 3, 4, 11))).astype(np.float32)
    theirs = torch.from_numpy(x.transpose(0, 3, 1, 2)).requires_grad_()
    result = torch.nn.LocalResponseNorm(size, alpha, beta, k)(theirs)
    result.backward(torch.from_numpy(dy.transpose(0, 3, 1, 2)))
    y, pull = jax.vjp(lambda x: local_response_norm(x, size, alpha, beta, k), jnp.asarray(x))
    np.testing.assert_allclose(
        y, result.detach().numpy().transpose(0, 2, 3, 1), rtol=2e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        pull(jnp.asarray(dy))[0], theirs.grad.numpy().transpose(0, 2, 3, 1), rtol=2e-4, atol=2e-4
    )
