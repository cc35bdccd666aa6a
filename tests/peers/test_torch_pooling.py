"""PSPNet's pooling beside torch's adaptive pooling."""

import numpy as np
import pytest

from jaxseg.models.pspnet import pool_to_grid

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")


@pytest.mark.parametrize("size", [(60, 60), (13, 22), (4, 3)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("pooling", ["average", "max"])
def test_pool_to_grid(pooling, bins, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 5)).astype(np.float32)
    layer = {"average": torch.nn.AdaptiveAvgPool2d, "max": torch.nn.AdaptiveMaxPool2d}[pooling]
    expected = layer(bins)(torch.tensor(x.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(pool_to_grid(x, bins, pooling), expected, atol=1e-6)
