"""Alarms of a training: numbers that are not finite, steps in which nothing is learned."""

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
    """Stops at a NaN or infinity in the metrics since the last look, or in a state to be saved.

    Args:
      recent: the metrics.
      state: after this step; None: it is not to be saved now.
      step: updates done.
      saved: the checkpoints of the run, of which the message names the newest.

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
    with contextlib.suppress(OSError):  # the user is told of the NaN, not of a save that failed
        saved.wait()
    raise ValueError(
        f"step {step} is not finite: {what}; {saved_steps.last_good(saved.folder)}. "
        "Try a lower optim.learning_rate, more optim.warmup_steps, or optim.clip_norm"
    )


def nothing_learned(step: int, name: str) -> str:
    """The line on steps in which every gradient was 0, since a loss of 0 looks like success.

    Args:
      step: updates done.
      name: of the data set.
    """
    return (
        f"step {step}: the gradient was exactly 0 in each step since the last line, so nothing is "
        "learned: no pixel counts (crops or masks that are all void, weights of 0), or every one "
        f"is right with certainty; python -m jaxseg.data.doctor --name={name} shows the masks"
    )
