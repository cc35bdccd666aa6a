"""Heads on pooled RoIs: convolutions and fully connected layers, and the two predictions."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, he_normal_fan_out
from jaxseg.layers.fpn import xavier_fan_in
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.types import Array


class RoIConv(nn.Module):
    """3x3 convolution, norm and ReLU on RoIs [R, s, s, C]; without a norm it has a bias."""

    features: int
    norm: Norm = Norm("none")
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool, counted: Array | None = None) -> Array:
        """[R, s, s, C] -> [R, s, s, features]; statistics of the batch are those of `counted`."""
        x = Conv(
            self.features,
            use_bias=self.norm.kind == "none",
            kernel_init=he_normal_fan_out,
            compute=self.compute,
            name="conv",
        )(x)
        norm = NormLayer(self.norm, self.compute.dtype, name="norm")
        return nn.relu(norm(x, train=train, counted=counted))


def fused(
    first: Callable[[str], Callable[[Array], Array]], layer: str, maps: Sequence[Array]
) -> Array:
    """The first layer of a head; of several levels each has its own, and the maximum goes on.

    That is the fusion of PANet's adaptive feature pooling (arXiv 1803.01534, section 3.2).

    Args:
      first: makes the layer of a name.
      layer: its name; of several levels their numbers are added, 1 the finest.
      maps: pooled RoIs, one for each level.
    """
    if len(maps) == 1:
        return first(layer)(maps[0])
    own = [first(f"{layer}_level{number}")(x) for number, x in enumerate(maps, start=1)]
    return functools.reduce(jnp.maximum, own)


class Headed(NamedTuple):
    """What a box head gives for R RoIs."""

    vectors: Array  # [R, F], which are classified
    maps: Array  # [R, s, s, C], before they became vectors


class ConvFCHead(nn.Module):
    """`convs` 3x3 convolutions, then `fcs` fully connected layers, all with ReLU.

    FPN's head (section 4.2) has two layers of 1024 and no convolution, the heavier ones of PANet
    (section 3.2) and torchvision's v2 four convolutions and one layer.
    """

    convs: int = 0
    fcs: int = 2
    conv_features: int = 256
    fc_features: int = 1024
    size: int = 7  # side of the pooled RoIs
    norm: Norm = Norm("none")  # of convolutions
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self, maps: Sequence[Array], *, train: bool, counted: Array | None = None
    ) -> Headed:
        """Pooled RoIs [R, s, s, C], one array or one for each level -> vectors [R, fc_features].

        Args:
          maps: the RoIs.
          train: for the norm.
          counted: [R], the RoIs that are none of the padding; None: all.
        """

        def conv(name: str) -> Callable[[Array], Array]:
            layer = RoIConv(self.conv_features, self.norm, self.compute, name=name)
            return functools.partial(layer, train=train, counted=counted)

        def dense(name: str) -> Callable[[Array], Array]:
            layer = nn.Dense(
                self.fc_features, dtype=self.compute.dtype, kernel_init=xavier_fan_in, name=name
            )
            return lambda x: nn.relu(layer(x))

        maps = [x.astype(self.compute.dtype) for x in maps]
        for number in range(1, self.convs + 1):
            maps = [fused(conv, f"conv{number}", maps)]  # [R, 7, 7, 256]
        vectors = [x.reshape(len(x), -1) for x in maps]
        for number in range(1, self.fcs + 1):
            vectors = [fused(dense, f"fc{number}", vectors)]  # [R, 1024]
        return Headed(vectors[0], maps[0])


class BoxPredictor(nn.Module):
    """Scores of the classes, the background first, and a box for each of them.

    detectron2 has no box of the background: here it is there as zeros.
    """

    num_classes: int  # of things, without the background
    background_box: bool = True
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, vectors: Array) -> tuple[Array, Array]:
        """[R, F] -> logits [R, K + 1] and deltas [R, K + 1, 4], float32 at least."""
        dtype, normal = self.compute.float32.dtype, nn.initializers.normal
        x = vectors.astype(dtype)
        classes = self.num_classes + 1
        logits = nn.Dense(classes, dtype=dtype, kernel_init=normal(0.01), name="classes")(x)
        boxes = classes if self.background_box else self.num_classes
        deltas = nn.Dense(4 * boxes, dtype=dtype, kernel_init=normal(0.001), name="boxes")(x)
        deltas = deltas.reshape(len(x), boxes, 4)
        if not self.background_box:
            deltas = jnp.pad(deltas, ((0, 0), (1, 0), (0, 0)))
        return logits, deltas
