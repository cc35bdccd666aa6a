"""PSPNet: "Pyramid scene parsing network" (Zhao et al., arXiv 1612.01105).

A ResNet at output stride 8, its map pooled to grids of several sizes (section 3.2, Figure 3), and
an auxiliary classifier in the middle of the ResNet for training (section 3.3, Figure 4):

    PSPNet(150, pspnet_backbone(50))  # ADE20K: the last row of Table 1, 41.68 mIoU
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.fcn_head import aux_map, fcn_scores
from jaxseg.layers.norm import Norm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs

POOLINGS = ("average", "max")


def pspnet_backbone(depth: int, norm: Norm = Norm()) -> ResNet:
    """The ResNet of the authors' code (hszhao/PSPNet and hszhao/semseg): 50, 101 or 152.

    Stem of three 3x3 convolutions, stride on the 3x3, output stride 8 with rate 2 in every unit of
    stage 3 and 4 in every one of stage 4, the first included. The running statistics keep 0.9 as in
    semseg (0.95 in the Caffe code).
    """
    return ResNet(
        depth=depth,
        output_stride=8,
        stem="3x3x3",
        stride_at="first_3x3",
        dilate_first=True,
        norm=norm,
    )


def _edges(size: int, bins: int) -> list[tuple[int, int]]:
    """First and last + 1 pixel of each bin of an axis; bins overlap where they do not divide it."""
    return [(i * size // bins, -(-(i + 1) * size // bins)) for i in range(bins)]


def pool_to_grid(x: Array, bins: int, pooling: str = "average") -> Array:
    """The mean or maximum of bins x bins cells that cover the map.

    Cell i of an axis of n pixels spans floor(i n / bins) up to ceil((i + 1) n / bins), as torch's
    adaptive pooling has it. On maps that bins divide (60 x 60 of crops of 473, with 1, 2, 3 and 6)
    that is the Caffe code's pooling of fixed windows.

    Args:
      x: [B, h, w, C].
      bins: cells along each axis.
      pooling: "average" or "max".

    Returns:
      [B, bins, bins, C] in x's dtype; averages are summed in float32 at least.

    Raises:
      ValueError: `pooling` is unknown, or there is no bin.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is {pooling!r}: it must be one of {', '.join(POOLINGS)}")
    if bins < 1:
        raise ValueError(f"bins holds {bins}: a pyramid level needs at least one")
    if pooling == "max":
        for axis in (1, 2):
            cells = [
                jnp.max(jnp.take(x, np.arange(*edges), axis=axis), axis=axis)
                for edges in _edges(x.shape[axis], bins)
            ]
            x = jnp.stack(cells, axis=axis)
        return x
    wide = accumulator(x)
    rows, columns = (np.zeros((bins, n), wide) for n in x.shape[1:3])
    for shares in (rows, columns):
        for i, (start, end) in enumerate(_edges(shares.shape[1], bins)):
            shares[i, start:end] = 1 / (end - start)
    y = jnp.einsum("iH,jW,BHWC->BijC", rows, columns, x.astype(wide), precision="highest")
    return y.astype(x.dtype)


class PyramidPooling(nn.Module):
    """The pyramid pooling module (section 3.2): the map beside its means over ever finer grids.

    Departure: the module follows the size of the map. The paper's windows are fixed by the training
    crop, so the authors test on sliding crops of that size, where both are the same.
    """

    bins: tuple[int, ...] = (1, 2, 3, 6)  # cells along a side of the grid of each level
    pooling: str = "average"  # or "max"; Table 1
    reduce: bool = True  # each level to 1/N of the channels of the map by a 1x1 convolution
    # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    resize_convention: str = "align_corners"
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[B, h, w, C] -> [B, h, w, 2 C], or (1 + levels) C without `reduce`.

        In training with a single image the level of one bin has one value per channel; its batch
        norm then uses its running statistics (see `NormLayer`).
        """
        height, width = x.shape[1:3]
        levels = [x]
        for bins in self.bins:
            level = pool_to_grid(x, bins, self.pooling)  # [B, bins, bins, C]
            if self.reduce:
                level = ConvNorm(
                    x.shape[-1] // len(self.bins),
                    1,
                    norm=self.norm,
                    compute=self.compute,
                    name=f"level{bins}",
                )(level, train=train)  # [B, bins, bins, C/N]
            levels.append(
                resize_bilinear(
                    level,
                    (height, width),
                    convention=self.resize_convention,
                    form=self.compute.of("resize"),
                )
            )
        return jnp.concatenate([level.astype(self.compute.dtype) for level in levels], axis=-1)


class PSPNet(nn.Module):
    """Figure 3 with Figure 4's auxiliary head; the backbone's output stride is the model's.

    Convolutions start from He et al.'s normal, as in the authors' code. How the classifiers start
    is not stated in the paper: here with fan_in, since with fan_out 21 classes would start at a
    deviation of 0.3.
    """

    num_classes: int  # classes that are scored; in an experiment 0 stands for those of the data set
    backbone: nn.Module  # `pspnet_backbone`, or another with a "stage3"
    # cells along a side of the grid of each level of the pyramid
    bins: tuple[int, ...] = (1, 2, 3, 6)
    pooling: str = "average"  # of the pyramid: "average" or "max" (Table 1)
    # each level of the pyramid to 1/N of the map's channels, by a 1x1 convolution
    reduce: bool = True
    head_features: int = 512  # channels of the 3x3 convolution after the pyramid
    dropout: float = 0.1  # of single values, as in the Caffe code; semseg drops channels
    aux_features: int = 256  # 0: no auxiliary head
    aux_dropout: float = 0.1  # before the classifier of the auxiliary head
    # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    resize_convention: str = "align_corners"
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits" and, with an auxiliary head, "aux_logits", float32 [B, H, W, K];
          "coarse_logits" [B, H/8, W/8, K], which the former upsample; "features", the
          backbone's, and "pyramid", the map beside its levels.

        Raises:
          ValueError: `bins` or `pooling` has a value without meaning; an auxiliary head is asked
            for on a backbone without a stage 3.
        """
        ends = self.backbone(images, train=train)
        features = ends["features"]  # [B, H/8, W/8, 2048]
        pyramid = PyramidPooling(
            self.bins,
            self.pooling,
            self.reduce,
            self.resize_convention,
            self.norm,
            self.compute,
            name="pyramid",
        )(features, train=train)  # [B, H/8, W/8, 4096]
        head = ConvNorm(self.head_features, 3, norm=self.norm, compute=self.compute, name="head")
        x = head(pyramid, train=train)  # [B, H/8, W/8, 512]
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        outputs = {"features": features, "pyramid": pyramid}
        x = classifier(self.num_classes, self.compute)(x)  # [B, H/8, W/8, K]
        outputs |= {"coarse_logits": x, "logits": self._upsample(x, images)}  # [B, H, W, K]

        if self.aux_features:
            x = fcn_scores(
                aux_map(ends, self.aux_features, self.backbone),
                self.num_classes,
                self.aux_features,
                self.aux_dropout,
                norm=self.norm,
                compute=self.compute,
                train=train,
                prefix="aux_",
            )  # [B, H/8, W/8, K]
            outputs["aux_logits"] = self._upsample(x, images)  # [B, H, W, K]
        return outputs

    def _upsample(self, x: Array, like: Array) -> Array:
        height, width = like.shape[1:3]
        convention, form = self.resize_convention, self.compute.of("resize")
        return resize_bilinear(x, (height, width), convention=convention, form=form)
