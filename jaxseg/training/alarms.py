"""Alarms during training: numbers that are not finite, steps in which nothing is learned."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg.state import TrainState
from jaxseg.types import Array
from jaxseg.workdir import checkpoint, log, saved_steps


@jax.jit
def _all_finite(tree: Any) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def refuse_not_finite(
    recent: log.Recent, state: TrainState | None, step: int, saved: checkpoint.Checkpoints
) -> None:
    """Raises if the metrics since the last check, or a state to be saved, contain NaN or infinity.

    Args:
      recent: the metrics.
      state: after this step; None if it is not to be saved now.
      step: number of updates.
      saved: the checkpoints of the run; the message names the newest.

    Raises:
      ValueError: names the step and the numbers.
    """
    bad = recent.not_finite()
    if bad:
        step, values = bad
        what = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
    elif state is not None and not _all_finite((state.params, state.batch_stats)):
        what = "the loss is finite, but parameters or batch statistics are not"
    else:
        return
    with contextlib.suppress(OSError):  # report the NaN, not a failed save
        saved.wait()
    raise ValueError(
        f"step {step} is not finite: {what}; {saved_steps.last_good(saved.folder)}. "
        "Try a lower optim.learning_rate, more optim.warmup_steps, or optim.clip_norm"
    )


def nothing_learned(step: int, name: str) -> str:
    """The message about steps in which every gradient was 0, since a loss of 0 looks like success.

    Args:
      step: number of updates.
      name: of the data set.
    """
    return (
        f"step {step}: the gradient was exactly 0 in each step since the last line, so nothing "
        "is learned: no pixel counts (crops or masks are all void, or weights are 0), or every "
        f"pixel is predicted correctly with certainty; python -m jaxseg.data.doctor --name={name} "
        "shows the masks"
    )
