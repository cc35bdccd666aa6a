"""Restores the variables for evaluation from a run's checkpoint or a weight file."""

import pathlib
from typing import Any

from jaxseg import config
from jaxseg.state import abstract_variables, chosen_variables
from jaxseg.weights import load
from jaxseg.workdir import checkpoint


def restore(
    experiment: config.Experiment, workdir: pathlib.Path | None, weights: str | None
) -> tuple[dict[str, Any], int | None]:
    """Reads the variables with which the experiment's model is evaluated, as NumPy arrays.

    Args:
      experiment: the model; `eval.use_ema` selects the average, if there is one.
      workdir: a run folder with checkpoints.
      weights: a weight file of a supported format, read instead of a checkpoint.

    Returns:
      {"params", "batch_stats"}, and the step of the checkpoint (None for a weight file).

    Raises:
      FileNotFoundError: no such file, no checkpoint.
      ValueError: it cannot be read or does not fit the model; the differences are listed.
    """
    expected = abstract_variables(experiment.model)
    if weights:
        return load.load_variables(weights, expected, pixels=experiment.data.normalisation), None
    if workdir is None:
        raise ValueError("neither a run folder (--workdir) nor a weight file (--weights) is given")
    restored, step = checkpoint.restore_variables(workdir)
    found = chosen_variables(restored, use_ema=experiment.eval.use_ema)
    checkpoint.refuse_mismatch(
        expected, found, f"step {step} of {workdir}", "evaluate with the run's own config"
    )
    return found, step
