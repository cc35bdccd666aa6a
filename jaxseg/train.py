"""Training: from a run's newest checkpoint, or its start, to its last step.

    python -m jaxseg.main --config=experiments/quickstart.py --workdir=runs/quickstart

The same command goes on after any stop: a killed run ends bit for bit where it would have ended.
After SIGTERM or SIGINT everything is saved at the next step boundary and the exit status is
STOPPED, on which a scheduler can start the run again.
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
      experiment: what to do.
      workdir: the run folder; made, or gone on with.
      source: the experiment's file, of which the run folder gets a copy.
      data: (training, evaluation) splits, instead of those that experiment.data names.
      changed_data: the run goes on although examples of its data have changed.

    Returns:
      The state after the last step.

    Raises:
      SystemExit: with STOPPED, after a signal, when all is saved.
      ValueError: a setting that does not fit the data, the devices or the run folder; data that is
        not the run's; a folder in use; a loss that is not finite.
    """
    with set_up(
        experiment, pathlib.Path(workdir), source=source, data=data, changed_data=changed_data
    ) as setup:
        return loop.run(setup)
