"""EncNet: "Context encoding for semantic segmentation" (Zhang et al., arXiv 1803.08904).

A ResNet at output stride 8, whose map is encoded as a single vector: residuals to learned
codewords, aggregated over the whole image. The vector scales the channels of the map and predicts
which classes are present in the image (section 3.1, Figure 3):

    EncNet(59, encnet_backbone(101))  # PASCAL Context: 51.7 mIoU
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.accumulator import accumulator
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.fast.forms import use_fast
from jaxseg.layers.fcn_head import FCNHead, aux_map
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs

AGGREGATIONS = ("mean", "sum")
LATERAL_STAGES = ("stage2", "stage3")


def encnet_backbone(depth: int, norm: Norm = Norm()) -> ResNet:
    """The ResNet of the authors' code (zhanghang1989/PyTorch-Encoding), with depth 50 or 101.

    It has a stem of three 3x3 convolutions, strides on the 3x3 convolutions and output stride 8;
    the first unit of stage 3 keeps rate 1 and that of stage 4 rate 2, by the law of
    `layers/atrous.py`.
    """
    return ResNet(depth=depth, output_stride=8, stem="3x3x3", stride_at="first_3x3", norm=norm)


def encode(x: Array, codewords: Array, smoothing: Array, *, form: str = "auto") -> Array:
    """The Encoding Layer (section 3.1): residuals to codewords, summed with soft assignment.

        r_ik = x_i - d_k;   a_ik = softmax over k of s_k |r_ik|^2;   e_k = sum over i of a_ik r_ik

    A negative s prefers near codewords. This is the sign of the released code; the paper writes
    exp(-s |r|^2).

    The plain form follows the equations, with all residuals [B, N, K, D] in memory: 0.24 GB per
    image for a map of 60 x 60. The fast form does not store them, since
    |x - d|^2 = |x|^2 - 2 x.d + |d|^2 and e_k = sum of a_ik x_i - d_k sum of a_ik are computed by
    matrix products.

    Args:
      x: [B, N, D] descriptors, in any order.
      codewords: d, [K, D].
      smoothing: s, [K].
      form: "auto" (the fast one), "plain" or "fast"; both give the same numbers.

    Returns:
      [B, K, D] in at least float32, since distances are differences of large sums.
    """
    x, codewords, smoothing = (a.astype(accumulator(x)) for a in (x, codewords, smoothing))
    if not use_fast(form, auto=True):
        residuals = x[:, :, None] - codewords  # [B, N, K, D]
        distances = jnp.sum(residuals**2, axis=-1)  # [B, N, K]
        assignment = jax.nn.softmax(smoothing * distances, axis=-1)
        return jnp.einsum("bnk,bnkd->bkd", assignment, residuals, precision="highest")
    products = jnp.einsum("bnd,kd->bnk", x, codewords, precision="highest")
    lengths = jnp.sum(x**2, axis=-1, keepdims=True)  # [B, N, 1]
    distances = lengths - 2 * products + jnp.sum(codewords**2, axis=-1)  # [B, N, K]
    assignment = jax.nn.softmax(smoothing * distances, axis=-1)
    sums = jnp.einsum("bnk,bnd->bkd", assignment, x, precision="highest")  # [B, K, D]
    return sums - jnp.sum(assignment, axis=1)[:, :, None] * codewords


def _codewords_init(key: Array, shape: tuple[int, int], dtype: str) -> Array:
    """Draws from a uniform distribution on [-1 / sqrt(K D), 1 / sqrt(K D)]."""
    bound = (shape[0] * shape[1]) ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def _smoothing_init(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draws from a uniform distribution on [-1, 0]."""
    return jax.random.uniform(key, shape, dtype, -1, 0)


class ContextEncoding(nn.Module):
    """The Context Encoding Module (section 3.1): encodes a map and scales its channels.

    The normalisation of encodings has one scale and shift per codeword, and its statistics are over
    images and channels: C values even for a single image.
    """

    codewords: int = 32  # learned vectors that features are compared with
    # Departure: the paper sums over codewords, its code takes the mean.
    aggregation: str = "mean"  # or "sum", `codewords` times as much
    # Departure: x + x * gate, as in the released code; the paper has x * gate.
    residual_gate: bool = True
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        """Returns the map with scaled channels [B, h, w, C] and its encoding [B, C].

        Raises:
          ValueError: `aggregation` is unknown.
        """
        if self.aggregation not in AGGREGATIONS:
            known = ", ".join(AGGREGATIONS)
            raise ValueError(f"aggregation is {self.aggregation!r}: it must be one of {known}")
        features = x.shape[-1]
        conv = ConvNorm(features, 1, norm=self.norm, compute=self.compute, name="conv")
        y = conv(x, train=train)  # [B, h, w, C]
        y = y.reshape(y.shape[0], -1, features)  # [B, h w, C]
        d = self.param("codewords", _codewords_init, (self.codewords, features), "float32")
        s = self.param("smoothing", _smoothing_init, (self.codewords,), "float32")
        e = encode(y, d, s, form=self.compute.of("dense"))  # [B, codewords, C]
        norm = NormLayer(self.norm, e.dtype.name, name="norm")
        e = norm(e.swapaxes(1, 2), train=train)  # [B, C, codewords]
        e = jnp.sum(nn.relu(e), axis=-1)  # [B, C]
        if self.aggregation == "mean":
            e = e / self.codewords
        gate = nn.sigmoid(nn.Dense(features, dtype=e.dtype, name="gate")(e))
        gate = gate[:, None, None].astype(self.compute.dtype)  # [B, 1, 1, C]
        return nn.relu(x + x * gate if self.residual_gate else x * gate), e


