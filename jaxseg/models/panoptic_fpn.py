"""Semantic and Panoptic FPN: "Panoptic feature pyramid networks" (Kirillov et al., 1901.02446).

A pyramid whose levels are brought to stride 4 and added up (section 3, Figure 3) classifies pixels;
on the pyramid of Mask R-CNN it is the semantic branch of a panoptic network:

    SemanticFPN(19, ResNet(depth=101, output_stride=32))  # Cityscapes
    panoptic_fpn(80, 54)                                  # COCO: 53 classes of stuff, and things
"""

import functools
from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.fpn import FPN, Level
from jaxseg.layers.norm import Norm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Detections, Pooling, Sampling, Selection
from jaxseg.layers.rpn import RPN
from jaxseg.models.faster_rcnn import FROZEN, pyramid
from jaxseg.models.mask_rcnn import MaskHead, mask_stage
from jaxseg.types import Array, Instances, Objects, Outputs


class SemanticHead(nn.Module):
    """From P2 .. P5 to scores at stride 4.

    Each level has a convolution for every doubling of the resolution on its way to that of P2,
    which has one too; then a bilinear enlargement. The sum of all is classified.
    """

    num_classes: int  # that pixels have
    features: int = 128  # of the convolutions
    dropout: float = 0.0  # of channels
    resize_convention: str = "half_pixel"  # see `jaxseg.sampling`
    norm: Norm = Norm("group")
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, levels: Sequence[Level], *, train: bool) -> Array:
        """Levels from fine to coarse -> scores [B, H/4, W/4, K], float32."""
        maps = []
        for number, level in enumerate(levels):
            x = level.values
            for step in range(max(1, number)):
                block = ConvNorm(
                    self.features,
                    3,
                    rate=levels[number - step].rate,
                    norm=self.norm,
                    compute=self.compute,
                    name=f"level{level.number}_conv{step + 1}",
                )
                x = block(x, train=train)
                x = self._enlarged(x, levels[max(0, number - step - 1)].values)
            maps.append(x)  # [B, H/4, W/4, 128]
        x = functools.reduce(jnp.add, maps)
        drop = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)
        return classifier(self.num_classes, self.compute)(drop(x))

    def _enlarged(self, x: Array, like: Array) -> Array:
        size = like.shape[1], like.shape[2]
        if x.shape[1:3] == size:
            return x
        form = self.compute.of("resize")
        return resize_bilinear(x, size, convention=self.resize_convention, form=form)


class SemanticFPN(nn.Module):
    """The pyramid and the semantic branch by themselves (section 3); detectron2's head."""

    num_classes: int  # that pixels have
    backbone: nn.Module  # a ResNet
    levels: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4")  # from fine to coarse
    neck: nn.Module | None = FPN(extra="none")
    head_features: int = 128  # of the branch
    dropout: float = 0.0  # of channels, before the classifier
    resize_convention: str = "half_pixel"  # see `jaxseg.sampling`
    norm: Norm = Norm("group")  # of the branch
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K], and "coarse_logits" [B, H/4, W/4, K], which they upsample;
          "features", the coarsest level of the pyramid.

        Raises:
          ValueError: the backbone lacks one of `levels`.
        """
        height, width = images.shape[1:3]
        levels, _ = pyramid(self, images, train=train)
        x = SemanticHead(
            self.num_classes,
            self.head_features,
            self.dropout,
            self.resize_convention,
            self.norm,
            self.compute,
            name="head",
        )(levels, train=train)
        convention, form = self.resize_convention, self.compute.of("resize")
        logits = resize_bilinear(x, (height, width), convention=convention, form=form)
        return {"features": levels[-1].values, "coarse_logits": x, "logits": logits}


class PanopticFPN(nn.Module):
    """Mask R-CNN and the semantic branch on one pyramid (Figure 1)."""

    task: ClassVar[str] = "instance"
    num_classes: int  # of things: the background is not counted
    semantic_classes: int  # of stuff, and one for all things
    backbone: nn.Module  # a ResNet
    levels: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4")  # from fine to coarse
    neck: nn.Module | None = FPN()
    rpn: RPN = RPN()
    sampling: Sampling = Sampling()
    pooling: Pooling = Pooling()
    box_head: nn.Module = ConvFCHead()
    mask_head: nn.Module = MaskHead()
    shared_head: bool = False  # as of `MaskRCNN`, like the next
    background_outputs: bool = True  # a box and a mask of the background
    selection: Selection = Selection()
    head_features: int = 128  # of the semantic branch, as the next
    norm: Norm = Norm("group")
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
        """Finds things and classifies each pixel; arguments as of `MaskRCNN`.

        Returns:
          Those of `MaskRCNN`, and "logits" float32 [B, H, W, semantic_classes] with their
          "coarse_logits" [B, H/4, W/4, semantic_classes].
        """
        outputs, levels = mask_stage(self, images, sizes, objects, at, train=train)
        head = SemanticHead(
            self.semantic_classes,
            self.head_features,
            norm=self.norm,
            compute=self.compute,
            name="semantic",
        )
        x = head(levels, train=train)
        size = images.shape[1], images.shape[2]
        form = self.compute.of("resize")
        logits = resize_bilinear(x, size, convention="half_pixel", form=form)
        return outputs | {"coarse_logits": x, "logits": logits}


def panoptic_fpn(
    num_classes: int, semantic_classes: int, depth: int = 50, norm: Norm = FROZEN
) -> PanopticFPN:
    """Panoptic FPN on a ResNet (section 4); its recipe for COCO weighs the semantic loss by 0.5."""
    backbone = ResNet(depth, output_stride=32, norm=norm)
    return PanopticFPN(num_classes, semantic_classes, backbone)
