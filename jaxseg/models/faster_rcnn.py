"""Faster R-CNN (Ren et al., arXiv 1506.01497) on one map or on a feature pyramid (1612.03144).

A region proposal network and a head on pooled RoIs share the maps of one backbone. The networks of
FPN's Table 3 and detectron2's dilated one:

    faster_rcnn_fpn(80)
    faster_rcnn_c4(80)
    faster_rcnn_c5(80)                       # of output stride 32
    faster_rcnn_c5(80, output_stride=16)     # detectron2's DC5

Any of them works at any output stride that its backbone has: anchors, RoIs and the rates of 3x3
convolutions follow the strides that the maps then have.
"""

import functools
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg.backbones.resnet import UNITS, BottleneckUnit, ResNet
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.fpn import FPN, Level, levels_of_backbone
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import BoxPredictor, ConvFCHead, Headed
from jaxseg.layers.rois import (
    Detections,
    Pooling,
    RoIs,
    Sampling,
    Selection,
    detections,
    pooled,
    sampled_rois,
)
from jaxseg.layers.rpn import RPN, Proposals, RegionProposalNetwork
from jaxseg.types import Array, Instances, Objects

FROZEN = Norm("frozen")  # of backbones that begin with the weights of ImageNet
SINGLE_MAP = RPN(before_nms=(12000, 6000), after_nms=(2000, 1000))  # Detectron's without a pyramid


class OnPyramid(Protocol):
    """The fields of a network on one or several maps of a backbone."""

    backbone: nn.Module
    levels: tuple[str, ...]
    neck: nn.Module | None
    compute: Compute


class Detector(OnPyramid, Protocol):
    """The fields that the networks of this family share; `FasterRCNN` says what they are."""

    num_classes: int
    rpn: RPN
    sampling: Sampling
    pooling: Pooling
    box_head: nn.Module
    background_outputs: bool
    selection: Selection

    def make_rng(self, name: str) -> Array:
        """The next key of a stream of random numbers."""


class BoxStage(NamedTuple):
    """What is known once boxes are: the start of a mask head."""

    levels: list[Level]  # that RoIs are taken from
    rois: Array  # [B, N, 4]: sampled in training, detections else
    outputs: dict[str, Array]
    maps: Array | None  # [R, s, s, C] of the box head, R = B N; None without a head


class Res5Head(nn.Module):
    """The last stage of a ResNet on pooled RoIs, and its mean (He et al., 1512.03385, appendix).

    RoIs of 14 x 14 pixels and a stride of 2 in the first unit, as Detectron has it: the same cost
    as RoIs of 7 x 7 at stride 1, of which Mask R-CNN's Figure 4 speaks.
    """

    units: int = 3  # residual units
    features: int = 512  # of the inner convolutions
    stride_at: str = "first_3x3"  # or "first_1x1": He et al.'s own weights
    size: int = 14  # side of the pooled RoIs
    norm: Norm = FROZEN
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self, maps: Sequence[Array], *, train: bool, counted: Array | None = None
    ) -> Headed:
        """RoIs [R, 14, 14, 1024] -> vectors [R, 2048] and maps [R, 7, 7, 2048].

        The statistics of a batch norm, which no paper has here, would be those of all RoIs.
        """
        del counted
        (x,) = maps
        block = functools.partial(ConvNorm, norm=self.norm, compute=self.compute)
        for number in range(1, self.units + 1):
            stride = 2 if number == 1 else 1
            strides = (stride, 1) if self.stride_at == "first_1x1" else (1, stride)
            unit = BottleneckUnit(self.features, strides, (1, 1), block, name=f"unit{number}")
            x, _ = unit(x, train=train)
        return Headed(jnp.mean(x, axis=(1, 2)), x)


def whole_canvas(images: Array) -> Array:
    """(height, width) of images without padding: int32 [B, 2]."""
    batch, height, width, _ = images.shape
    return jnp.tile(jnp.array([[height, width]], jnp.int32), (batch, 1))


def pyramid(model: OnPyramid, images: Array, *, train: bool) -> tuple[list[Level], int]:
    """All levels, and how many of them, the finest, RoIs are taken from.

    Raises:
      ValueError: the backbone lacks one of `levels`.
    """
    ends = model.backbone(images, train=train)
    output_stride, owner = model.backbone.output_stride, type(model.backbone).__name__
    levels = levels_of_backbone(ends, model.levels, output_stride, owner)
    coarsest = levels[-1].nominal
    if model.neck is not None:
        levels = model.neck(levels, train=train)
    return levels, sum(level.nominal <= coarsest for level in levels)


def pooled_for(head: nn.Module, levels: list[Level], rois: Array, model: Detector) -> list[Array]:
    """RoIs [B, N, 4] as a head takes them, [B N, s, s, C], of one level or of each."""
    maps = pooled(levels, rois, head.size, model.pooling, model.compute)
    return [x.reshape(-1, *x.shape[2:]) for x in maps]


