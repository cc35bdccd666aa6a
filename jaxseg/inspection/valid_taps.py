"""Finds atrous rates that are too large for their maps (DeepLab v3, section 3.3 and Figure 4).

On a map no larger than its rate, a 3x3 convolution is a 1x1 one: the outer taps see only padding.
They get no gradient, so they keep their initial values; but at evaluation, on a larger map, they do
see the image. This happens, for example, when training on crops of 192 x 256 with the rates of a
paper that crops 513. The only symptom is an accuracy at evaluation that is below that on training
crops.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn

from jaxseg.layers.conv import Conv, DepthwiseConv
from jaxseg.layers.window import Window
from jaxseg.shape_trace import trace_shapes

HARDLY = 0.1  # share of the outer taps below which a convolution is reported
_MORE = 2  # times as large a share at evaluation: the untrained weights matter


@dataclasses.dataclass(frozen=True)
class Reach:
    """How many outer taps of an atrous convolution lie on its map.

    Attributes:
      rate: distance between taps.
      size: (height, width) of the map.
      share: share of the positions of all taps except the centre that lie on the map; 0 to 1.
    """

    rate: int
    size: tuple[int, int]
    share: float


def outer_taps(size: tuple[int, int], kernel_size: int, rate: int) -> float:
    """The share of the outer taps that lie on the map, for an odd kernel and symmetric padding.

    Args:
      size: (height, width) of the map.
      kernel_size: k, at least 3.
      rate: distance between taps.
    """
    padding = rate * (kernel_size - 1) // 2
    rows, columns = (Window(n, kernel_size, 1, rate, padding).seen_share for n in size)
    taps = kernel_size**2
    return (rows * columns * taps - 1) / (taps - 1)  # the centre is always on the map


def reaches(model: nn.Module, size: tuple[int, int]) -> dict[str, Reach]:
    """The `Reach` of every atrous convolution of a model, by path, for images of one size.

    Args:
      model: takes images [B, H, W, 3].
      size: (height, width) of the images.
    """
    found: dict[str, Reach] = {}

    def note(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        conv = context.module
        if isinstance(conv, Conv | DepthwiseConv) and conv.rate > 1 and conv.kernel_size > 1:
            _, height, width, _ = args[0].shape
            share = outer_taps((height, width), conv.kernel_size, conv.rate)
            found["/".join(conv.path)] = Reach(conv.rate, (height, width), share)
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        trace_shapes(model, size)
    return found


def unreached(model: nn.Module, crop: tuple[int, int], frame: tuple[int, int]) -> list[str]:
    """A warning per convolution whose outer taps are used in evaluation but hardly in training.

    Args:
      model: as it is trained.
      crop: (height, width) of the training crops.
      frame: of the images at evaluation.
    """
    if crop[0] >= frame[0] and crop[1] >= frame[1]:
        return []
    trained = reaches(model, crop)
    if min((reach.share for reach in trained.values()), default=1.0) >= HARDLY:
        return []
    seen = reaches(model, frame)
    return [
        f"WARNING: {path} is nearly a 1x1 convolution in training: at rate {reach.rate}, "
        f"{reach.share:.0%} of its outer taps see the {reach.size[0]} x {reach.size[1]} map of a "
        f"crop, {seen[path].share:.0%} the map of an image at evaluation, with untrained weights. "
        "Use smaller rates or a larger data.crop_size"
        for path, reach in trained.items()
        if reach.share < HARDLY and seen[path].share > _MORE * reach.share
    ]
