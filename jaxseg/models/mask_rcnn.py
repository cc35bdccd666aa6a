"""Mask R-CNN (He et al., arXiv 1703.06870): Faster R-CNN with a third branch, a mask of each RoI.

    mask_rcnn_fpn(80)     # Table 2a: 33.6 mask AP with ResNet-50, 35.4 with 101
    mask_rcnn_c4(80)      # 30.3 with ResNet-50

The mask heads that Table 2 compares:

    b  softmax                  MaskHead(competing=True)
       class-agnostic           MaskHead(agnostic=True)
    c  RoIPool, RoIWarp         Pooling("pool"), Pooling("warp")
    e  MLP: 1024 - 1024         MaskHead("mlp", layers=2, features=1024); layers=3
"""

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.backbones.resnet import UNITS, ResNet
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier, he_normal_fan_out
from jaxseg.layers.conv_transpose import ConvTranspose
from jaxseg.layers.fpn import FPN, Level, xavier_fan_in
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead, RoIConv, fused
from jaxseg.layers.rois import Detections, Pooling, Sampling, Selection
from jaxseg.layers.rpn import RPN
from jaxseg.models.faster_rcnn import (
    C4,
    FROZEN,
    SINGLE_MAP,
    BoxStage,
    Detector,
    Res5Head,
    box_stage,
    pooled_for,
    pyramid,
)
from jaxseg.types import Array, Instances, Objects

KINDS = ("fcn", "mlp")


