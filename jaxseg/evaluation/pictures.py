"""Draws the best and the worst images of an evaluation."""

import pathlib

import jax

from jaxseg import config
from jaxseg.data import loader
from jaxseg.evaluation import record
from jaxseg.evaluation.record import Evaluation
from jaxseg.inference.predictor import framing_of, make_predictor
from jaxseg.types import Variables

_PICTURES = 4  # of each, the best and the worst


def write(
    folder: pathlib.Path,
    evaluation: Evaluation,
    experiment: config.Experiment,
    variables: Variables,
    source: loader.Source,
) -> None:
    """Predicts the best and the worst images again, one by one, and writes their pictures.

    Args:
      folder: RUN/eval/TAG, which holds nothing else; pictures of before are removed.
      evaluation: tells which images these are.
      experiment: its model, protocol and framing.
      variables: {"params", "batch_stats"}.
      source: the split that was evaluated.
    """
    data, labels = experiment.data, source.labels
    predict = make_predictor(
        experiment.model, labels, experiment.eval, data.mean, data.std, framing_of(experiment)
    )
    variables = jax.device_put(variables)
    record.clear(folder)
    for kind, place, image in record.best_and_worst(evaluation.images, _PICTURES):
        example = source[image["index"]]
        ids, _ = predict(variables, example["image"])
        path = folder / record.picture_name(kind, place, image["name"])
        record.write_picture(path, example["image"], example["label"], ids, labels)
