"""How many weights of an atrous filter lie on the map (DeepLab v3, section 3.3 and Figure 4).

At each position of a map some taps of a filter are on the map and the others on the zeros around
it. The number of valid weights is the product of the valid rows and columns: a 3x3 filter has 1, 2,
3, 4, 6 or 9. At a rate of at least the map's size, there is one everywhere: the filter is a 1x1.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.inspection.layer_table import Layer
from jaxseg.inspection.valid_taps import outer_taps
from jaxseg.layers.window import Window


def _on_axis(length: int, kernel_size: int, rate: int) -> np.ndarray:
    """int [length]: the number of taps that are on the map, at each position of one axis."""
    window = Window(length, kernel_size, 1, rate, rate * (kernel_size - 1) // 2)
    found = np.zeros(window.outputs, int)
    for tap in range(kernel_size):
        if seen := window.seen(tap):
            first, _, number = seen
            found[first : first + number] += 1
    return found


def valid_weights(size: tuple[int, int], rate: int, kernel_size: int = 3) -> dict[int, int]:
    """Counts the positions of a map by the number of valid weights of a filter.

    Args:
      size: (height, width) of the map.
      rate: distance between taps; the padding preserves the size, as everywhere in this project.
      kernel_size: k, odd.

    Returns:
      {number of valid weights: number of positions}, of all numbers that occur, rising.
    """
    rows, columns = (_on_axis(length, kernel_size, rate) for length in size)
    numbers, counts = np.unique(np.outer(rows, columns), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


@dataclasses.dataclass(frozen=True)
class Validity:
    """The valid part of a filter on one map.

    Attributes:
      name: of the layer, or of the case.
      size: (height, width) of the map.
      kernel_size: k of the k x k filter.
      rate: distance of the taps.
      positions: {number of valid weights: share of positions}.
      outer: share of the places of all taps but the centre that lie on the map.
    """

    name: str
    size: tuple[int, int]
    kernel_size: int
    rate: int
    positions: dict[int, float]
    outer: float

    @property
    def degenerate(self) -> float:
        """The share of positions at which only the centre is valid: a 1x1 convolution."""
        return self.positions.get(1, 0.0)


def validity(name: str, size: tuple[int, int], rate: int, kernel_size: int = 3) -> Validity:
    """The shares for one filter; see `Validity`."""
    counts = valid_weights(size, rate, kernel_size)
    shares = {number: count / (size[0] * size[1]) for number, count in counts.items()}
    return Validity(name, size, kernel_size, rate, shares, outer_taps(size, kernel_size, rate))


def curves(length: int, rates: Sequence[int]) -> list[Validity]:
    """Figure 4: a 3x3 filter on a square map as its rate grows."""
    return [validity(f"rate {rate}", (length, length), rate) for rate in rates]


def of_layers(layers: Sequence[Layer]) -> list[Validity]:
    """Every atrous convolution, of odd kernels, among the layers of a traced model."""
    found = []
    for layer in layers:
        size = kernel_size(layer)
        if size > 1 and size % 2 and layer.rate > 1:
            found.append(validity(layer.path, layer.shape[:2], layer.rate, size))
    return found


def kernel_size(layer: Layer) -> int:
    """k of a k x k convolution, dense, grouped or depthwise; 0 for any other layer."""
    name, _, taps = layer.kind.partition(" ")
    if name not in ("conv", "grouped", "depthwise"):
        return 0
    rows, _, columns = taps.partition("x")
    return int(rows) if rows == columns else 0


def to_json(found: Validity) -> dict[str, Any]:
    """As JSON values."""
    positions = {str(number): share for number, share in found.positions.items()}
    return dataclasses.asdict(found) | {"positions": positions, "degenerate": found.degenerate}
