"""FCN: "Fully convolutional networks for semantic segmentation" (Long et al., Shelhamer et al.).

A classifier whose layers are all convolutions; its coarse scores are upsampled to the image and
added to those of finer maps (arXiv 1411.4038, section 4, Figure 3; 1605.06211):

    FCN(21, VGG(image_padding=100), stride=32)    # FCN-32s: scores of fc7 alone
    FCN(21, VGG(image_padding=100), stride=16)    # FCN-16s: also of pool4
    FCN(21, VGG(image_padding=100))               # FCN-8s: also of pool3
    FCN(21, VGG(image_padding=100), at_once=True)             # FCN-8s trained in one stage
    FCN(21, VGG(image_padding=100), deconvolution="learned")  # as in the first paper
    FCN(21, AlexNet(image_padding=100), stride=32, fc6_kernel=6)  # FCN-AlexNet

FCN-32s, 16s and 8s share the names of their parameters, so that each can be initialised from the
one before. With a border of 100 zeros, fc6 has at least one output for any image. All crops follow
from the positions of the maps' pixels in the image (`layers/grid.py`); with the border they are
those of the released networks, 19, 27 and 31 (18 for AlexNet) for the final scores, and 5 and 9 for
the scores of pool4 and pool3.
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.backbones.vgg import FullyConvolutional
from jaxseg.layers.bilinear import bilinear_conv_transpose
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, classifier
from jaxseg.layers.conv_transpose import bilinear_init, conv_transpose
from jaxseg.layers.grid import Grid
from jaxseg.types import Array, Outputs

# Stride of the finest scores -> each finer map, and the upsampling layer before its addition.
SKIPS = {
    32: (),
    16: (("pool4", "upscore2"),),
    8: (("pool4", "upscore2"), ("pool3", "upscore_pool4")),
}
LAST = {32: "upscore", 16: "upscore16", 8: "upscore8"}
AT_ONCE = {"pool4": 0.01, "pool3": 0.0001}  # factors of the maps (released voc-fcn8s-atonce)
DECONVOLUTIONS = {  # whether the upsampling layers by 2, and the last one, are learned
    "fixed": (False, False),  # all bilinear, as in the released networks
    "learned": (True, False),  # section 4.3 of the first paper
    "all_learned": (True, True),
}


class Upscore(nn.Module):
    """Upsamples scores by a transposed convolution, fixed to be bilinear or only initialised so.

    If learned, it has a kernel [size, size, K, K] that mixes classes. Scores outside the map are 0.
    """

    size: int  # of the kernel
    stride: int  # how many times larger the map becomes
    learned: bool = False  # the kernel is trained; else it stays bilinear
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Upsamples [B, h, w, K] to [B, stride (h - 1) + size, stride (w - 1) + size, K]."""
        form = self.compute.of("transposed")
        if not self.learned:
            return bilinear_conv_transpose(x, size=self.size, stride=self.stride, form=form)
        shape = (self.size, self.size, x.shape[-1], x.shape[-1])
        kernel = self.param("kernel", bilinear_init, shape, jnp.float32)
        return conv_transpose(x, kernel, stride=self.stride, form=form)


