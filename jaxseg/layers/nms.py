"""Non-maximum suppression: of boxes that overlap, the one with the highest score remains."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from jaxseg.layers.boxes import area
from jaxseg.layers.fast.forms import use_fast
from jaxseg.layers.fast.nms import fixed_point
from jaxseg.types import Array

Boxes = dict[str, Array]  # "x1", "y1", "x2", "y2", "area" and perhaps "group", [N] each


def _at_most(threshold: float, dtype: Any) -> np.ndarray:
    """The largest number of the dtype that is not above the threshold.

    torchvision compares an overlap in float32 with the threshold in float64. An overlap of 3 / 10
    is above 0.3 there, since float32(0.3) is.
    """
    rounded = np.asarray(threshold, dtype)
    if float(rounded) > threshold:
        rounded = np.nextafter(rounded, np.asarray(-np.inf, dtype))
    return rounded


def _overlap(a: Boxes, b: Boxes, *, threshold: float) -> Array:
    """Whether the IoU of each pair of the same group is above the threshold: [n, m]."""
    # `iou`, with the areas at hand: a loop calls this for the same boxes many times.
    a = {name: values[:, None] for name, values in a.items()}
    width = jnp.minimum(a["x2"], b["x2"]) - jnp.maximum(a["x1"], b["x1"])
    height = jnp.minimum(a["y2"], b["y2"]) - jnp.maximum(a["y1"], b["y1"])
    meet = (width > 0) & (height > 0)
    intersection = jnp.where(meet, width * height, 0)
    union = a["area"] + b["area"] - intersection
    over = meet & (intersection / union > _at_most(threshold, union.dtype))
    return over & (a["group"] == b["group"]) if "group" in a else over


def _one_by_one(boxes: Boxes, valid: Array, *, threshold: float) -> Array:
    """The definition: best first, each box that is still kept removes those that it overlaps."""
    place = jnp.arange(valid.size)

    def step(i: Array, keep: Array) -> Array:
        box = {name: values[i][None] for name, values in boxes.items()}
        removed = _overlap(box, boxes, threshold=threshold)[0] & (place > i)
        return keep & ~(keep[i] & removed)

    return jax.lax.fori_loop(0, valid.size, step, valid)


def _at_once(boxes: Boxes, valid: Array, *, threshold: float) -> Array:
    return fixed_point(_overlap(boxes, boxes, threshold=threshold), valid)


def _kept(boxes: Boxes, valid: Array, threshold: float, form: str) -> Array:
    plain, fast = (functools.partial(f, threshold=threshold) for f in (_one_by_one, _at_once))
    if form == "auto":
        return jax.lax.platform_dependent(boxes, valid, cpu=plain, default=fast)
    return (fast if use_fast(form, auto=True) else plain)(boxes, valid)


def nms(
    boxes: Float[Array, "n 4"],
    scores: Float[Array, " n"],
    valid: Bool[Array, " n"],
    threshold: float,
    groups: Integer[Array, " n"] | None = None,
    limit: int | None = None,
    *,
    form: str = "auto",
) -> tuple[Int[Array, " k"], Bool[Array, " k"]]:
    """The boxes that greedy suppression keeps, exactly those of torchvision's `nms`.

    Of one image, or level; `jax.vmap` does several. Nothing here has a gradient.

    Args:
      boxes: x1, y1, x2, y2.
      scores: of equal ones the first box comes first.
      valid: False for padding, which neither is kept nor removes anything.
      threshold: a box is removed by a better one with which its IoU is above this number.
      groups: boxes of different groups (classes, levels) do not remove each other.
      limit: the most to keep; None: all.
      form: "auto", "plain" (one box after the other, which is the faster way on a CPU) or "fast"
        (all pairs at once, for accelerators, with N x N bytes of memory); both keep the same.

    Returns:
      Indices of the kept boxes by descending score, [limit] or [N], and whether each is one: the
      places after the last have index 0 and are not.
    """
    boxes, scores, valid = (jax.lax.stop_gradient(x) for x in (boxes, scores, valid))
    boxes = boxes.astype(jnp.promote_types(boxes.dtype, jnp.float32))
    order = jnp.argsort(jnp.where(valid, scores, -jnp.inf), descending=True, stable=True)
    best_first: Boxes = dict(zip(("x1", "y1", "x2", "y2"), boxes[order].T, strict=True))
    best_first["area"] = area(boxes)[order]
    if groups is not None:
        best_first["group"] = groups[order]
    keep = _kept(best_first, valid[order], threshold, form)
    kept = jnp.cumsum(keep)
    count = jnp.arange(1, 1 + (keep.size if limit is None else limit))
    place = jnp.searchsorted(kept, count)  # of the first, the second, ... that is kept
    there = count <= kept[-1]
    return jnp.where(there, order[jnp.where(there, place, 0)], 0).astype(jnp.int32), there
