"""`--mode=evaluate` of a semantic segmentation: what is counted, written and printed."""

import pathlib
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data import frames
from jaxseg.data.loader import Source
from jaxseg.evaluation import pictures, split
from jaxseg.evaluation import record as records
from jaxseg.evaluation.record import Evaluation
from jaxseg.metrics.definitions import PROBABILITIES
from jaxseg.percent import percent
from jaxseg.reporting import tables
from jaxseg.types import Variables


def evaluate(
    experiment: config.Experiment,
    variables: Variables,
    source: Source,
    mesh: Mesh,
    *,
    progress: bool,
) -> Evaluation:
    """The confusion matrix of the split under experiment.eval; see `split.evaluate`."""
    data = experiment.data
    return split.evaluate(
        experiment.model,
        variables,
        source,
        protocol=experiment.eval,
        normalisation=data.normalisation,
        crop=data.crop_size,
        threads=data.threads,
        mesh=mesh,
        progress=progress,
    )


def record(
    folder: pathlib.Path,
    tag: str,
    evaluation: Evaluation,
    experiment: config.Experiment,
    variables: Variables,
    source: Source,
    about: Mapping[str, Any],
) -> str:
    """Writes the numbers, the counts of each image, and pictures; see `workdir.eval_folder`."""
    kept = records.write(folder, tag, evaluation, source.labels, about)
    pictures.write(folder / tag, evaluation, experiment, variables, source)
    return _text(evaluation, source, kept["metrics"]["miou_interval"])


def _text(evaluation: Evaluation, source: Source, interval: list[float] | None) -> str:
    """The table, the metrics of probabilities and the frames, for the terminal."""
    lines = [tables.evaluation(evaluation.confusion, source.labels.names, interval)]
    for name, value in evaluation.probabilities.items():
        lines.append(f"{PROBABILITIES[name][0]}: {percent(value)} %")
    return "\n".join([*lines, frames.described(evaluation.frames)])
