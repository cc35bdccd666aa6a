"""PSPNet: "Pyramid scene parsing network" (Zhao et al., arXiv 1612.01105).

A ResNet at output stride 8 whose map is pooled to grids of several sizes (section 3.2, Figure 3),
with an auxiliary classifier on an inner stage for training (section 3.3, Figure 4):

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
    """The ResNet of the authors' code (hszhao/PSPNet and hszhao/semseg), depth 50, 101 or 152.

    It has a stem of three 3x3 convolutions, strides on the 3x3 convolutions and output stride 8,
    with rate 2 in every unit of stage 3 and 4 in every unit of stage 4, including the first. The
    decay of the running statistics is 0.9 as in semseg (0.95 in the Caffe code).
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
    """Returns the start and end of each bin of an axis; bins overlap if they do not divide it."""
    return [(i * size // bins, -(-(i + 1) * size // bins)) for i in range(bins)]


def pool_to_grid(x: Array, bins: int, pooling: str = "average") -> Array:
    """Pools a map to bins x bins cells.

    Cell i of an axis of n pixels spans floor(i n / bins) up to ceil((i + 1) n / bins), as in
    PyTorch's adaptive pooling. On maps divisible by the bins (60 x 60 from crops of 473, with 1, 2,
    3 and 6) this equals the Caffe code's pooling with fixed windows.

    Args:
      x: [B, h, w, C].
      bins: cells along each axis.
      pooling: "average" or "max".

    Returns:
      [B, bins, bins, C] in x's dtype; averages are accumulated in at least float32.

    Raises:
      ValueError: `pooling` is unknown, or `bins` is less than 1.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is {pooling!r}: it must be one of {', '.join(POOLINGS)}")
    if bins < 1:
        raise ValueError(f"bins contains {bins}: a pyramid level needs at least one bin")
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
    """The pyramid pooling module (section 3.2): a map, concatenated with its means over grids.

    Departure: the cells adapt to the size of the map. The paper's windows are fixed by the training
    crop, so the authors test on sliding crops of that size, where both are the same.
    """

    bins: tuple[int, ...] = (1, 2, 3, 6)  # cells along a side of the grid of each level
    pooling: str = "average"  # or "max"; Table 1
    reduce: bool = True  # each of N levels to 1/N of the map's channels, by a 1x1 convolution
    # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    resize_convention: str = "align_corners"
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns the map with its levels, [B, h, w, 2 C], or (1 + levels) C without `reduce`.

        In training with a single image, the one-bin level has a single value per channel; its batch
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
    """Figure 3 with the auxiliary head of Figure 4; the output stride is the backbone's.

    Convolutions are initialised from He et al.'s normal distribution, as in the authors' code. The
    paper does not state the initialisation of the classifiers: here it uses fan_in, since fan_out
    with 21 classes would give a standard deviation of 0.3.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # `pspnet_backbone`, or another with a "stage3"
    # cells along a side of the grid of each level of the pyramid
    bins: tuple[int, ...] = (1, 2, 3, 6)
    pooling: str = "average"  # of the pyramid: "average" or "max" (Table 1)
    # each level of the pyramid to 1/N of the map's channels, by a 1x1 convolution
    reduce: bool = True
    head_features: int = 512  # channels of the 3x3 convolution after the pyramid
    dropout: float = 0.1  # of individual values, as in the Caffe code; semseg drops channels
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
          "coarse_logits" [B, H/8, W/8, K], the logits before upsampling; "features", the
          backbone's last map; "pyramid", this map concatenated with its levels.

        Raises:
          ValueError: `bins` or `pooling` has an invalid value; `aux_features` is positive and the
            backbone has no stage 3.
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
