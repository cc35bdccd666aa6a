"""Training: from the newest checkpoint of a run, or from its start, to its last step.

    python -m jaxseg.main --config=experiments/quickstart.py --workdir=runs/quickstart

The same command resumes the run after any stop, and the result is bit for bit the same. After
SIGTERM or SIGINT, everything is saved at the next step boundary, and the exit status is STOPPED, so
that a scheduler can start the run again.
"""

import pathlib

from jaxseg import config
from jaxseg.data import loader
from jaxseg.state import TrainState
from jaxseg.training import loop
from jaxseg.training.loop import STOPPED
from jaxseg.training.setup import set_up

__all__ = ["STOPPED", "fit"]


def fit(
    experiment: config.Experiment,
    workdir: pathlib.Path | str,
    *,
    source: pathlib.Path | None = None,
    data: tuple[loader.Source, loader.Source] | None = None,
    changed_data: bool = False,
) -> TrainState:
    """Trains to train.steps, from the newest checkpoint of the run folder if there is one.

    Args:
      experiment: the experiment.
      workdir: the run folder, which is created or resumed.
      source: the experiment file, which is copied to the run folder.
      data: (training, evaluation) splits, instead of those that experiment.data names.
      changed_data: continue even if examples of the run's data have changed.

    Returns:
      The state after the last step.

    Raises:
      SystemExit: with STOPPED, after a signal, once everything is saved.
      ValueError: a setting does not fit the data, the devices or the run folder; the data is not
        that of the run; the folder is in use; the loss is not finite.
    """
    with set_up(
        experiment, pathlib.Path(workdir), source=source, data=data, changed_data=changed_data
    ) as setup:
        return loop.run(setup)
