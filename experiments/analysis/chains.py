"""Gridding: the pixels that a stack of atrous convolutions reaches, and the number of paths.

A k x k convolution of rate r reaches the offsets -r (k-1)/2, ..., -r, 0, r, ... in each direction.
A stack reaches all sums of one offset of each layer, and the number of paths to a sum is its weight
if all weights are equal. Rows and columns behave alike, so one axis is enough.

With equal rates r, r, r all offsets are multiples of r: one of r^2 positions is seen, and
neighbouring outputs see disjoint pixels. The remedy is rates without a common factor, such as (1,
2, 3) (Wang et al., "Understanding convolution for semantic segmentation", arXiv 1702.08502, section
3.2) or (1, 2, 4), the multi-grid of DeepLab v3 (section 3.2.1). But multi-grid multiplies the rate
of its block: (2, 4, 8) at rate 2 has the holes of that rate again. In a ResNet, earlier layers of
rate 1 on the same map fill them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.analysis.taps import kernel_size
from jaxseg.inspection.layer_table import Layer


@dataclasses.dataclass(frozen=True)
class Chain:
    """A sequence of convolutions of stride 1 on one map.

    Attributes:
      name: their position, or what they show.
      rates: of the layers.
      kernel_sizes: of the layers.
      stride: pixels of the image between two positions of the map.
    """

    name: str
    rates: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    stride: float = 1

    def ways(self) -> np.ndarray:
        """float64 [size]: the number of ways from each position of the field along one axis."""
        found = np.ones(1)
        for rate, size in zip(self.rates, self.kernel_sizes, strict=True):
            taps = np.zeros(rate * (size - 1) + 1)
            taps[::rate] = 1
            found = np.convolve(found, taps)
        return found

    @property
    def size(self) -> int:
        """Side of the field in positions of the map."""
        return len(self.ways())

    @property
    def untouched(self) -> float:
        """The share of the positions of the square field that no path reaches."""
        return 1 - float((self.ways() > 0).mean()) ** 2

    @property
    def roughness(self) -> float:
        """Mean difference of neighbours over the mean of all, along one axis: near 0 for a smooth
        hill, near 2 where no two neighbours are both touched.
        """
        ways = np.pad(self.ways(), 1)
        return float(np.abs(np.diff(ways)).mean() / ways[1:-1].mean())


def chain(name: str, rates: Sequence[int], kernel: int = 3) -> Chain:
    """A stack of equal kernels.

    Raises:
      ValueError: no rate, or one below 1.
    """
    if not rates or min(rates) < 1:
        raise ValueError(f"rates {','.join(map(str, rates))} must be at least 1, one or more")
    return Chain(name, tuple(rates), (kernel,) * len(rates))


def of_layers(layers: Sequence[Layer]) -> list[Chain]:
    """The stacks of a traced model that have an atrous convolution among two layers and more.

    A convolution follows the one before where its field is as much larger as its own taps make it,
    on a map of the same stride; so what stands beside (the branches of an ASPP, an auxiliary head)
    is told from what goes on. Shortcuts of residual units add nothing to what a stack reaches: the
    centre tap of every layer goes there too. Where a stack begins with rates of 1, its layers from
    the first atrous one on are a second chain, because the first fill the holes of the others.
    """
    runs: list[list[Layer]] = [[]]
    for layer in layers:
        if kernel_size(layer) < 2 or not layer.stride or not layer.field:
            continue
        run = runs[-1]
        if run and _reads(layer, run[-1].field, run[-1].stride):
            run.append(layer)
        elif run and _reads(layer, _before(run[-1]), run[-1].stride):
            run.pop()  # the first of several branches
            runs.append([layer])
        elif not any(_reads(layer, _before(row), row.stride) for row in run):
            runs.append([layer])
    found: dict[tuple, Chain] = {}
    for run in runs:
        first = next((i for i, row in enumerate(run) if row.rate > 1), None)
        if first is None or len(run) < 2:
            continue
        for part in (run, run[first:]) if first else (run,):
            name = f"{_name(part[0])} to {_name(part[-1])}"
            rates = tuple(row.rate for row in part)
            chain = Chain(name, rates, tuple(map(kernel_size, part)), part[0].stride or 1)
            found.setdefault((chain.rates, chain.kernel_sizes), chain)  # one of several scales
    return list(found.values())


def _growth(layer: Layer) -> float:
    """How many pixels the layer adds to the field of what it reads, at stride 1."""
    return (kernel_size(layer) - 1) * layer.rate * (layer.stride or 0)


def _before(layer: Layer) -> float:
    """The field of what the layer reads."""
    return (layer.field or 0) - _growth(layer)


def _reads(layer: Layer, field: float | None, stride: float | None) -> bool:
    """Whether the layer may read a map of that field and stride."""
    return layer.stride == stride and _before(layer) == field


def _name(layer: Layer) -> str:
    return layer.path.removesuffix("/conv").removesuffix("/depthwise")


def to_json(found: Chain) -> dict[str, Any]:
    """As JSON values."""
    measured = {"size": found.size, "untouched": found.untouched, "roughness": found.roughness}
    return dataclasses.asdict(found) | measured
