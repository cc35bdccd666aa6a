"""Initialises a run: from random values, another run, a converted file or a weight file.

    --config.train.init_from=runs/other                a run of the same model, or a converted file
    --config.train.init_from=runs/fcn32s --config.train.init_partial=True      a related model
    --config.train.init_from=resnet50.pth              a weight file, as jaxseg.convert does

Nothing is loaded silently: if only a part of the model is, messages say what was loaded, what is
reinitialised and why, and what was left out; RUN/init.json lists every leaf.
"""

import functools
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxseg import config
from jaxseg.data.labels import LabelSpec
from jaxseg.state import TrainState, chosen_variables
from jaxseg.training import weight_file
from jaxseg.weights import adapt, load
from jaxseg.weights.origins import Origins
from jaxseg.weights.place import Wishes
from jaxseg.workdir import checkpoint, converted, same_data
from jaxseg.workdir.log import write_json


def state(
    experiment: config.Experiment,
    init: Callable[[], TrainState],
    abstract: TrainState,
    workdir: pathlib.Path | None,
    labels: LabelSpec | None = None,
) -> TrainState:
    """The state before step 1: random, or with the variables that train.init_from names.

    Args:
      experiment: with train.init_from and train.init_partial.
      init: creates the random state.
      abstract: the same as jax.ShapeDtypeStruct, with shardings.
      workdir: where init.json is written; None: nothing is written or printed.
      labels: the classes of the run, which are compared with those of another run.

    Raises:
      FileNotFoundError: the path does not exist, or holds no checkpoint.
      ValueError: it cannot be read or does not fit the model.
    """
    state = init()
    origin = experiment.train.init_from
    if not origin:
        if experiment.train.init_partial:
            raise ValueError(
                "train.init_partial=True loads a part of train.init_from, which must be set"
            )
        return state
    start = {"params": state.params, "batch_stats": state.batch_stats}
    expected = {"params": abstract.params, "batch_stats": abstract.batch_stats}
    if load.is_file(origin):
        on_host = functools.partial(jax.tree.map, np.asarray, start)
        found, origins = weight_file.from_file(experiment, origin, on_host, Wishes())
    else:
        found, origins = _from_run(experiment, start, expected, labels)
    if workdir is not None:
        print("The run starts from", "\n".join(origins.summary()), file=sys.stderr)
        write_json(workdir / "init.json", origins.to_dict())
    place = abstract.step.sharding
    ema = jax.device_put(found, place) if state.ema is not None else None
    return state.replace(**jax.device_put(found, place), ema=ema)


def _whole(variables: Any, source: str) -> Origins:
    """The report of an initialisation with a complete set of variables."""
    sizes = {
        path: int(np.prod(shape)) for path, (shape, _) in checkpoint.leaf_types(variables).items()
    }
    return Origins(source, sizes, taken={path: path for path in sizes})


def _from_run(
    experiment: config.Experiment, start: Any, expected: Any, labels: LabelSpec | None
) -> tuple[dict[str, Any], Origins]:
    """The variables of a run or of a converted file: the whole model, or what both have in common.

    A head for other classes is never loaded: it is an error, or is left out if a part is requested.
    """
    origin, partial = experiment.train.init_from, experiment.train.init_partial
    other_classes = ""
    lines: list[str] = []
    if labels is not None:
        other_classes, lines = same_data.hold_origin(pathlib.Path(origin), labels)
    found, step = checkpoint.restore_variables(origin)
    found = chosen_variables(found, use_ema=experiment.eval.use_ema)
    where = f"train.init_from={origin}, step {step},"
    if partial:
        model = weight_file.adaptable(experiment, jax.tree.map(np.asarray, start))
        variables, origins = adapt.take_shared(
            found, model, file=where[:-1], other_classes=other_classes
        )
    else:
        checkpoint.refuse_mismatch(
            expected,
            found,
            where,
            "its model must be the same: set the fields of the model to the same values; from a "
            "related model, --config.train.init_partial=True loads what both have in common",
        )
        if other_classes:
            raise ValueError(
                f"{where} was trained on other classes: {other_classes}; "
                "--config.train.init_partial=True loads all except the layers that score classes"
            )
        variables, origins = found, _whole(found, where[:-1])
    report = pathlib.Path(origin) / converted.REPORT
    origins.notes += converted.notes(report)
    if not report.exists():  # a weight file has no list of classes
        origins.notes += lines
    return variables, origins
