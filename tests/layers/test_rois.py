"""What RoI heads share: the fields of `Pooling` reach the operations."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.compute import Compute
from jaxseg.layers.fpn import Level
from jaxseg.layers.roi_align import roi_align, roi_pool, roi_warp
from jaxseg.layers.rois import Pooling, pooled

ROIS = jnp.array([[[3.0, 5.0, 41.0, 52.0], [0.0, 0.0, 17.0, 9.0]]])
MAP = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 8, 3)), jnp.float32)


@pytest.mark.parametrize(
    ("pooling", "operation", "how"),
    [
        (Pooling(), roi_align, {}),
        (Pooling(aligned=True, sampling=1), roi_align, {"aligned": True, "sampling": 1}),
        (Pooling(reduce="max"), roi_align, {"reduce": "max"}),
        (Pooling("warp", reduce="max"), roi_warp, {"reduce": "max"}),
        (Pooling("pool"), roi_pool, {}),
    ],
)
def test_the_operation_that_is_named(pooling, operation, how):
    (found,) = pooled([Level(MAP, 8, 8)], ROIS, 2, pooling, Compute(form="plain"))
    level = jnp.zeros((1, 2), jnp.int32)
    expected = operation([MAP], [8], ROIS, level, 2, form="plain", **how)
    np.testing.assert_array_equal(found, expected)
    if pooling.reduce == "max":
        mean = operation([MAP], [8], ROIS, level, 2, form="plain")
        assert (found > mean).any()


def test_the_canonical_side_moves_rois_between_levels():
    fine, coarse = Level(MAP, 4, 4), Level(-MAP[:, ::2, ::2], 8, 8)
    roi = jnp.array([[[2.0, 2.0, 30.0, 30.0]]])
    for canonical, level in ((224.0, 0), (56.0, 1), (28.0, 1)):
        pooling = Pooling(canonical=canonical)
        (found,) = pooled([fine, coarse], roi, 2, pooling, Compute(form="plain"))
        maps = [fine.values, coarse.values]
        expected = roi_align(maps, [4, 8], roi, jnp.full((1, 1), level), 2, form="plain")
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match=r"pooling\.canonical is 0: a side must be positive"):
        pooled([fine], roi, 2, Pooling(canonical=0), Compute(form="plain"))