class FCN(nn.Module):
    """FCN-32s, 16s and 8s on VGG-16, and FCN-AlexNet.

    Score layers are initialised to zero, so before the first update every score is 0.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # `VGG` or `AlexNet`; its output stride is the coarsest of the model
    stride: int = 8  # of the finest scores: 32, 16 or 8
    at_once: bool = False  # scale finer maps down by fixed factors, to train all stages at once
    deconvolution: str = "fixed"  # or "learned" (except the last one), "all_learned"
    head_features: int = 4096  # of fc6 and fc7
    fc6_kernel: int = 7  # 6 on AlexNet
    fc6_padding: int | None = 0  # None: half the kernel, for a backbone without the border
    dropout: float = 0.5  # of individual values, as in Caffe
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "features", the backbone's last map; "fc7", the map that
          gives the coarsest scores.

        Raises:
          ValueError: a field has an invalid value; the backbone lacks a map; the pixels of two maps
            cannot be aligned, or the scores do not cover the image.
        """
        self._check()
        ends = self.backbone(images, train=train)
        grids = self.backbone.grids()
        learned, last_learned = DECONVOLUTIONS[self.deconvolution]
        rate = self.backbone.head_rate
        fc7 = FullyConvolutional(
            self.head_features,
            self.fc6_kernel,
            rate,
            self.fc6_padding,
            self.dropout,
            compute=self.compute,
            name="head",
        )(ends["features"], train=train)  # [B, H/32, W/32, 4096]
        padding = rate * (self.fc6_kernel - 1) // 2
        padding = padding if self.fc6_padding is None else self.fc6_padding
        grid = grids["features"].after(self.fc6_kernel, rate=rate, padding=padding)

        score = self._score("score_fr")(fc7)  # [B, H/32, W/32, K]
        for skip, name in SKIPS[self.stride]:
            if skip not in ends:
                raise ValueError(
                    f"stride is {self.stride}: it needs the map {skip}, and "
                    f"{type(self.backbone).__name__} has none; its stride is 32"
                )
            score, grid = self._upsample(score, grid, grids[skip], learned, name)
            finer = ends[skip] * AT_ONCE[skip] if self.at_once else ends[skip]
            finer = self._score(f"score_{skip}")(finer)  # [B, H/16, W/16, K], then [B, H/8, ..]
            score, finer, grid = _aligned(score, grid, finer, grids[skip])
            score = score + finer
        score, grid = self._upsample(score, grid, Grid(), last_learned, LAST[self.stride])
        logits = _cropped(score, grid, images.shape[1:3])  # [B, H, W, K]
        return {"logits": logits, "features": ends["features"], "fc7": fc7}

    def _check(self) -> None:
        if self.stride not in SKIPS:
            raise ValueError(f"stride is {self.stride}: FCN has {', '.join(map(str, SKIPS))}")
        if self.deconvolution not in DECONVOLUTIONS:
            names = ", ".join(DECONVOLUTIONS)
            raise ValueError(f"deconvolution is {self.deconvolution!r}: it is one of {names}")
        if not hasattr(self.backbone, "grids"):
            raise ValueError(
                f"{type(self.backbone).__name__} has no method grids(), from which FCN computes "
                "its crops: use VGG or AlexNet"
            )
        if self.deconvolution != "fixed" and self.backbone.head_rate > 1:
            raise ValueError(
                f"deconvolution is {self.deconvolution!r}: its kernels are for output stride 32, "
                f"and the backbone's is {self.backbone.output_stride}"
            )

    def _score(self, name: str) -> Conv:
        zeros = nn.initializers.zeros_init()  # section 4.3
        return classifier(self.num_classes, self.compute, kernel_init=zeros, name=name)

    def _upsample(
        self, score: Array, grid: Grid, target: Grid, learned: bool, name: str
    ) -> tuple[Array, Grid]:
        """Upsamples scores to the stride of `target`; returns them and their grid.

        Of the two kernel sizes that interpolate, it uses the one that aligns the pixels with those
        of `target`: as a rule 2 * stride taps, on AlexNet 63 for stride 32.
        """
        by = int(grid.stride / target.stride)
        for size in (2 * by, 2 * by - 1):
            upsampled = grid.upsampled(size, by)
            if upsampled.index_in(target).denominator == 1:
                layer = Upscore(size, by, learned, self.compute, name=name)
                return layer(score), upsampled
        raise ValueError(
            f"{name} cannot align its pixels with those of the map that it is added to: change the "
            "paddings or kernels of the backbone or of fc6"
        )


def _aligned(score: Array, grid: Grid, finer: Array, its: Grid) -> tuple[Array, Array, Grid]:
    """Crops two maps of the same stride to their overlap; returns them and its grid.

    With FCN's border the score map is the smaller one: the finer map is cropped at 5, then at 9.
    """
    first = int(grid.index_in(its))
    score, finer = (
        x[:, cut:, cut:] for x, cut in ((score, max(0, -first)), (finer, max(0, first)))
    )
    rows, columns = (min(sizes) for sizes in zip(score.shape[1:3], finer.shape[1:3], strict=True))
    start = max(grid.start, its.start)
    return score[:, :rows, :columns], finer[:, :rows, :columns], Grid(start, grid.stride)


def _cropped(score: Array, grid: Grid, size: tuple[int, ...]) -> Array:
    """Crops the scores to an image of `size`: at 19, 27 or 31 with FCN's border."""
    first = int(-grid.start)
    height, width = size
    if first < 0 or score.shape[1] < first + height or score.shape[2] < first + width:
        raise ValueError(
            f"scores begin at pixel {-first} and are {score.shape[1]} x {score.shape[2]}, the "
            f"image {height} x {width}: set the backbone's image_padding to 100 or fc6_padding to "
            "None to cover it"
        )
    return score[:, first : first + height, first : first + width]
