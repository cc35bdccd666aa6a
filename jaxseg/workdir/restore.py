"""Restores the variables to evaluate with, from a run's checkpoint or a weight file."""

import pathlib
from typing import Any

from jaxseg import config
from jaxseg.state import abstract_variables, chosen_variables
from jaxseg.weights import load
from jaxseg.workdir import checkpoint


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
    expected = abstract_variables(experiment.model)
    if weights:
        return load.load_variables(weights, expected), None
    if workdir is None:
        raise ValueError("neither a run folder (--workdir) nor a weight file (--weights) is given")
    restored, step = checkpoint.restore_variables(workdir)
    found = chosen_variables(restored, use_ema=experiment.eval.use_ema)
    checkpoint.refuse_mismatch(
        expected, found, f"step {step} of {workdir}", "evaluate with the run's own config"
    )
    return found, step
