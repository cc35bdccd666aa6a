"""Dilated convolutions: "Multi-scale context aggregation by dilated convolutions" (Yu and Koltun).

A front end, VGG-16 without its last two poolings and without any padding, and a context module of
increasing rates on its map of scores (arXiv 1511.07122, sections 3 and 4, Table 1):

    Dilation(21, front_end_backbone())                                    # the front end
    Dilation(21, front_end_backbone(), CONTEXT_8)                         # with the Basic module
    Dilation(21, front_end_backbone(), CONTEXT_8, LARGE, pad_first=True)  # Large, as released
    Dilation(11, front_end_backbone(), CONTEXT_8)                         # Dilation8: CamVid
    Dilation(19, front_end_backbone(), CONTEXT_10, upsampling="deconvolution")  # Cityscapes
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.backbones.vgg import VGG, FullyConvolutional
from jaxseg.layers.aspp import rates_at
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, classifier, he_normal_fan_in
from jaxseg.layers.mirror import mirrored
from jaxseg.layers.resize import resize_bilinear
from jaxseg.layers.upsample import Upsample
from jaxseg.types import Array, Outputs

# Rates of the 3x3 convolutions, stated at output stride 8; the names also count the final 1x1.
CONTEXT_7 = (1, 1, 2, 4, 8, 1)  # KITTI
CONTEXT_8 = (1, 1, 2, 4, 8, 16, 1)  # Table 1
CONTEXT_10 = (1, 1, 2, 4, 8, 16, 32, 64, 1)  # Cityscapes
LARGE = (2, 2, 4, 8, 16, 32, 32)  # features as multiples of the number of classes; 1 in Basic
STATED_AT = 8
UPSAMPLINGS = ("probabilities", "deconvolution")
STARTS = ("identity", "random")

final_init = nn.initializers.normal(0.001)  # of the front end's last layer


def front_end_backbone() -> VGG:
    """VGG-16 at output stride 8, unpadded, without pools 4 and 5; conv5 has rate 2 (section 4)."""
    return VGG(output_stride=8, padding=False, atrous_pools=False)


def identity_init(classes: int, noise: float = 0.01) -> nn.initializers.Initializer:
    """Returns an initializer that passes each class on (equations 4 and 5; the released filler).

    The centre weight from input a to output b is C / c_out if floor(a C / c_in) =
    floor(b C / c_out): channels are grouped by class, and the output is the mean over its group.
    All other weights are normal with standard deviation `noise`, which according to the paper
    should be far below C / c_out; the released code has it in the Basic module too, where equation
    4 has zeros.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        rows, columns, inputs, outputs = shape
        groups = (jnp.arange(n) * classes // n for n in (inputs, outputs))
        same = jnp.equal(*jnp.meshgrid(*groups, indexing="ij"))  # [c_in, c_out]
        kernel = noise * jax.random.normal(key, shape, dtype)
        centre = kernel[rows // 2, columns // 2]
        centre = jnp.where(same, classes / outputs, centre)
        return kernel.at[rows // 2, columns // 2].set(centre)

    return init


class ContextModule(nn.Module):
    """Table 1: 3x3 convolutions with ReLU and a final 1x1 convolution on a map of scores.

    Even without noise, the initial function is not quite the identity: the first ReLU sets negative
    scores to 0, and the other layers pass max(score, 0) on unchanged.
    """

    num_classes: int  # number of classes
    rates: tuple[int, ...]  # on this map
    widths: tuple[int, ...] = ()  # as multiples of the number of classes; (): all 1, Basic
    pad_first: bool = False  # pad by the sum of all rates once; else each layer by its rate
    start: str = "identity"  # or "random", with which the paper could not train it
    noise: float = 0.01  # deviation of the noise around the identity, or of the random start
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns refined float32 scores [B, h, w, K].

        Raises:
          ValueError: `widths` and `rates` differ in length, or `start` is unknown.
        """
        widths = self.widths or (1,) * len(self.rates)
        if len(widths) != len(self.rates):
            raise ValueError(f"{len(widths)} context_widths for {len(self.rates)} context_rates")
        if self.start not in STARTS:
            raise ValueError(
                f"context_start is {self.start!r}: it must be one of {', '.join(STARTS)}"
            )
        init = he_normal_fan_in
        if self.start == "identity":
            init = identity_init(self.num_classes, self.noise)
        for number, (rate, times) in enumerate(zip(self.rates, widths, strict=True), start=1):
            padding = rate
            if self.pad_first:
                padding = sum(self.rates) if number == 1 else 0
            layer = Conv(
                times * self.num_classes,
                3,
                rate=rate,
                padding=padding,
                use_bias=True,
                kernel_init=init,
                compute=self.compute,
                name=f"layer{number}",
            )
            x = nn.relu(layer(x))  # [B, h, w, times K]
        final = classifier(self.num_classes, self.compute, kernel_init=init, name="final")
        return final(x)  # [B, h, w, K]


class Dilation(nn.Module):
    """Front end and context module, for images of any size.

    No convolution of the front end pads, so an image loses 186 pixels on each side, by which the
    paper pads it with mirrored pixels. With `mirror` off, there are logits for the inner pixels
    only.

    The paper trains on the map of stride 8, "coarse_logits", with every 8th label. For the image it
    interpolates probabilities, not scores ("probabilities": pixel p is at p / 8 of the map; the
    logits are their logarithms, whose softmax is the probabilities), or for Cityscapes scores, in
    the network, by a fixed bilinear transposed convolution ("deconvolution"). The window of fc6 is
    centred on pixel 8 i + 3.5: "deconvolution" respects this, while "probabilities" is off by half
    a step, like every 8th label.

    Departure: an image of any size is padded at the bottom and right to a multiple of 8. The last 7
    rows and columns use the last ones of the map, where the released code reads one more. A VGG
    with padding is accepted too, and costs much less on small images: then fc6 pads as well and the
    margin is 0. The paper's front end does not pad.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # `front_end_backbone()`; holds the output stride
    context_rates: tuple[int, ...] = ()  # stated at output stride 8, scaled; (): the front end
    # channels of the context module's layers, in multiples of the classes; (): all 1
    context_widths: tuple[int, ...] = ()
    # all zeros around the context module's first layer; else each pads by its rate
    pad_first: bool = False
    context_start: str = "identity"  # of the context module: "identity" or "random"
    context_noise: float = 0.01  # deviation around this start
    # "probabilities" or "deconvolution": what is brought to the image's size, see above
    upsampling: str = "probabilities"
    # the image is continued by its mirror image; else logits are those of the inner pixels
    mirror: bool = True
    head_features: int = 4096  # of fc6 and fc7
    dropout: float = 0.5  # after fc6 and fc7
    compute: Compute = Compute()

    @property
    def margin(self) -> int:
        """The number of pixels that an image loses on each side: 186 for VGG-16."""
        step, rate = self.backbone.output_stride, self.backbone.head_rate
        grid = self.backbone.grids()["features"].after(7, rate=rate, padding=self._padding)
        return int(grid.start) - (step - 1) // 2

    @property
    def border(self) -> int:
        """An alias of `margin`, named as in `UNet`."""
        return self.margin

    @property
    def _padding(self) -> int:
        """The padding of fc6."""
        return 3 * self.backbone.head_rate if getattr(self.backbone, "padding", False) else 0

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K], without `mirror` [B, H - 372, W - 372, K];
          "coarse_logits", at the size of the map, float32 [B, H/8, W/8, K]; "features", the
          backbone's last map.

        Raises:
          ValueError: `upsampling` is unknown; a rate is not an integer at this output stride;
            `mirror` is off and a side without its margins is not a positive multiple of 8.
        """
        if self.upsampling not in UPSAMPLINGS:
            known = ", ".join(UPSAMPLINGS)
            raise ValueError(f"upsampling is {self.upsampling!r}: it must be one of {known}")
        step = self.backbone.output_stride
        height, width = images.shape[1:3]
        if self.mirror:
            images = self._mirror_padded(images)  # [B, H + 372, W + 372, 3]
        else:
            height, width = (n - 2 * self.margin for n in (height, width))
            if min(height, width) < 1 or height % step or width % step:
                raise ValueError(
                    f"images of {images.shape[1]} x {images.shape[2]} minus {self.margin} pixels "
                    f"on each side are not a multiple of {step}: use other sizes, or turn mirror on"
                )
        features = self.backbone(images, train=train)["features"]  # [B, H/8 + 24, W/8 + 24, 512]
        x = FullyConvolutional(
            self.head_features,
            7,
            self.backbone.head_rate,
            padding=self._padding,
            dropout=self.dropout,
            compute=self.compute,
            name="head",
        )(features, train=train)  # [B, H/8, W/8, 4096]
        coarse = classifier(self.num_classes, self.compute, kernel_init=final_init)(
            x
        )  # [B, H/8, W/8, K]
        if self.context_rates:
            coarse = ContextModule(
                self.num_classes,
                rates_at(self.context_rates, step, STATED_AT),
                self.context_widths,
                self.pad_first,
                self.context_start,
                self.context_noise,
                self.compute,
                name="context",
            )(coarse)
        logits = self._upsampled(coarse, (height, width))  # [B, H, W, K]
        return {"features": features, "coarse_logits": coarse, "logits": logits}

    def _mirror_padded(self, images: Array) -> Array:
        """Pads images by reflection with the margin and to a multiple of the stride."""
        margin, step = self.margin, self.backbone.output_stride
        rows, columns = ((margin, margin + -side % step) for side in images.shape[1:3])
        return mirrored(images, rows, columns)

    def _upsampled(self, scores: Array, size: tuple[int, int]) -> Array:
        """Upsamples scores [B, h, w, K] to [B, *size, K]."""
        step = self.backbone.output_stride
        if self.upsampling == "deconvolution":
            upsample = Upsample(
                "transposed_fixed", step, compute=self.compute.float32, name="upsample"
            )
            return upsample(scores, size)
        rows, columns = (step * n for n in scores.shape[1:3])
        probabilities = resize_bilinear(
            jax.nn.softmax(scores, axis=-1),
            (rows, columns),
            convention="origin",
            form=self.compute.of("resize"),
        )
        smallest = jnp.finfo(probabilities.dtype).tiny
        return jnp.log(jnp.maximum(probabilities, smallest))[:, : size[0], : size[1]]
