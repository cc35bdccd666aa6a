"""What the heads of two-stage detectors share: sampling of RoIs, pooling, choice of detections."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Num

from jaxseg.layers.boxes import clip, decode, iou, large_enough, levels_of
from jaxseg.layers.compute import Compute
from jaxseg.layers.fpn import Level
from jaxseg.layers.matching import match, sample
from jaxseg.layers.nms import nms
from jaxseg.layers.roi_align import roi_align, roi_pool, roi_warp
from jaxseg.types import Array, Objects

POOLINGS = {"align": roi_align, "pool": roi_pool, "warp": roi_warp}
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of a RoI's deltas (Detectron): about unit variance


@dataclasses.dataclass(unsafe_hash=True)
class Pooling:
    """How a RoI's features are taken from the maps; the defaults are torchvision's."""

    kind: str = "align"  # RoIAlign; or "pool", "warp": RoIPool and RoIWarp (Mask R-CNN, Table 2c)
    sampling: int = 2  # samples of a bin along an axis; 0: as many as it has pixels, rounded up
    aligned: bool = False  # half a pixel to the left and up, as in detectron2
    adaptive: bool = False  # from all levels, fused in the heads (PANet, section 3.2)
    reduce: str = "mean"  # of a bin's samples, or "max" (Table 2c); RoIPool takes the maximum
    canonical: float = 224.0  # pixels; a square RoI of this side is read from P4 (FPN, equation 1)


@dataclasses.dataclass(unsafe_hash=True)
class Sampling:
    """Which RoIs of an image the heads are trained on."""

    count: int = 512  # RoIs of an image
    positive_fraction: float = 0.25  # at most; masks are trained on these alone
    threshold: float = 0.5  # IoU with an object from which on a RoI is that object's


@dataclasses.dataclass(unsafe_hash=True)
class Selection:
    """Which boxes are detections."""

    score: float = 0.05  # boxes must have more
    nms_threshold: float = 0.5  # of suppression within a class
    count: int = 100  # of an image at most
    candidates: int = 2000  # boxes of the highest scores that suppression sees
    least_side: float = 1e-2  # pixels; narrower boxes are dropped


class RoIs(NamedTuple):
    """Sampled RoIs in N slots, the positives in the first ones."""

    boxes: Array  # [B, N, 4]
    classes: Array  # int32 [B, N]: 0 background
    matched: Array  # int32 [B, N]: index of the object
    valid: Array  # bool [B, N]

    def outputs(self) -> dict[str, Array]:
        """As `losses.detection` takes them."""
        return {
            "rois": self.boxes,
            "roi_classes": self.classes,
            "roi_matched": self.matched,
            "roi_valid": self.valid,
        }


def sampled_rois(
    boxes: Float[Array, "b p 4"],
    valid: Bool[Array, "b p"],
    objects: Objects,
    draws: Float[Array, "b c"],
    sampling: Sampling,
) -> RoIs:
    """The RoIs to train on: proposals and the objects' own boxes, sampled (Fast R-CNN, 2.3).

    Args:
      boxes: proposals.
      valid: which there are.
      objects: of each image.
      draws: uniform in 0 .. 1, one for each proposal and then for each object.
      sampling: how many, and of which kind.
    """

    def of_image(boxes: Array, valid: Array, objects: Objects, draws: Array) -> RoIs:
        true = jnp.asarray(objects.boxes, boxes.dtype)
        candidates = jnp.concatenate([boxes, true])  # [P + G, 4]
        there = jnp.concatenate([valid, objects.valid])
        low = high = sampling.threshold
        found = match(iou(true, candidates), objects.valid, low, high)
        kinds = jnp.where(there, found.kinds, -1)
        chosen = sample(kinds, draws, sampling.count, sampling.positive_fraction)
        matched = jnp.where(chosen.positive, found.objects[chosen.indices], 0)
        classes = jnp.where(chosen.positive, jnp.asarray(objects.classes)[matched], 0)
        rois = jnp.where(chosen.valid[:, None], candidates[chosen.indices], 0)
        return RoIs(rois, classes.astype(jnp.int32), matched, chosen.valid)

    objects = Objects(*(jnp.asarray(part) for part in objects))
    return jax.vmap(of_image)(*lax.stop_gradient((boxes, valid)), objects, draws)


def pooled(
    levels: Sequence[Level],
    rois: Float[Array, "b n 4"],
    size: int,
    pooling: Pooling,
    compute: Compute,
) -> list[Float[Array, "b n {size} {size} c"]]:
    """The features of RoIs, each from the level for its size (FPN, equation 1), or from every one.

    Args:
      levels: from fine to coarse, without those that are for anchors alone.
      rois: in pixels of the canvas.
      size: side of the result.
      pooling: how.
      compute: for the form.

    Returns:
      One array; of adaptive pooling one for each level.

    Raises:
      ValueError: `pooling.kind` or `pooling.reduce` is unknown, or `pooling.canonical` is not
        positive.
    """
    if pooling.kind not in POOLINGS:
        known = ", ".join(POOLINGS)
        raise ValueError(f"pooling.kind is {pooling.kind!r}: it must be one of {known}")
    if not pooling.canonical > 0:
        raise ValueError(f"pooling.canonical is {pooling.canonical}: a side must be positive")
    maps = [level.values for level in levels]
    strides = [level.stride for level in levels]
    chosen = levels_of(rois, levels[0].number, levels[-1].number, pooling.canonical)

    def take(maps: list[Array], strides: list[int], level: Array) -> Array:
        return POOLINGS[pooling.kind](
            maps,
            strides,
            rois,
            level,
            size,
            sampling=pooling.sampling,
            aligned=pooling.aligned,
            reduce=pooling.reduce,
            form=compute.of("roi"),
        )

    if pooling.adaptive:
        only = jnp.zeros_like(chosen)
        return [take([x], [stride], only) for x, stride in zip(maps, strides, strict=True)]
    return [take(maps, strides, chosen)]


class Detections(NamedTuple):
    """The D best boxes of each image by descending score; zeros where there are fewer."""

    boxes: Array  # [B, D, 4]
    scores: Array  # [B, D]
    classes: Array  # int32 [B, D]: 1 .. K
    valid: Array  # bool [B, D]

    def outputs(self) -> dict[str, Array]:
        """By name."""
        return dict(self._asdict())


def detections(
    class_logits: Float[Array, "b n k1"],
    deltas: Float[Array, "b n k2 4"],
    rois: Float[Array, "b n 4"],
    valid: Bool[Array, "b n"],
    sizes: Num[Array, "b 2"],
    selection: Selection,
    compute: Compute,
) -> Detections:
    """Boxes of every class from the RoIs, suppressed within each class (Fast R-CNN, section 3.1).

    A box of class k has the probability of k as its score. The `candidates` highest scores go into
    suppression; the result is that of all boxes if these leave `count`, or if there are no more.

    Args:
      class_logits: background first.
      deltas: of each class and the background, or of one for all.
      rois: that they refer to.
      valid: which there are.
      sizes: (height, width) of the images within the canvas.
      selection: how many, and from which score on.
      compute: for the form of suppression.
    """
    classes = class_logits.shape[-1] - 1
    slots = min(selection.candidates, rois.shape[1] * classes)

    def of_image(
        logits: Array, deltas: Array, rois: Array, valid: Array, size: Array
    ) -> Detections:
        scores = jax.nn.softmax(logits)[:, 1:]  # [N, K]
        scores = jnp.where(valid[:, None], scores, -1).reshape(-1)
        score, index = lax.top_k(scores, slots)
        roi, own = index // classes, index % classes + 1
        moved = deltas[roi, own if deltas.shape[1] > 1 else jnp.zeros_like(own)]
        boxes = clip(decode(moved, rois[roi], BOX_WEIGHTS), size)
        there = (score > selection.score) & large_enough(boxes, selection.least_side)
        count = min(selection.count, slots)
        best, kept = nms(
            boxes,
            score,
            there,
            selection.nms_threshold,
            own,
            count,
            form=compute.of("nms"),
        )
        empty = selection.count - count
        best, kept = jnp.pad(best, (0, empty)), jnp.pad(kept, (0, empty))
        return Detections(
            jnp.where(kept[:, None], boxes[best], 0),
            jnp.where(kept, score[best], 0),
            jnp.where(kept, own[best], 0).astype(jnp.int32),
            kept,
        )

    return jax.vmap(of_image)(class_logits, deltas, rois, valid, sizes)
