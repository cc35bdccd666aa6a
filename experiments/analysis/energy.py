"""The effective receptive field: the distribution of the energy of an output's gradient.

The theoretical field says which pixels can change an output, the gradient how much they do (Luo et
al., "Understanding the effective receptive field in deep convolutional networks", NeurIPS 2016).
Energy here is the squared gradient of the logits at the centre with respect to the normalised
image, summed over classes and colours, as a share of the image's sum, and then the mean over
images. The sum over classes is taken with random signs, drawn per image: its expectation is the
same, at the cost of a single gradient.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.errors import counted
from jaxseg.types import Array, Outputs, Variables

SHARES = (0.5, 0.9, 0.95)  # of the energy


def gradient_energy(
    model: nn.Module, variables: Variables, images: np.ndarray, seed: int = 0
) -> np.ndarray:
    """The share of the energy at each pixel.

    Args:
      model: gives "logits" [B, H, W, K] at the size of the image.
      variables: "params" and "batch_stats"; norms use their averages.
      images: float32 [N, H, W, 3], normalised; with odd sizes, a pixel is at the centre.
      seed: of the signs.

    Returns:
      float64 [H, W], of sum 1, for the output at (H // 2, W // 2).

    Raises:
      ValueError: no image gives a gradient that is finite and not zero.
    """
    height, width = images.shape[1:3]

    def logits(image: Array) -> Array:
        outputs = cast(Outputs, model.apply(variables, image[None], train=False))
        return outputs["logits"][0, height // 2, width // 2]

    gradient = jax.jit(jax.grad(lambda image, signs: jnp.sum(logits(image) * signs)))
    rng = np.random.default_rng(seed)
    (classes,) = jax.eval_shape(logits, images[0]).shape
    total, used = np.zeros((height, width)), 0
    for image in images:
        signs = rng.choice([-1.0, 1.0], classes).astype(np.float32)
        energy = (np.asarray(gradient(image, signs), np.float64) ** 2).sum(-1)  # [H, W]
        if np.isfinite(energy).all() and energy.any():
            total += energy / energy.sum()
            used += 1
    if not used:
        raise ValueError(
            f"the gradient of the logits at the centre is zero or not finite for each "
            f"of {counted(len(images), 'image')}: no effective field"
        )
    return total / used


def with_random_zeros(params: Mapping[str, Any], seed: int = 0) -> tuple[dict[str, Any], list[str]]:
    """Replaces kernels that are all zeros (score layers of FCN before training) by random ones.

    No gradient flows through zeros, so an untrained FCN would have no effective field.

    Returns:
      The parameters with standard normal / sqrt(fan in) there, and the paths that were replaced.
    """
    flat, tree = jax.tree_util.tree_flatten_with_path(params)
    rng, leaves, replaced = np.random.default_rng(seed), [], []
    for path, leaf in flat:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith("kernel") and not np.asarray(leaf).any():
            fan_in = np.prod(leaf.shape[:-1])
            leaf = (rng.standard_normal(leaf.shape) / np.sqrt(fan_in)).astype(np.float32)
            replaced.append(name)
        leaves.append(leaf)
    return jax.tree_util.tree_unflatten(tree, leaves), replaced


def profile(energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energy within a distance of the centre.

    Args:
      energy: [H, W], of sum 1.

    Returns:
      Increasing distances in pixels, and the share of the energy within each.
    """
    rows, columns = (np.arange(length) - length // 2 for length in energy.shape)
    distance = np.hypot(rows[:, None], columns).ravel()
    order = np.argsort(distance, kind="stable")
    return distance[order], np.cumsum(energy.ravel()[order])


@dataclasses.dataclass(frozen=True)
class Extent:
    """The extent of an effective field.

    Attributes:
      radii: {share of the energy: radius in pixels within which it lies}.
      theoretical: side of the theoretical field in pixels, which may be larger than the image;
        None: the whole image only.
      whole: whether the output sees the whole image too, through a mean over the map.
      image: (height, width).
    """

    radii: dict[float, float]
    theoretical: int | None
    whole: bool
    image: tuple[int, int]

    @property
    def ratios(self) -> dict[float, float]:
        """The diameter, 2 radius + 1, over the side of the theoretical field (or of the image)."""
        side = self.theoretical or max(self.image)
        return {share: (2 * radius + 1) / side for share, radius in self.radii.items()}

    @property
    def cut(self) -> bool:
        """Whether the image is smaller than the theoretical field, so that no energy can lie where
        the field would reach further: the ratios are then of this size of image only.
        """
        return self.theoretical is None or self.theoretical > min(self.image)


def extent(energy: np.ndarray, theoretical: int | None, *, whole: bool = False) -> Extent:
    """The radii of `SHARES` of the energy; see `Extent`."""
    distance, within = profile(energy)
    radii = {share: float(distance[np.argmax(within > share - 1e-9)]) for share in SHARES}
    height, width = energy.shape
    return Extent(radii, theoretical, whole, (height, width))


def to_json(found: Extent) -> dict[str, Any]:
    """As JSON values."""
    names = {share: f"{share:.0%}" for share in SHARES}
    return {
        "radius": {names[share]: radius for share, radius in found.radii.items()},
        "ratio_to_theoretical": {names[share]: ratio for share, ratio in found.ratios.items()},
        "theoretical": found.theoretical,
        "whole_image_too": found.whole,
        "cut_by_image": found.cut,
        "image": found.image,
    }


def centred(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The central [h, w, C] of an image [H, W, C], padded with zeros if it is smaller."""
    found = np.zeros((*size, image.shape[2]), image.dtype)
    inner, outer = [], []
    for have, want in zip(image.shape[:2], size, strict=True):
        length = min(have, want)
        inner.append(slice((want - length) // 2, (want - length) // 2 + length))
        outer.append(slice((have - length) // 2, (have - length) // 2 + length))
    found[tuple(inner)] = image[tuple(outer)]
    return found
