"""How the theoretical receptive field grows from layer to layer, in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn

from jaxseg.inspection import summary
from jaxseg.inspection.layer_table import Layer
from jaxseg.types import Array


class _Probe(nn.Module):
    """An additional layer that reads the logits, so that its field is theirs."""

    network: nn.Module

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> dict[str, Array]:
        """Images [B, H, W, 3] -> "logits" [B, H, W, 1]."""
        return {"logits": nn.Conv(1, (1, 1))(self.network(images, train=train)["logits"])}


def output_layer(model: nn.Module, size: tuple[int, int]) -> Layer:
    """What the logits of a model see (`field`, `whole`); its last layer may be an auxiliary one.

    Args:
      model: gives "logits" [B, H, W, K].
      size: (height, width) of the image.
    """
    return summary.summarize(_Probe(model), size).layers[-1]


def rows(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """One dict per layer, in the order of computation.

    Its keys: "layer" (path), "kind", "rate", "stride" and "field" in pixels as in
    `jaxseg.inspection.layer_table.Layer`, and "whole": sees the whole image through a mean too.
    """
    return [
        {
            "layer": layer.path,
            "kind": layer.kind,
            "rate": layer.rate,
            "stride": layer.stride,
            "field": layer.field,
            "whole": layer.whole,
        }
        for layer in layers
    ]


def facts(rows: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> dict[str, Any]:
    """Key facts: the largest field, and the first layers that see the whole image.

    Args:
      rows: of `rows`.
      size: (height, width) of the image.

    Returns:
      "largest_field" in pixels; "first_larger_than_image", the first layer whose field is at least
      twice the image less a pixel, so that every position sees all of it; "first_global", the first
      that sees all of it through a mean. None: no layer does.
    """
    larger = (row["layer"] for row in rows if (row["field"] or 0) >= 2 * max(size) - 1)
    whole = (row["layer"] for row in rows if row["whole"])
    return {
        "largest_field": max((row["field"] or 0 for row in rows), default=0),
        "first_larger_than_image": next(larger, None),
        "first_global": next(whole, None),
    }
