"""The layers of a model with their receptive fields and costs, as a table.

Multiply-adds are those of convolutions and matrix products for one image, counting taps on padding
like any other: 77.19 G for DeepLab v3+ on ResNet-50 at 513 x 513. (The papers' figures for dense
atrous convolutions are larger by the padding of TensorFlow's space-to-batch.)
"""

import dataclasses
from typing import Any

import flax.linen as nn
import tabulate

from jaxseg import config
from jaxseg.inspection.layer_table import Layer
from jaxseg.inspection.layer_trace import trace
from jaxseg.layers.compute import PLAIN

_HEADS = ("layer", "kind", "rate", "stride", "sees", "output", "parameters", "multiply-adds")
_TEXT_COLUMNS = 2  # left-aligned; numbers are right-aligned


@dataclasses.dataclass(frozen=True)
class Summary:
    """The layers of a model for one image of one size, in the order of computation."""

    size: tuple[int, int]
    layers: list[Layer]
    parameters: int
    multiply_adds: int


def summarize(model: nn.Module, size: tuple[int, int]) -> Summary:
    """Traces the plain form of a model; nothing is computed.

    Args:
      model: takes images [B, H, W, 3].
      size: (height, width) of the image.
    """
    layers, parameters = trace(config.with_fields(model, {"compute": PLAIN}), size)
    return Summary(size, layers, parameters, sum(layer.multiply_adds for layer in layers))


def to_json(summary: Summary) -> dict[str, Any]:
    """The summary as JSON values."""
    return dataclasses.asdict(summary)


def count(number: float) -> str:
    """1234 -> "1.23 k": three digits and a unit of 1000."""
    for unit in ("", " k", " M", " G"):
        if abs(number) < 1000 or unit == " G":
            break
        number /= 1000
    if not unit:
        return f"{number:.0f}"
    return f"{number:.{max(0, 2 - (number >= 10) - (number >= 100))}f}{unit}"


def _cells(layer: Layer) -> tuple[str, ...]:
    height, width, channels = layer.shape
    sees = "all" if layer.field is None else f"{layer.field}{'*' if layer.whole else ' '}"
    return (
        layer.path or "(model)",
        layer.kind,
        str(layer.rate) if layer.rate > 1 else "",
        "" if layer.stride is None else f"{layer.stride:g}",
        sees,
        f"{height} x {width} x {channels}",
        f"{layer.parameters:,}" if layer.parameters else "",
        count(layer.multiply_adds) if layer.multiply_adds else "",
    )


def table(summary: Summary) -> str:
    """The summary for a terminal, one aligned line per layer, with totals below."""
    total = ("total", "", "", "", "", "", f"{summary.parameters:,}", count(summary.multiply_adds))
    rows = [*map(_cells, summary.layers), tabulate.SEPARATING_LINE, total]
    align = ["left" if i < _TEXT_COLUMNS else "right" for i in range(len(_HEADS))]
    return tabulate.tabulate(rows, _HEADS, "simple", colalign=align, disable_numparse=True)