class EncNet(nn.Module):
    """Figure 3, with the auxiliary FCN head of the authors' code on stage 3.

    The paper does not state the initialisation. Here convolutions use He et al.'s normal
    distribution and fully connected layers LeCun's; codewords and smoothing factors are initialised
    as in the authors' code.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # `encnet_backbone`, or another with a "stage3"
    lateral: bool = False  # fuse stages 2 and 3, as the authors' code does for PASCAL and COCO
    head_features: int = 512  # channels of the map that is encoded and classified
    codewords: int = 32  # of the context encoding
    aggregation: str = "mean"  # "mean" or "sum" over the codewords
    residual_gate: bool = True  # the gated map is added to the map; else it takes its place
    se_loss: bool = True  # return "presence_logits", for the SE-loss
    dropout: float = 0.1  # of individual values, not of whole channels
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
          "coarse_logits" [B, H/8, W/8, K], the logits before upsampling; with `se_loss`
          "presence_logits", float32 [B, K]; "features", the backbone's last map; "encoding"
          [B, 512]; "encoded", the input of the classifier.

        Raises:
          ValueError: `aggregation` is unknown, or the backbone lacks a stage that `lateral` or
            `aux_features` needs.
        """
        height, width = images.shape[1:3]
        block = functools.partial(ConvNorm, norm=self.norm, compute=self.compute)
        upsample = functools.partial(
            resize_bilinear,
            size=(height, width),
            convention=self.resize_convention,
            form=self.compute.of("resize"),
        )
        ends = self.backbone(images, train=train)
        self._check(ends)
        features = ends["features"]  # [B, H/8, W/8, 2048]
        x = block(self.head_features, 3, name="head")(features, train=train)  # [B, H/8, W/8, 512]
        if self.lateral:
            x = self._with_stages(x, ends, train=train)  # [B, H/8, W/8, 512]
        x, encoding = ContextEncoding(
            self.codewords,
            self.aggregation,
            self.residual_gate,
            self.norm,
            self.compute,
            name="context",
        )(x, train=train)  # [B, H/8, W/8, 512], [B, 512]
        outputs = {
            "features": features,
            "encoding": encoding.astype(self.compute.dtype),
            "encoded": x,
        }
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = classifier(self.num_classes, self.compute)(x)  # [B, H/8, W/8, K]
        outputs |= {"coarse_logits": x, "logits": upsample(x)}  # [B, H, W, K]
        if self.se_loss:
            presence = nn.Dense(self.num_classes, dtype=encoding.dtype, name="presence")
            outputs["presence_logits"] = presence(encoding)  # [B, K]
        if self.aux_features:
            head = FCNHead(
                self.num_classes,
                self.aux_features,
                self.aux_dropout,
                self.norm,
                self.compute,
                name="aux_head",
            )
            x = head(aux_map(ends, self.aux_features, self.backbone), train=train)
            outputs["aux_logits"] = upsample(x)  # [B, H, W, K]
        return outputs

    def _with_stages(self, x: Array, ends: dict[str, Array], *, train: bool) -> Array:
        """Fuses the map with stages 2 and 3, which have its size at output stride 8."""
        block = functools.partial(ConvNorm, norm=self.norm, compute=self.compute)
        height, width = x.shape[1:3]
        maps = [x]
        for stage in LATERAL_STAGES:
            y = block(self.head_features, 1, name=f"lateral_{stage}")(ends[stage], train=train)
            if y.shape[1:3] != (height, width):
                y = resize_bilinear(
                    y,
                    (height, width),
                    convention=self.resize_convention,
                    form=self.compute.of("resize"),
                )
            maps.append(y)  # [B, H/8, W/8, 512]
        x = jnp.concatenate(maps, axis=-1)  # [B, H/8, W/8, 1536]
        return block(self.head_features, 3, name="fusion")(x, train=train)

    def _check(self, ends: dict[str, Array]) -> None:
        for stage in LATERAL_STAGES:
            if self.lateral and stage not in ends:
                raise ValueError(
                    f"lateral is {self.lateral}: it needs {stage} of a ResNet, and "
                    f"{type(self.backbone).__name__} has none; turn it off"
                )
