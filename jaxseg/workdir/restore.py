"""The variables that a model is evaluated with: of a run's checkpoint, or of a weight file."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from jaxseg import config
from jaxseg.weights import load
from jaxseg.workdir import checkpoint

_PROBE = (65, 65)  # parameters do not depend on the image; small, to be traced quickly


def abstract_variables(experiment: config.Experiment) -> dict[str, Any]:
    """{"params", "batch_stats"} of the experiment's model as shapes, without computing any."""
    images = jnp.zeros((1, *_PROBE, 3))
    shapes = jax.eval_shape(lambda: experiment.model.init(jax.random.key(0), images, train=False))
    return {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}


def restore(
    experiment: config.Experiment, workdir: pathlib.Path | None, weights: str | None
) -> tuple[dict[str, Any], int | None]:
    """Reads what the experiment's model is evaluated with, as NumPy arrays.

    Args:
      experiment: its model; its `eval.use_ema` chooses the average where one was kept.
      workdir: a run folder with checkpoints.
      weights: a weight file of a known kind, read instead of a checkpoint.

    Returns:
      {"params", "batch_stats"}, and the step of the checkpoint; None for a weight file.

    Raises:
      FileNotFoundError: no such file, no checkpoint.
      ValueError: it cannot be read or does not fit the model; the differences are listed.
    """
    expected = abstract_variables(experiment)
    if weights:
        return load.load_variables(weights, expected), None
    if workdir is None:
        raise ValueError("neither a run folder (--workdir) nor a weight file (--weights) is given")
    restored, step = checkpoint.restore_variables(workdir)
    found = {name: restored.get(name, {}) for name in ("params", "batch_stats")}
    if experiment.eval.use_ema and "ema" in restored:
        found = {name: restored["ema"].get(name, {}) for name in found}
    checkpoint.refuse_differences(
        expected, found, f"step {step} of {workdir}", "evaluate with the run's own config"
    )
    return found, step