class MaskHead(nn.Module):
    """Figure 4: from RoIs [R, s, s, C] to masks of 2 s x 2 s pixels."""

    kind: str = "fcn"  # 3x3 convolutions and a transposed one; or "mlp": fully connected layers
    layers: int = 4  # before the transposed convolution, or of an MLP before the masks
    features: int = 256  # of each of these layers
    size: int = 14  # s, side of the pooled RoIs
    agnostic: bool = False  # one mask for any class
    competing: bool = False  # classes compete for a pixel in a softmax (Table 2b)
    norm: Norm = Norm("none")
    compute: Compute = Compute()

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

        Raises:
          ValueError: `kind` is unknown, or `competing` masks are of any class.
        """
        if self.kind not in KINDS:
            raise ValueError(
                f"mask_head.kind is {self.kind!r}: it must be one of {', '.join(KINDS)}"
            )
        if self.agnostic and self.competing:
            raise ValueError("mask_head is agnostic and competing: one mask has no competitors")
        maps = [x.astype(self.compute.dtype) for x in maps]
        if self.kind == "mlp":
            return self._mlp(maps, classes)

        def conv(name: str) -> Callable[[Array], Array]:
            layer = RoIConv(self.features, self.norm, self.compute, name=name)
            return functools.partial(layer, train=train, counted=counted)

        for number in range(1, self.layers + 1):
            maps = [fused(conv, f"conv{number}", maps)]  # [R, 14, 14, 256]
        return mask_predictor(maps[0], self.features, classes, self.compute)

    def _mlp(self, maps: Sequence[Array], classes: int) -> Array:
        dtype = self.compute.dtype

        def dense(name: str) -> Callable[[Array], Array]:
            layer = nn.Dense(self.features, dtype=dtype, kernel_init=xavier_fan_in, name=name)
            return lambda x: nn.relu(layer(x))

        vectors = [x.reshape(len(x), -1) for x in maps]
        for number in range(1, self.layers + 1):
            vectors = [fused(dense, f"fc{number}", vectors)]  # [R, 1024]
        dtype, side = self.compute.float32.dtype, 2 * self.size
        last = nn.Dense(side * side * classes, dtype=dtype, kernel_init=xavier_fan_in, name="masks")
        return last(vectors[0].astype(dtype)).reshape(-1, side, side, classes)


def mask_predictor(x: Array, features: int, classes: int, compute: Compute) -> Array:
    """Transposed convolution 2x2 at stride 2, ReLU, and a 1x1 convolution: "up" and "masks".

    [R, s, s, C] -> logits [R, 2 s, 2 s, classes]. Within the `__call__` of a head.
    """
    x = ConvTranspose(
        features,
        2,
        2,
        use_bias=True,
        kernel_init=he_normal_fan_out,
        compute=compute,
        name="up",
    )(x)
    # As in detectron2. Departure: He et al.'s normal by fan_out, as in the paper, grows with few
    # classes: of two, masks would start with a loss of 9.
    init = nn.initializers.normal(0.001)
    return classifier(classes, compute, kernel_init=init, name="masks")(nn.relu(x))


def masks_of_classes(logits: Array, classes: Array, *, competing: bool) -> Array:
    """Of each RoI the mask of its class: [B, N, M, M, K + 1] -> logits [B, N, M, M].

    A single channel is of any class. Of competing classes, the logit of the softmax's probability.
    """
    index = classes if logits.shape[-1] > 1 else jnp.zeros_like(classes)
    own = jnp.take_along_axis(logits, index[:, :, None, None, None], axis=4)[..., 0]
    if not competing:
        return own
    others = jnp.arange(logits.shape[-1]) != index[..., None]
    others = jnp.where(others[:, :, None, None], logits, -jnp.inf)
    return own - jax.nn.logsumexp(others, axis=-1)


class MaskDetector(Detector, Protocol):
    """The fields of a network with masks; `MaskRCNN` says what they are."""

    mask_head: nn.Module
    shared_head: bool


def mask_stage(
    model: MaskDetector,
    images: Array,
    sizes: Array | None,
    objects: Objects | None,
    at: Detections | None,
    *,
    train: bool,
) -> tuple[dict[str, Array], list[Level]]:
    """Mask R-CNN within the `__call__` of a model: its outputs, and the levels of the RoIs."""
    if at is None:
        stage = box_stage(model, images, sizes, objects, train=train)
    else:
        levels, count = pyramid(model, images, train=train)
        stage = BoxStage(levels[:count], at.boxes, at.outputs(), None)
    head, rois = model.mask_head, stage.rois
    batch, count = rois.shape[:2]
    counted = None
    if objects is not None:
        count = int(count * model.sampling.positive_fraction)
        rois = rois[:, :count]
        counted = (stage.outputs["roi_classes"][:, :count] > 0).reshape(-1)
    if not model.shared_head:
        maps = pooled_for(head, stage.levels, rois, model)
    elif objects is not None:
        assert stage.maps is not None
        x = stage.maps.reshape(batch, -1, *stage.maps.shape[1:])[:, :count]
        maps = [x.reshape(-1, *x.shape[2:])]
    else:
        maps = pooled_for(model.box_head, stage.levels, rois, model)
        maps = [model.box_head(maps, train=train).maps]
    classes = 1 if head.agnostic else model.num_classes + model.background_outputs
    logits = head(maps, classes, train=train, counted=counted)  # [B P, M, M, K + 1]
    if not (head.agnostic or model.background_outputs):
        logits = jnp.pad(logits, ((0, 0), (0, 0), (0, 0), (1, 0)))
    logits = logits.reshape(batch, count, *logits.shape[1:])
    if objects is not None:
        name = "mask_softmax_logits" if head.competing else "mask_logits"
        return stage.outputs | {name: logits}, stage.levels
    own = masks_of_classes(logits, stage.outputs["classes"], competing=head.competing)
    return stage.outputs | {"mask_logits": own}, stage.levels


class MaskRCNN(nn.Module):
    """Boxes and masks of things; the defaults are torchvision's with a pyramid."""

    task: ClassVar[str] = "instance"
    num_classes: int  # of things: the background is not counted
    backbone: nn.Module  # a ResNet
    levels: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4")  # from fine to coarse
    neck: nn.Module | None = FPN()  # or None: RPN and RoIs on a single level
    rpn: RPN = RPN()
    sampling: Sampling = Sampling()
    pooling: Pooling = Pooling()
    box_head: nn.Module = ConvFCHead()
    mask_head: nn.Module = MaskHead()
    shared_head: bool = False  # masks from the box head's maps (C4) instead of RoIs of their own
    background_outputs: bool = True  # a box and a mask of the background, which nothing trains
    selection: Selection = Selection()
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        images: Array,
        *,
        train: bool,
        sizes: Array | None = None,
        objects: Objects | None = None,
        at: Detections | None = None,
    ) -> Instances:
        """Finds things in images [B, H, W, 3], normalised, padded at the right and the bottom.

        Args:
          images: any H and W.
          train: batch statistics, and the numbers of proposals.
          sizes: (height, width) of each image [B, 2] within the padding; None: all of it.
          objects: the truth, to train on; it takes the stream "sampling" of random numbers.
          at: what is detected, so that only its masks are predicted; None: detect.

        Returns:
          Those of `FasterRCNN`, and masks. Of detections "mask_logits" [B, D, M, M], of the class
          that was detected. In training "mask_logits" [B, P, M, M, K + 1], the background first or
          one channel for all, of the first P RoIs, which all positives are among; of competing
          classes they are called "mask_softmax_logits".

        Raises:
          ValueError: the backbone lacks one of `levels`, or a field has an unknown value.
        """
        outputs, _ = mask_stage(self, images, sizes, objects, at, train=train)
        return outputs


def mask_rcnn_fpn(num_classes: int, depth: int = 50, norm: Norm = FROZEN) -> MaskRCNN:
    """Mask R-CNN on a feature pyramid (Figure 4, right)."""
    return MaskRCNN(num_classes, ResNet(depth, output_stride=32, norm=norm))


def mask_rcnn_c4(num_classes: int, depth: int = 50, norm: Norm = FROZEN) -> MaskRCNN:
    """Mask R-CNN on stage 3 of a ResNet, with stage 4 as the head of boxes and masks (left)."""
    return MaskRCNN(
        num_classes,
        ResNet(depth, UNITS[depth][:3], norm=norm),
        C4,
        neck=None,
        rpn=SINGLE_MAP,
        box_head=Res5Head(UNITS[depth][3], norm=norm),
        mask_head=MaskHead(layers=0),
        shared_head=True,
    )
