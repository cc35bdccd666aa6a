"""What a training step reads and writes."""

from typing import Any

import flax.struct
import jax

from jaxseg.types import Array, Variables


class TrainState(flax.struct.PyTreeNode):
    """All that changes during training, and all that a checkpoint holds beside the loader's place.

    `ema` is None, or the exponential moving average of {"params", "batch_stats"}. The batch
    statistics are averaged together with the parameters, because they belong to them: averaged
    parameters with the statistics of the last ones would be normalised wrongly.
    """

    step: Array  # int32 scalar: updates done
    params: Any
    batch_stats: Any  # {} for a model without batch norm
    opt_state: Any
    ema: Any = None


def variables(state: TrainState, *, use_ema: bool = False) -> Variables:
    """What `model.apply` takes; the averaged ones where asked for and kept."""
    if use_ema and state.ema is not None:
        return state.ema
    return {"params": state.params, "batch_stats": state.batch_stats}


def update_ema(ema: Any, current: Variables, step: Array, decay: float) -> Any:
    """ema * d + current * (1 - d), with d = min(decay, (1 + step) / (10 + step)).

    The bound on d lets the average follow quickly at the start, when it holds little else than
    the initial values; it is that of TensorFlow's ExponentialMovingAverage (num_updates). Computed
    as ema + (current - ema) * (1 - d): what does not change is then its own average bit for bit.

    Args:
      ema: averages so far; a tree like `current`.
      current: parameters and statistics after this step.
      step: updates done before this one.
      decay: of the average, below 1.
    """
    d = jax.numpy.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(
        lambda old, new: (old + (new - old) * (1 - d)).astype(old.dtype), ema, current
    )