def box_stage(
    model: Detector, images: Array, sizes: Array | None, objects: Objects | None, *, train: bool
) -> BoxStage:
    """Faster R-CNN: proposals, with `objects` a sample of them, and the boxes of the head.

    It is called within the `__call__` of a model, whose parameters it makes.
    """
    sizes = whole_canvas(images) if sizes is None else sizes
    levels, count = pyramid(model, images, train=train)
    network = RegionProposalNetwork(model.rpn, model.compute, name="rpn")
    found: Proposals = network(levels, sizes, train=train)
    levels, rois, valid = levels[:count], found.boxes, found.valid
    chosen: RoIs | None = None
    outputs: dict[str, Array] = {}
    if objects is not None:
        chosen, outputs = _training(model, found, objects, sizes)
        rois = chosen.boxes
    counted = None if chosen is None else chosen.valid.reshape(-1)
    maps = pooled_for(model.box_head, levels, rois, model)
    headed = model.box_head(maps, train=train, counted=counted)
    predict = BoxPredictor(
        model.num_classes, model.background_outputs, model.compute, name="predictor"
    )
    logits, deltas = predict(headed.vectors)
    logits, deltas = (x.reshape(*rois.shape[:2], *x.shape[1:]) for x in (logits, deltas))
    if objects is not None:
        outputs |= {"class_logits": logits, "box_deltas": deltas}
        return BoxStage(levels, rois, outputs, headed.maps)
    best: Detections = detections(
        logits, deltas, rois, valid, sizes, model.selection, model.compute
    )
    # A score that is NaN is above no threshold: what it broke would look like an empty image.
    finite = jnp.isfinite(logits).all((1, 2)) & jnp.isfinite(deltas).all((1, 2, 3))
    return BoxStage(levels, best.boxes, best.outputs() | {"finite": finite}, headed.maps)


def _training(
    model: Detector, found: Proposals, objects: Objects, sizes: Array
) -> tuple[RoIs, dict[str, Array]]:
    """The sampled RoIs, and the outputs that do not depend on the heads."""
    of_rois, of_anchors = jax.random.split(model.make_rng("sampling"))
    batch, proposals, _ = found.boxes.shape
    draws = jax.random.uniform(of_rois, (batch, proposals + objects.boxes.shape[1]))
    chosen = sampled_rois(found.boxes, found.valid, objects, draws, model.sampling)
    of_rpn = found.outputs(jax.random.uniform(of_anchors, found.logits.shape))
    return chosen, {"sizes": sizes} | of_rpn | chosen.outputs()


class FasterRCNN(nn.Module):
    """Boxes of things; the defaults are torchvision's with a pyramid."""

    task: ClassVar[str] = "instance"
    num_classes: int  # of things: the background is not counted
    backbone: nn.Module  # a ResNet
    levels: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4")  # from fine to coarse
    neck: nn.Module | None = FPN()  # or None: RPN and RoIs on a single level
    rpn: RPN = RPN()
    sampling: Sampling = Sampling()
    pooling: Pooling = Pooling()
    box_head: nn.Module = ConvFCHead()
    background_outputs: bool = True  # a box of the background, which nothing trains
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
    ) -> Instances:
        """Finds things in images [B, H, W, 3], normalised, padded at the right and the bottom.

        Args:
          images: any H and W.
          train: batch statistics, and the numbers of proposals.
          sizes: (height, width) of each image [B, 2] within the padding; None: all of it.
          objects: the truth, to train on; it takes the stream "sampling" of random numbers.

        Returns:
          Without objects the detections by descending score: "boxes" [B, D, 4] in pixels, "scores",
          "classes" (1 .. K) and "valid" [B, D], and "finite" [B]: whether the scores of all RoIs
          are. With them what `losses.detection` takes:
          "rpn_logits", "rpn_deltas", "rpn_draws", "anchors"; of the sampled RoIs "rois",
          "roi_classes", "roi_matched", "roi_valid", "class_logits", "box_deltas"; "sizes".

        Raises:
          ValueError: the backbone lacks one of `levels`, or a field has an unknown value.
        """
        return box_stage(self, images, sizes, objects, train=train).outputs


C4 = ("stage3",)
C5 = ("stage4",)


def faster_rcnn_c4(num_classes: int, depth: int = 50, norm: Norm = FROZEN) -> FasterRCNN:
    """Faster R-CNN on stage 3 of a ResNet, with stage 4 as the head (FPN, Table 3 a)."""
    return FasterRCNN(
        num_classes,
        ResNet(depth, UNITS[depth][:3], norm=norm),
        C4,
        neck=None,
        rpn=SINGLE_MAP,
        box_head=Res5Head(UNITS[depth][3], norm=norm),
    )


def faster_rcnn_c5(
    num_classes: int, depth: int = 50, output_stride: int = 32, norm: Norm = FROZEN
) -> FasterRCNN:
    """Faster R-CNN on stage 4 and two fully connected layers (FPN, Table 3 b); DC5 at 16."""
    return FasterRCNN(
        num_classes,
        ResNet(depth, output_stride=output_stride, norm=norm),
        C5,
        neck=None,
        rpn=SINGLE_MAP,
    )


def faster_rcnn_fpn(num_classes: int, depth: int = 50, norm: Norm = FROZEN) -> FasterRCNN:
    """Faster R-CNN on a feature pyramid (FPN, Table 3 c)."""
    return FasterRCNN(num_classes, ResNet(depth, output_stride=32, norm=norm))
