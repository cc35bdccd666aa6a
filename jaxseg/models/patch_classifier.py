"""Patch classification, the first naive approach: a network classifies the patch around each pixel.

This is the oldest way to use a classifier for segmentation. The patches of neighbouring pixels
overlap almost completely, and what they share is recomputed for each. This file makes the cost
measurable:

    PatchClassifier(21, dense=False)   # patch by patch: H W patches per image
    PatchClassifier(21)                # the same function, with each shared value computed once

A pooling with stride 2 keeps every second pixel of a patch, and which ones depends on where the
patch starts. At stride 1 it keeps all of them; the pixels of a given patch are then two apart, so
the taps of later windows must be two apart as well, and four after the next pooling. That is the
atrous rate of `layers/atrous.py`, with dilated poolings too; DeepLab computes VGG in this way
(arXiv 1412.7062, section 3.1). The network itself is not from a paper: it is small and has odd
windows, so that patches have a central pixel.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, classifier, he_normal_fan_in
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.layers.pool import max_pool
from jaxseg.types import Array, Outputs

_WINDOW = 3  # of every convolution and pooling; poolings have stride 2


def patches_of(images: Array, side: int) -> Array:
    """Returns the patch around each pixel, padded with zeros, [B * H * W, side, side, C].

    Args:
      images: [B, H, W, C].
      side: side of a patch in pixels, odd.
    """
    _, height, width, channels = images.shape
    around = (side // 2, side // 2)
    x = jnp.pad(images, [(0, 0), around, around, (0, 0)])
    rows, columns = (np.arange(n)[:, None] + np.arange(side) for n in (height, width))
    x = x[:, rows][:, :, :, columns]  # [B, H, side, W, side, C]
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side, side, channels)


class PatchNetwork(nn.Module):
    """Stages of convolution, ReLU and pooling, a hidden layer and the classifier, without padding.

    With `dense`, it computes its output for every patch of the map.
    """

    num_classes: int  # number of classes
    width: int = 16  # channels of each stage
    stages: int = 3  # each a convolution, ReLU and pooling
    head_features: int = 64  # of the hidden layer
    dense: bool = False  # scores every patch of the map, not only one
    norm: Norm = Norm("none")
    compute: Compute = Compute()

    @property
    def side(self) -> int:
        """The side of a patch in pixels: 45 for three stages."""
        side = _WINDOW  # of the hidden layer
        for _ in range(self.stages):
            side = 2 * (side - 1) + _WINDOW  # before the pooling
            side += _WINDOW - 1
        return side

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """Returns features and float32 class scores.

        A single patch gives one pixel; with `dense`, [B, h, w, 3] gives
        [B, h - side + 1, w - side + 1, K].
        """
        rate = 1
        x = x.astype(self.compute.dtype)
        for stage in range(1, self.stages + 1):
            x = self._layer(x, self.width, rate, f"{stage}", train=train)
            if self.dense:
                x = _spread_max_pool(x, rate)
                rate *= 2
            else:
                x = max_pool(x, _WINDOW, 2, form=self.compute.of("pool"))
        x = self._layer(x, self.head_features, rate, "_hidden", train=train)
        return x, classifier(self.num_classes, self.compute)(x)

    def _layer(self, x: Array, features: int, rate: int, name: str, *, train: bool) -> Array:
        conv = Conv(
            features,
            _WINDOW,
            rate=rate,
            padding=0,
            use_bias=self.norm.kind == "none",
            kernel_init=he_normal_fan_in,
            compute=self.compute,
            name=f"conv{name}",
        )
        norm = NormLayer(self.norm, self.compute.dtype, name=f"norm{name}")
        return nn.relu(norm(conv(x), train=train))


def _spread_max_pool(x: Array, rate: int) -> Array:
    """Dilated max pooling, first along the rows of a window and then along its columns.

    The gradient goes to the first of several equal maxima.
    """
    for axis in (1, 2):
        left = x.shape[axis] - rate * (_WINDOW - 1)
        starts = [rate * tap for tap in range(_WINDOW)]
        taps = [lax.slice_in_dim(x, start, start + left, axis=axis) for start in starts]
        x = functools.reduce(lambda best, tap: jnp.where(tap > best, tap, best), taps)
    return x


class PatchClassifier(nn.Module):
    """Applies a `PatchNetwork` to the zero-padded patch around each pixel.

    Both modes have the same parameters and, with running statistics, the same logits. In training
    their batch norm statistics differ: patch by patch, a pixel counts once for each of its patches.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    width: int = 16  # channels of each stage
    stages: int = 3  # each a convolution, ReLU and pooling
    head_features: int = 64  # of the hidden layer
    dense: bool = True  # False: patch by patch, which takes side^2 times the image's memory
    norm: Norm = Norm("none")
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "features" [B, H, W, head_features].
        """
        network = PatchNetwork(
            self.num_classes,
            self.width,
            self.stages,
            self.head_features,
            self.dense,
            self.norm,
            self.compute,
            name="network",
        )
        if self.dense:
            around = (network.side // 2, network.side // 2)
            padded = jnp.pad(images, [(0, 0), around, around, (0, 0)])
            features, logits = network(padded, train=train)
        else:
            features, logits = (
                x.reshape(*images.shape[:3], -1)
                for x in network(patches_of(images, network.side), train=train)
            )
        return {"logits": logits, "features": features}
