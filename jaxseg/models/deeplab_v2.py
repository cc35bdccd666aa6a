"""DeepLab v2: "Semantic image segmentation with deep convolutional nets, atrous convolution, and
fully connected CRFs" (Chen et al., arXiv 1606.00915).

A map at output stride 8 is classified at several rates in parallel and the scores are summed:
atrous spatial pyramid pooling (section 3.2, Figure 7). On VGG-16 each branch has its own fc6 and
fc7; on ResNet-101 it is a single convolution, and the network processes the image at three scales
(section 4.1.2):

    DeepLabV2(21, large_fov_backbone(), ASPP_L, 1024)             # VGG-16; ASPP_S, (12,): LargeFOV
    DeepLabV2(21, deeplab_v2_resnet(101), ASPP_L, scales=MSC)     # 76.35 on VOC val
    DeepLabV2(21, deeplab_v2_resnet(101), (12,))                  # LargeFOV; (): a 1x1 classifier

The paper's CRF is not part of the network.
"""

import functools
from fractions import Fraction

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.vgg import FullyConvolutional
from jaxseg.layers.aspp import rates_at
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier
from jaxseg.layers.norm import Norm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.models.deeplab_v1 import STATED_AT, classifier_init
from jaxseg.types import Array, Outputs

ASPP_L = (6, 12, 18, 24)
ASPP_S = (2, 4, 8, 12)
MSC = (1.0, 0.75, 0.5)
_MOST_PARTS = 16  # the largest denominator of a scale


def deeplab_v2_resnet(depth: int, norm: Norm = Norm("frozen")) -> ResNet:
    """The ResNet of the released Caffe network, with depth 50, 101 or 152.

    The stride is on the 1x1 convolution, so by the law of `layers/atrous.py` every 3x3 of res4 has
    rate 2 and every one of res5 rate 4; the stem pools by Caffe's ceil rule. The authors freeze the
    norms completely: besides "frozen", this needs a learning-rate multiplier of 0 on their scales
    and biases in the experiment.
    """
    return ResNet(
        depth=depth,
        output_stride=8,
        stride_at="first_1x1",
        ceil_pooling=True,
        norm=norm,
    )


def scaled_side(side: int, scale: float) -> int:
    """Returns a side of n pixels at scale p / q as in the released code: (n - 1) // q * p + 1.

    For example, 321 gives 241 at 0.75 and 161 at 0.5; 513 gives 385 and 257.
    """
    part = Fraction(scale).limit_denominator(_MOST_PARTS)
    return (side - 1) // part.denominator * part.numerator + 1


class SummedASPP(nn.Module):
    """Sums the class scores of parallel branches at several rates (Figure 7b)."""

    num_classes: int  # number of classes
    rates: tuple[int, ...]  # on this map; empty: a single branch with a 1x1 kernel
    features: int = 0  # of fc6 and fc7 in each branch; 0: a branch is only its classifier
    dropout: float = 0.5  # after fc6 and fc7 of each branch
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns the float32 class scores of a map, [B, h, w, K]."""
        classify = functools.partial(
            classifier, self.num_classes, self.compute, kernel_init=classifier_init
        )
        scores = []
        for number, rate in enumerate(self.rates or (1,), start=1):
            size = 3 if self.rates else 1
            if not self.features:
                scores.append(classify(kernel_size=size, rate=rate, name=f"classifier{number}")(x))
                continue
            y = FullyConvolutional(
                self.features,
                size,
                rate,
                dropout=self.dropout,
                compute=self.compute,
                name=f"branch{number}",
            )(x, train=train)  # [B, h, w, 1024]
            scores.append(classify(name=f"classifier{number}")(y))  # [B, h, w, K]
        return functools.reduce(jnp.add, scores)


class DeepLabV2(nn.Module):
    """The network of sections 3.2 and 4.1; its output stride is the backbone's.

    With several `scales`, the network with one set of parameters is applied to the image at each of
    them; the scores are resized to the map of the first scale, and the maximum is taken per class.

    Departure: an image may have any size. With 8 k + 1 pixels the network is exactly that of the
    released code; with the scales 0.75 and 0.5 that needs 32 k + 1. Other sizes are resized with
    aligned corners.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # a `VGG` or `ResNet`; holds the output stride
    atrous_rates: tuple[int, ...] = ASPP_L  # stated at output stride 8, scaled to the actual
    head_features: int = 0  # 1024 on VGG-16
    scales: tuple[float, ...] = (1.0,)  # of the image; the highest score of them is taken
    dropout: float = 0.5  # after fc6 and fc7
    resize_convention: str = "align_corners"  # see jaxseg/sampling.py
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "coarse_logits", at the size of the map, float32
          [B, H/8, W/8, K]; with several scales also the scores of each before the maximum, at the
          size of its map, "coarse_logits_scale75" and so on: the paper sums the losses of all of
          them; "features", the backbone's last map at the first scale.

        Raises:
          ValueError: a rate is not an integer at this output stride; `scales` is empty or has a
            value that is not positive.
        """
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales is {self.scales}: at least one positive scale is needed")
        height, width = images.shape[1:3]
        resize = functools.partial(
            resize_bilinear,
            convention=self.resize_convention,
            form=self.compute.of("resize"),
        )
        aspp = SummedASPP(
            self.num_classes,
            rates_at(self.atrous_rates, self.backbone.output_stride, STATED_AT),
            self.head_features,
            self.dropout,
            self.compute,
            name="aspp",
        )
        outputs: Outputs = {}
        maps: list[Array] = []
        for scale in self.scales:
            seen = scaled_side(height, scale), scaled_side(width, scale)
            view = images if scale == 1 else resize(images, seen)  # [B, h, w, 3]
            features = self.backbone(view, train=train)["features"]  # [B, h/8, w/8, 2048]
            outputs.setdefault("features", features)
            maps.append(aspp(features, train=train))  # [B, h/8, w/8, K]
        rows, columns = maps[0].shape[1:3]
        fused = functools.reduce(jnp.maximum, [resize(scores, (rows, columns)) for scores in maps])
        if len(maps) > 1:
            for scale, scores in zip(self.scales, maps, strict=True):
                outputs[f"coarse_logits_scale{round(100 * scale)}"] = scores
        return outputs | {"coarse_logits": fused, "logits": resize(fused, (height, width))}
