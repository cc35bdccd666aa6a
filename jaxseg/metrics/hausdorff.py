"""The Hausdorff distance between truth and prediction, or a percentile of it.

Void and frames are as in `jaxseg.metrics.boundary`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float32, Integer

from jaxseg.metrics.boundary_maps import (
    VOID,
    edges,
    id_maps,
    percentile_of_roots,
    squared_distances,
)
from jaxseg.types import Array, ArrayLike


def hausdorff(
    labels: Integer[ArrayLike, "b h w"],
    predictions: Integer[ArrayLike, "b h w"],
    num_classes: int,
    *,
    percentile: float = 95.0,
    pooled: bool = False,
    sizes: Integer[ArrayLike, "b 2"] | None = None,
) -> Float32[Array, "b {num_classes}"]:
    """Symmetric Hausdorff distance of each class in each image, in pixels, or its percentile.

    Distances are measured from each surface pixel of one map to the nearest one of the other. The
    result is the larger of the percentiles of the two directions (Huttenlocher et al., 1993), or
    with `pooled` the percentile of all distances together, as in medpy. Surface pixels are those
    with a 4-neighbour of another class or outside the image.

    Args:
      labels: train ids.
      predictions: train ids.
      num_classes: K.
      percentile: 95 is customary; 100 gives the Hausdorff distance itself.
      pooled: whether to take one percentile over both directions.
      sizes: see the docstring of `jaxseg.metrics.boundary`.

    Returns:
      The distances; inf if only one of the two maps has the class, nan if neither has it.

    Raises:
      ValueError: the shapes do not match; `percentile` is outside 0..100 or not a multiple of 0.01.

    Examples:
      >>> labels = np.zeros((1, 8, 8), int) + (np.arange(8) > 3)
      >>> print(hausdorff(labels, labels[..., ::-1], 2, percentile=100))
      [[4. 4.]]
    """
    part = round(percentile * 100)
    if not 0 <= percentile <= 100 or abs(part - percentile * 100) > 1e-6:
        raise ValueError(f"percentile {percentile}: must be 0 to 100, in steps of 0.01")
    maps = id_maps(labels, predictions, num_classes, sizes)  # [2, B, H, W]
    truth, predicted = jnp.where(edges(maps, frame=True), maps, VOID)

    def of_class(k: Array) -> Array:
        surfaces = (truth == k, predicted == k)
        both = [
            jnp.where(own, squared_distances(other, queried=own), -1)
            for own, other in (surfaces, surfaces[::-1])
        ]
        ways = [jnp.concatenate(both, axis=1)] if pooled else both
        result = jnp.stack([percentile_of_roots(way, part) for way in ways]).max(axis=0)
        has, also = (surface.any(axis=(1, 2)) for surface in surfaces)
        return jnp.where(has & also, result, jnp.where(has | also, jnp.inf, jnp.nan))

    return jax.lax.map(of_class, jnp.arange(num_classes)).T
