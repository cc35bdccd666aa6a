"""The train state: what a training step reads and writes."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax

from jaxseg.shape_trace import SMALL, trace_shapes
from jaxseg.types import Array, Variables


class TrainState(flax.struct.PyTreeNode):
    """Everything that changes during training; a checkpoint holds this and the loader's position.

    `ema` is None, or the exponential moving average of {"params", "batch_stats"}. The batch
    statistics are averaged together with the parameters, since averaged parameters with the
    statistics of the latest ones would be normalised wrongly.
    """

    step: Array  # int32 scalar: number of updates
    params: Any
    batch_stats: Any  # {} for a model without batch norm
    opt_state: Any
    ema: Any = None


def chosen_variables(saved: Mapping[str, Any], *, use_ema: bool) -> dict[str, Any]:
    """{"params", "batch_stats"}, or their average if it is requested and stored.

    Args:
      saved: {"params", "batch_stats"} and, optionally, "ema" with the same keys.
      use_ema: use the average.
    """
    chosen = saved["ema"] if use_ema and saved.get("ema") is not None else saved
    return {name: chosen.get(name, {}) for name in ("params", "batch_stats")}


def variables(state: TrainState, *, use_ema: bool = False) -> Variables:
    """The `chosen_variables` of a state, for `model.apply`."""
    saved = {"params": state.params, "batch_stats": state.batch_stats, "ema": state.ema}
    return chosen_variables(saved, use_ema=use_ema)


def abstract_variables(
    model: nn.Module, size: tuple[int, int] = SMALL, channels: int = 3
) -> dict[str, Any]:
    """The shapes of {"params", "batch_stats"} of a model, without computing them.

    Args:
      model: takes images [B, H, W, channels].
      size: (height, width) of the image that it is traced with; parameters do not depend on it.
      channels: of the image.
    """
    _, shapes = trace_shapes(model, size, channels)
    return {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}


def update_ema(ema: Any, current: Variables, step: Array, decay: float) -> Any:
    """ema * d + current * (1 - d), with d = min(decay, (1 + step) / (10 + step)).

    The bound on d lets the average follow quickly at the start, when it consists mostly of the
    initial values; it is that of TensorFlow's ExponentialMovingAverage (num_updates). It is
    computed as ema + (current - ema) * (1 - d), so that a constant equals its average bit for bit.

    Args:
      ema: averages so far; a tree like `current`.
      current: parameters and statistics after this step.
      step: number of updates before this one.
      decay: of the average, below 1.
    """
    d = jax.numpy.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(
        lambda old, new: (old + (new - old) * (1 - d)).astype(old.dtype), ema, current
    )
