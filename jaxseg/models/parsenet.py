"""ParseNet: "Looking wider to see better" (Liu, Rabinovich and Berg, arXiv 1506.04579).

Adds global context: the mean of the last map, copied to every pixel, is concatenated with the map.
Both are first brought to the same scale by L2 normalisation with a learned factor per channel:

    parsenet_fcn(60)                                              # on FCN-32s: PASCAL Context
    parsenet_fcn(60, ("pool6", "fc7", "conv5", "conv4", "conv3"))
    parsenet_large_fov(21)                                        # on DeepLab LargeFOV: VOC 2012

Unsure: no definition file of the network was found. Early and late fusion, the initial factor of
10, and the normalisation of every map were not checked against the paper; how it resizes conv3 to
conv5 and fc7 to a common resolution is not known, nor whether its FCN pads the image by 100.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.backbones.vgg import VGG, FullyConvolutional
from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.aspp import rates_at
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier, conv
from jaxseg.layers.pool import avg_pool, global_avg_pool
from jaxseg.layers.resize import resize_bilinear
from jaxseg.models.deeplab_v1 import STATED_AT, classifier_init, large_fov_backbone
from jaxseg.types import Array, Outputs

MAPS = ("pool6", "fc7", "conv5", "conv4", "conv3")
FUSIONS = ("early", "late")


class L2Norm(nn.Module):
    """Divides the vector of each pixel by its L2 norm and scales each channel by a learned factor.

    y_c = scale_c x_c / sqrt(sum over c of x_c^2 + epsilon), the layer "Normalize" of the authors'
    Caffe with across_spatial and channel_shared off.
    """

    start: float = 10.0  # initial value of the factors; with 1 it does not train
    epsilon: float = 1e-10  # added to the sum of squares
    dtype: str = "float32"  # of the output

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises [B, h, w, C] and returns it in `dtype`; computes in at least float32."""
        scale = self.param("scale", nn.initializers.constant(self.start), (x.shape[-1],), "float32")
        wide = x.astype(accumulator(x))
        squares = jnp.sum(wide**2, axis=-1, keepdims=True)
        return (scale * wide * jax.lax.rsqrt(squares + self.epsilon)).astype(self.dtype)


class JointClassifier(nn.Module):
    """The 1x1 classifier of concatenated maps, which may differ in resolution.

    A 1x1 convolution and bilinear interpolation commute, so each map is classified by its part of
    the kernel before it is upsampled; the concatenated 8192 channels are never upsampled.
    """

    num_classes: int  # number of classes
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, maps: list[Array]) -> list[Array]:
        """Returns float32 scores [B, h_i, w_i, K] for each map [B, h_i, w_i, C_i], to be summed."""
        ends = [0]
        for x in maps:
            ends.append(ends[-1] + x.shape[-1])
        kernel = self.param("kernel", classifier_init, (1, 1, ends[-1], self.num_classes))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.num_classes,))
        parts = zip(maps, ends, ends[1:], strict=False)
        scores = [
            conv(x.astype(kernel.dtype), kernel[:, :, start:end], form=self.compute.of("dense"))
            for x, start, end in parts
        ]
        return [scores[0] + bias, *scores[1:]]


