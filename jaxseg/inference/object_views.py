"""Test-time augmentation of detectors: several scales, and mirror images.

As detectron2 has it (modeling/test_time_augmentation.py, GeneralizedRCNNWithTTA): the detections of
every view are brought back to the image, and suppressed together within each class; masks are
predicted for the boxes that remain, in every view, and their probabilities are averaged. Detectron
(core/test.py, im_detect_bbox_aug) suppresses the boxes of all RoIs of all views instead.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxseg.data.instance_loader import view_name
from jaxseg.layers.nms import nms
from jaxseg.layers.rois import Detections
from jaxseg.pixels import Normalisation, normalise
from jaxseg.types import Array, Instances, Variables

_OF_BOXES = ("boxes", "scores", "classes", "valid", "finite")


class View(NamedTuple):
    """A view of a batch: which of its scales, and whether it is mirrored."""

    place: int
    mirrored: bool


def views_of(scales: Sequence[float], flip: bool) -> list[View]:
    """Every scale, and with `flip` its mirror image too."""
    kinds = (False, True) if flip else (False,)
    return [View(place, mirrored) for place in range(len(scales)) for mirrored in kinds]


def check(model: nn.Module, scales: Sequence[float], flip: bool) -> None:
    """Raises ValueError if the results of the detector's views cannot be merged."""
    if tuple(scales) == (1.0,) and not flip:
        return
    if hasattr(model, "semantic_classes"):
        raise ValueError(
            f"{type(model).__name__} classifies pixels, whose views are not merged: set "
            "--config.eval.scales=1 --config.eval.flip=False"
        )
    if not hasattr(model, "selection"):
        raise ValueError(
            f"{type(model).__name__} proposes regions, whose views cannot be merged: set "
            "--config.eval.scales=1 --config.eval.flip=False"
        )


@functools.lru_cache(maxsize=16)
def _programs(
    model: nn.Module, normalisation: Normalisation, mesh: Mesh | None
) -> tuple[Callable[..., dict[str, Array]], Callable[..., Array]]:
    """The boxes in a view, and the masks at boxes in a view."""
    spread = None if mesh is None else NamedSharding(mesh, PartitionSpec("data"))

    def seen(images: Array, sizes: Array, mirrored: Array) -> Array:
        return normalise(jnp.where(mirrored, flipped(images, sizes), images), normalisation)

    @functools.partial(jax.jit, out_shardings=spread)
    def boxes(
        variables: Variables, images: Array, sizes: Array, mirrored: Array
    ) -> dict[str, Array]:
        x = seen(images, sizes, mirrored)
        outputs = cast(Instances, model.apply(variables, x, sizes=sizes, train=False))
        return {name: outputs[name] for name in _OF_BOXES}

    @functools.partial(jax.jit, out_shardings=spread)
    def masks(
        variables: Variables, images: Array, sizes: Array, mirrored: Array, at: Detections
    ) -> Array:
        x = seen(images, sizes, mirrored)
        outputs = cast(Instances, model.apply(variables, x, sizes=sizes, train=False, at=at))
        grids = jax.nn.sigmoid(outputs["mask_logits"])
        return jnp.where(mirrored, grids[..., ::-1], grids)

    return boxes, masks


def flipped(images: Array, sizes: Array) -> Array:
    """Images [B, H, W, 3] of these sizes [B, 2], mirrored within their padding."""
    column = jnp.arange(images.shape[2])
    width = sizes[:, 1:]
    index = jnp.where(column < width, width - 1 - column, column)  # [B, W]
    return jnp.take_along_axis(images, index[:, None, :, None], axis=2)


