"""The layers of a model as rows, each parameter counted in the row that it belongs to."""

import dataclasses
import math

from jaxseg.inspection.feature_map import Map, union_of


@dataclasses.dataclass
class Layer:
    """One row of the summary."""

    path: str  # of the module
    kind: str  # "conv 3x3", "depthwise 3x3", "max pool 3x3", "global pool", "resize", ...
    rate: int
    shape: tuple[int, int, int]  # (H, W, C) of the output
    stride: float | None  # pixels of the image between two outputs; None: one pixel, or unknown
    field: int | None  # receptive field in pixels; None: nothing but the whole image
    whole: bool  # sees the whole image too, through a mean over the map
    parameters: int  # of the layer, its bias and the norm that follows
    multiply_adds: int  # for one image, taps on padding included


@dataclasses.dataclass(frozen=True)
class Weight:
    """A value computed from parameters alone."""

    leaves: frozenset[str]


class LayerTable:
    """The rows so far, in the order of computation.

    Args:
      sizes: parameter -> number of its elements.
    """

    def __init__(self, sizes: dict[str, int]) -> None:
        self.layers: list[Layer] = []
        self._uncounted = dict(sizes)

    def count(self, maps: list[Map], weights: list[Weight]) -> None:
        """A bias's and a norm's parameters go to the layer whose output they change."""
        layer = union_of(maps).layer
        for leaf in (leaf for weight in weights for leaf in weight.leaves):
            if layer is not None:
                self.layers[layer].parameters += self._uncounted.pop(leaf, 0)

    def add(
        self,
        result: Map,
        path: str,
        kind: str,
        elements: int,
        weight: Weight | None = None,
        *,
        rate: int = 1,
        multiply_adds: int = 0,
    ) -> Map:
        """One more row, for the operation that gave `result`."""
        h, w = (len(span) for span in result.spans)
        rows, columns = result.spans
        sizes = [span.size for span in (rows, columns)]
        one = h == w == 1 and rows.whole
        layer = Layer(
            path=path,
            kind=kind,
            rate=rate,
            shape=(h, w, elements // (h * w)),
            stride=None if one or math.isnan(rows.step) else max(rows.step, columns.step),
            field=None if None in sizes else max(size for size in sizes if size is not None),
            whole=rows.whole or columns.whole,
            parameters=sum(self._uncounted.pop(leaf, 0) for leaf in weight.leaves) if weight else 0,
            multiply_adds=multiply_adds,
        )
        last = self.layers[-1] if self.layers else None
        if last and kind == "resize" == last.kind and path == last.path:
            self.layers[-1] = layer  # its other axis, or its other neighbours
        else:
            self.layers.append(layer)
        return dataclasses.replace(result, layer=len(self.layers) - 1)