class ParseNet(nn.Module):
    """The network on either base; its output stride is the backbone's.

    Early fusion concatenates the maps and classifies them once; late fusion classifies each map and
    adds the scores. Both are linear, so they differ only in biases and in how the paper trains
    them.

    Scores are upsampled from the positions of their map's pixels: the centres of squares for 2x2
    poolings ("half_pixel"), and every s-th pixel for padded 3x3 poolings ("align_corners").
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # a `VGG`; holds the output stride
    maps: tuple[str, ...] = ("pool6", "fc7")  # of MAPS; "pool6" is the mean of fc7
    fusion: str = "early"  # or "late"
    normalize: bool = True  # each map is divided by its length, pixel by pixel, and scaled
    scale_start: float = 10.0  # what the learned factors of this scaling start from
    kernel_size: int = 7  # of fc6
    rate: int = 4  # of fc6, stated at output stride 8, scaled to the actual
    head_features: int = 4096  # of fc6 and fc7
    average_pool: bool = False  # LargeFOV's pool5a
    # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    resize_convention: str = "half_pixel"
    dropout: float = 0.5  # after fc6 and fc7
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "features", the backbone's last map; "fc7".

        Raises:
          ValueError: a map or the fusion is unknown, `maps` is empty, or the rate is not an integer
            at this output stride.
        """
        if not self.maps or not set(self.maps) <= set(MAPS):
            raise ValueError(f"maps is {self.maps}: choose at least one of {', '.join(MAPS)}")
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion is {self.fusion!r}: it must be one of {', '.join(FUSIONS)}")
        ends = self.backbone(images, train=train)
        x = ends["features"]  # [B, H/32, W/32, 512]
        outputs = {"features": x}
        if self.average_pool:
            x = avg_pool(x, 3, 1, 1)
        (rate,) = rates_at((self.rate,), self.backbone.output_stride, STATED_AT)
        x = FullyConvolutional(
            self.head_features,
            self.kernel_size,
            rate,
            dropout=self.dropout,
            compute=self.compute,
            name="head",
        )(x, train=train)  # [B, H/32, W/32, 4096]
        outputs["fc7"] = x
        ends = ends | {"fc7": x}
        if "pool6" in self.maps:
            ends["pool6"] = global_avg_pool(x)  # [B, 1, 1, 4096]
        joined = [ends[name] for name in self.maps]
        if self.normalize:
            norm = functools.partial(L2Norm, self.scale_start, dtype=self.compute.dtype)
            joined = [
                norm(name=f"norm_{name}")(each)
                for name, each in zip(self.maps, joined, strict=True)
            ]
        scores = self._scores(joined)
        size = images.shape[1:3]
        logits = [
            self._upsampled(each, self._stride(name), size)
            for name, each in zip(self.maps, scores, strict=True)
        ]
        return outputs | {"logits": functools.reduce(jnp.add, logits)}  # [B, H, W, K]

    def _scores(self, maps: list[Array]) -> list[Array]:
        """Returns the scores of each map, float32 [B, h, w, K]."""
        if self.fusion == "early":
            return JointClassifier(self.num_classes, self.compute, name="classifier")(maps)
        classify = functools.partial(
            classifier, self.num_classes, self.compute, kernel_init=classifier_init
        )
        return [
            classify(name=f"classifier_{name}")(x) for name, x in zip(self.maps, maps, strict=True)
        ]

    def _stride(self, name: str) -> int:
        """Returns the stride of a map, or 0 for the mean of the whole image."""
        if name == "pool6":
            return 0
        whole = self.backbone.output_stride
        return whole if name == "fc7" else min(whole, 2 ** (int(name[-1]) - 1))

    def _upsampled(self, x: Array, stride: int, size: tuple[int, ...]) -> Array:
        """Upsamples scores [B, h, w, K] to [B, *size, K]."""
        if not stride:
            return jnp.broadcast_to(x, (x.shape[0], *size, x.shape[-1]))  # "unpooling"
        less = stride - 1 if self.resize_convention == "align_corners" else 0
        rows, columns = (stride * n - less for n in x.shape[1:3])
        convention, form = self.resize_convention, self.compute.of("resize")
        x = resize_bilinear(x, (rows, columns), convention=convention, form=form)
        x = x[:, : size[0], : size[1]]
        below, beside = size[0] - x.shape[1], size[1] - x.shape[2]
        if below or beside:  # a grid that starts at the first pixel may end before the last one
            x = jnp.pad(x, [(0, 0), (0, below), (0, beside), (0, 0)], mode="edge")
        return x


def parsenet_fcn(num_classes: int, maps: tuple[str, ...] = ("pool6", "fc7")) -> ParseNet:
    """ParseNet on VGG-16 at output stride 32, as for PASCAL Context and SIFT Flow.

    Departure: fc6 pads by 3, and the image is not padded by 100 as in FCN, so that all maps are
    aligned with the image.
    """
    return ParseNet(num_classes, VGG(atrous_pools=False), maps)


def parsenet_large_fov(num_classes: int) -> ParseNet:
    """ParseNet on DeepLab LargeFOV, as for VOC 2012; "ParseNet baseline" is LargeFOV itself."""
    return ParseNet(
        num_classes,
        large_fov_backbone(),
        kernel_size=3,
        rate=12,
        head_features=1024,
        average_pool=True,
        resize_convention="align_corners",
    )
