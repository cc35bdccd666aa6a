"""The config of an existing run folder, in the form that `--config=FILE:ARGUMENT` reads."""

import json
import pathlib

from jaxseg import config


def get_config(workdir: str) -> config.Experiment:
    """The experiment with which the run folder `workdir` was started.

    Raises:
      FileNotFoundError: the folder holds no config.json.
      ValueError: the file is damaged, or was written by a version that this code cannot read.
    """
    path = pathlib.Path(workdir) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {workdir} is not the folder of a run")
    try:
        values = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    try:
        experiment = config.from_dict(values)
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}; {path.parent}/environment.json names its commit, and "
            "--config=experiments/NAME.py can be used instead of this file"
        ) from error
    if not isinstance(experiment, config.Experiment):
        raise ValueError(f"{path} holds no experiment: name one with --config=experiments/NAME.py")
    return without_cache(experiment)


def without_cache(experiment: config.Experiment) -> config.Experiment:
    """The experiment of a stored config, with the default compilation cache or none.

    Compiled programs are machine code that JAX runs without checks, so a run folder that named a
    cache within itself could run arbitrary code.
    """
    if experiment.train.compile_cache:
        experiment.train.compile_cache = config.Train.compile_cache
    return experiment
