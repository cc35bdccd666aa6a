"""PANet: "Path aggregation network for instance segmentation" (Liu et al., arXiv 1803.01534).

Mask R-CNN with a second, bottom-up path through the pyramid (section 3.1), RoIs from all levels
(3.2) and a fully connected branch beside the mask's (3.3). Each is a field, so the rows of the
paper's component table are flags:

    panet(80)                           # the authors' code (ShuLiu1993/PANet)
    without the bottom-up path          --config.model.neck.bottom_up=false
    without adaptive feature pooling    --config.model.pooling.adaptive=false
    without fully connected fusion      --config.model.mask_head.fusion=false
    without the heavier head            --config.model.box_head.convs=0 and .fcs=2
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import Compute
from jaxseg.layers.fpn import FPN, BottomUpPath, Level, xavier_fan_in
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead, RoIConv, fused
from jaxseg.layers.rois import Pooling
from jaxseg.models.faster_rcnn import FROZEN
from jaxseg.models.mask_rcnn import MaskRCNN, mask_predictor
from jaxseg.types import Array

GROUPS = Norm("group")  # of everything but the backbone, in the authors' code


class PathAggregation(nn.Module):
    """FPN and, with `bottom_up`, a path of short cuts from its finest level to the coarsest."""

    features: int = 256  # of each level
    bottom_up: bool = True  # the path of section 3.1
    activate: bool = True  # ReLU in the bottom-up path; mmdetection's PAFPN has none
    extra: str = "subsample"  # as of `FPN`
    norm: Norm = Norm("none")
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, levels: Sequence[Level], *, train: bool) -> list[Level]:
        """C2 .. C5 -> N2 .. N5 and what `extra` adds, or P2 .. P5 of an FPN.

        Raises:
          ValueError: `extra` is unknown.
        """
        top_down = FPN(
            self.features,
            extra="none" if self.bottom_up else self.extra,
            norm=self.norm,
            compute=self.compute,
            name="top_down",
        )
        levels = top_down(levels, train=train)
        if not self.bottom_up:
            return levels
        path = BottomUpPath(
            self.features, self.activate, self.extra, self.norm, self.compute, name="bottom_up"
        )
        return path(levels, train=train)


class FusionMaskHead(nn.Module):
    """Figure 4: the mask branch, and from its third convolution a branch of one mask for all.

    four 3x3 convolutions, 2x2 at stride 2, 1x1    masks of the classes [R, 28, 28, K]
    + 3x3 of 256 and of 128, fully connected       things against background [R, 28, 28, 1]
    """

    fusion: bool = True  # the branch of section 3.3
    features: int = 256  # of the convolutions
    size: int = 14  # side of the pooled RoIs
    norm: Norm = Norm("none")
    compute: Compute = Compute()

    agnostic = False  # what `MaskRCNN` asks a head: the masks are the classes' own, in sigmoids
    competing = False

    @nn.compact
    def __call__(
        self,
        maps: Sequence[Array],
        classes: int,
        *,
        train: bool,
        counted: Array | None = None,
    ) -> Array:
        """Pooled RoIs, one array or one for each level -> logits [R, 2 s, 2 s, classes].

        Args:
          maps: the RoIs [R, s, s, C].
          classes: of masks.
          train: for the norm.
          counted: [R], the RoIs whose masks are trained; None: all.
        """

        def conv(name: str, features: int = self.features) -> Callable[[Array], Array]:
            layer = RoIConv(features, self.norm, self.compute, name=name)
            return functools.partial(layer, train=train, counted=counted)

        x = fused(conv, "conv1", [x.astype(self.compute.dtype) for x in maps])
        third = conv("conv3")(conv("conv2")(x))  # [R, 14, 14, 256]
        x = conv("conv4")(third)
        masks = mask_predictor(x, self.features, classes, self.compute)  # [R, 28, 28, K]
        if not self.fusion:
            return masks
        x = conv("branch1")(third)
        x = conv("branch2", self.features // 2)(x)  # [R, 14, 14, 128]
        x = x.reshape(len(x), -1)
        side = 2 * self.size
        dtype = self.compute.float32.dtype
        dense = nn.Dense(side * side, dtype=dtype, kernel_init=xavier_fan_in, name="branch_fc")
        # Departure: ReLU, as in the authors' code; the paper names none there.
        branch = nn.relu(dense(x.astype(dtype)))
        return masks + branch.reshape(-1, side, side, 1)


def panet(num_classes: int, depth: int = 50, norm: Norm = FROZEN) -> MaskRCNN:
    """The network of the authors' code, with GN in all but the backbone."""
    return MaskRCNN(
        num_classes,
        ResNet(depth, output_stride=32, norm=norm),
        neck=PathAggregation(norm=GROUPS),
        pooling=Pooling(adaptive=True),
        box_head=ConvFCHead(convs=4, fcs=1, norm=GROUPS),
        mask_head=FusionMaskHead(norm=GROUPS),
    )