@functools.partial(jax.jit, static_argnames=("threshold", "count", "form"))
def merged(
    boxes: Array,
    scores: Array,
    classes: Array,
    valid: Array,
    *,
    threshold: float,
    count: int,
    form: str = "auto",
) -> Detections:
    """The best of the detections of all views, suppressed within each class.

    Args:
      boxes: [B, N, 4], of all views together.
      scores: [B, N].
      classes: [B, N].
      valid: [B, N], which there are.
      threshold: IoU above which the better one of two remains.
      count: of the result.
      form: of suppression.
    """

    def of_image(boxes: Array, scores: Array, classes: Array, valid: Array) -> Detections:
        best, kept = nms(boxes, scores, valid, threshold, classes, count, form=form)
        return Detections(
            jnp.where(kept[:, None], boxes[best], 0),
            jnp.where(kept, scores[best], 0),
            jnp.where(kept, classes[best], 0),
            kept,
        )

    return jax.vmap(of_image)(boxes, scores, classes, valid)


def to_image(boxes: np.ndarray, view: View, sizes: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Boxes [B, N, 4] in pixels of a view -> pixels of the images; sizes and originals [B, 2]."""
    return _mirrored(boxes, view, sizes) * _ratio(originals, sizes)


def to_view(boxes: np.ndarray, view: View, sizes: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """The inverse of `to_image`."""
    return _mirrored(boxes * _ratio(sizes, originals), view, sizes)


def _ratio(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    return np.tile((new / np.maximum(old, 1))[:, None, ::-1], 2).astype(np.float32)  # [B, 1, 4]


def _mirrored(boxes: np.ndarray, view: View, sizes: np.ndarray) -> np.ndarray:
    if not view.mirrored:
        return boxes
    width = sizes[:, 1, None].astype(np.float32)
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
    return np.stack([width - x2, y1, width - x1, y2], axis=-1)


def make_view_detector(
    model: nn.Module,
    normalisation: Normalisation,
    views: Sequence[View],
    mesh: Mesh | None,
    put: Callable[[Mapping[str, np.ndarray]], dict[str, Array]],
    local: Callable[[Array], np.ndarray],
) -> Callable[[Variables, Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """Makes the function from variables and a batch to the detections in pixels of the images.

    Args:
      model: a detector with a `selection`.
      normalisation: of the pixels.
      views: of `views_of`; the batch has their scales.
      mesh: over which batches are sharded; None means one device.
      put: arrays of this process to the devices.
      local: the inverse.

    Returns:
      A function whose result has "boxes", "scores", "classes", "valid", "finite" and, of a detector
      with masks, "masks": probabilities [B, D, M, M].
    """
    boxes_in, masks_in = _programs(model, normalisation, mesh)
    selection, form = model.selection, model.compute.of("nms")

    def detect(variables: Variables, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        originals = batch["original"]
        places = sorted({view.place for view in views})
        sizes = {place: batch[view_name("size", place)] for place in places}
        on_device = {
            place: put({"image": batch[view_name("image", place)], "size": sizes[place]})
            for place in places
        }
        each: list[dict[str, np.ndarray]] = []
        for view in views:
            given = on_device[view.place]
            found = boxes_in(variables, given["image"], given["size"], np.bool_(view.mirrored))
            own = {name: local(array) for name, array in found.items()}
            own["boxes"] = to_image(own["boxes"], view, sizes[view.place], originals)
            each.append(own)
        best = merged(
            *(np.concatenate([own[name] for own in each], axis=1) for name in _OF_BOXES[:4]),
            threshold=selection.nms_threshold,
            count=selection.count,
            form=form,
        )
        result = {name: np.asarray(array) for name, array in best.outputs().items()}
        result["finite"] = np.all([own["finite"] for own in each], axis=0)
        if not hasattr(model, "mask_head"):
            return result
        total = None
        for view in views:
            given = on_device[view.place]
            boxes = to_view(result["boxes"], view, sizes[view.place], originals)
            at = Detections(**put({**{n: result[n] for n in Detections._fields}, "boxes": boxes}))
            grids = local(
                masks_in(variables, given["image"], given["size"], np.bool_(view.mirrored), at)
            )
            total = grids if total is None else total + grids
        assert total is not None
        return result | {"masks": total / len(views)}

    return detect
