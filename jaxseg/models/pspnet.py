"""PSPNet: "Pyramid scene parsing network" (Zhao et al., arXiv 1612.01105).

A ResNet at output stride 8, its map pooled to grids of several sizes (section 3.2, Figure 3), and
an auxiliary classifier in the middle of the ResNet for training (section 3.3, Figure 4):

    PSPNet(150, pspnet_backbone(50))  # ADE20K: the last row of Table 1, 41.68 mIoU
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.conv import Conv, he_normal_fan_in
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.fast.taps import accumulator
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs

POOLINGS = ("average", "max")


def pspnet_backbone(depth: int, norm_decay: float = 0.9) -> ResNet:
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
        norm_decay=norm_decay,
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

    bins: tuple[int, ...] = (1, 2, 3, 6)
    pooling: str = "average"  # or "max"; Table 1
    reduce: bool = True  # each level to 1/N of the channels of the map by a 1x1 convolution
    resize_convention: str = "align_corners"
    norm: str = "batch"
    norm_epsilon: float = 1e-5
    norm_decay: float = 0.9
    norm_groups: int = 32
    dtype: str = "float32"
    form: str = "auto"

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[B, h, w, C] -> [B, h, w, 2 C], or (1 + levels) C without `reduce`.

        In training with a single image the level of one bin has one value per channel; its batch
        norm then uses its running statistics (see `Norm`).
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
                    norm_epsilon=self.norm_epsilon,
                    norm_decay=self.norm_decay,
                    norm_groups=self.norm_groups,
                    dtype=self.dtype,
                    form=self.form,
                    name=f"level{bins}",
                )(level, train=train)  # [B, bins, bins, C/N]
            levels.append(
                resize_bilinear(
                    level, (height, width), convention=self.resize_convention, form=self.form
                )
            )
        return jnp.concatenate([level.astype(self.dtype) for level in levels], axis=-1)


class PSPNet(nn.Module):
    """Figure 3 with Figure 4's auxiliary head; the backbone's output stride is the model's.

    Convolutions start from He et al.'s normal, as in the authors' code. How the classifiers start
    is not stated in the paper: here with fan_in, since with fan_out 21 classes would start at a
    deviation of 0.3.
    """

    num_classes: int
    backbone: nn.Module  # `pspnet_backbone`, or another with a "stage3"
    bins: tuple[int, ...] = (1, 2, 3, 6)
    pooling: str = "average"
    reduce: bool = True
    head_features: int = 512
    dropout: float = 0.1  # of single values, as in the Caffe code; semseg drops channels
    aux_features: int = 256  # 0: no auxiliary head
    aux_dropout: float = 0.1
    resize_convention: str = "align_corners"
    norm: str = "batch"
    norm_epsilon: float = 1e-5
    norm_decay: float = 0.9
    norm_groups: int = 32
    dtype: str = "float32"  # of features; logits are float32
    form: str = "auto"

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits" and, with an auxiliary head, "aux_logits", float32 [B, H, W, K];
          "coarse_logits" [B, H/8, W/8, K], which the former enlarge; "features", the
          backbone's, and "pyramid", the map beside its levels.

        Raises:
          ValueError: `bins` or `pooling` has a value without meaning; an auxiliary head is asked
            for on a backbone without a stage 3.
        """
        block = self._layer(ConvNorm)
        ends = self.backbone(images, train=train)
        features = ends["features"]  # [B, H/8, W/8, 2048]
        pyramid = self._layer(PyramidPooling)(
            self.bins, self.pooling, self.reduce, self.resize_convention, name="pyramid"
        )(features, train=train)  # [B, H/8, W/8, 4096]
        x = block(self.head_features, 3, name="head")(pyramid, train=train)  # [B, H/8, W/8, 512]
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        outputs = {"features": features, "pyramid": pyramid}
        x = self._classifier("classifier")(x)  # [B, H/8, W/8, K]
        outputs |= {"coarse_logits": x, "logits": self._upsample(x, images)}  # [B, H, W, K]

        if self.aux_features:
            if "stage3" not in ends:
                raise ValueError(
                    f"aux_features is {self.aux_features}: the auxiliary head stands on stage 3 of "
                    f"a ResNet, and {type(self.backbone).__name__} has none; set it to 0"
                )
            x = block(self.aux_features, 3, name="aux_conv")(ends["stage3"], train=train)
            x = nn.Dropout(self.aux_dropout, deterministic=not train)(x)  # [B, H/8, W/8, 256]
            x = self._classifier("aux_classifier")(x)
            outputs["aux_logits"] = self._upsample(x, images)  # [B, H, W, K]
        return outputs

    def _classifier(self, name: str) -> Conv:
        return Conv(
            self.num_classes,
            1,
            use_bias=True,
            kernel_init=he_normal_fan_in,
            form=self.form,
            name=name,
        )

    def _upsample(self, x: Array, like: Array) -> Array:
        height, width = like.shape[1:3]
        convention = self.resize_convention
        return resize_bilinear(x, (height, width), convention=convention, form=self.form)

    def _layer(self, module: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        return functools.partial(
            module,
            norm=self.norm,
            norm_epsilon=self.norm_epsilon,
            norm_decay=self.norm_decay,
            norm_groups=self.norm_groups,
            dtype=self.dtype,
            form=self.form,
        )
