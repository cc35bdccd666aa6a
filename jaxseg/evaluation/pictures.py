"""Draws the best and the worst images of an evaluation."""

import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from jaxseg import config, whole_file
from jaxseg.data import loader
from jaxseg.data.labels import LabelSpec
from jaxseg.evaluation.record import Evaluation
from jaxseg.inference import overlay
from jaxseg.inference.predictor import framing_of, make_predictor
from jaxseg.types import Variables
from jaxseg.workdir import eval_folder

PICTURES = 4  # of the best images, and of the worst


def write(
    folder: pathlib.Path,
    evaluation: Evaluation,
    experiment: config.Experiment,
    variables: Variables,
    source: loader.Source,
) -> None:
    """Predicts the best and the worst images again, one by one, and writes their pictures.

    Args:
      folder: RUN/eval/TAG, which is only for pictures; existing ones are removed.
      evaluation: ranks the images.
      experiment: provides model, protocol and framing.
      variables: {"params", "batch_stats"}.
      source: the split that was evaluated.
    """
    data, labels = experiment.data, source.labels
    predict = make_predictor(
        experiment.model,
        labels,
        experiment.eval,
        data.normalisation,
        framing_of(experiment),
    )
    variables = jax.device_put(variables)
    eval_folder.clear_pictures(folder)
    for kind, place, image in best_and_worst(evaluation.images, PICTURES):
        example = source[image["index"]]
        ids, _ = predict(variables, example["image"])
        path = folder / eval_folder.picture_name(kind, place, image["name"])
        write_picture(path, example["image"], example["label"], ids, labels)


def best_and_worst(
    images: Sequence[Mapping[str, Any]], count: int, by: str = "miou"
) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Yields ("best" or "worst", rank from 1, image) for up to `count` each, no image twice."""
    ranked = sorted(
        (image for image in images if not math.isnan(image[by])),
        key=lambda image: (-image[by], image["index"]),
    )
    half = min(count, math.ceil(len(ranked) / 2))
    yield from (("best", i + 1, image) for i, image in enumerate(ranked[:half]))
    worst = ranked[half:][::-1][:count]
    yield from (("worst", i + 1, image) for i, image in enumerate(worst))


def write_picture(
    path: pathlib.Path,
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    labels: LabelSpec,
) -> None:
    """Writes `overlay.compared` as a PNG.

    Args:
      path: of the PNG.
      image: uint8 [H, W, 3].
      truth: train ids, uint8 [H, W].
      prediction: train ids, uint8 [H, W].
      labels: names and colours.
    """
    with whole_file.writing(path, sync=False) as file:
        Image.fromarray(overlay.compared(image, truth, prediction, labels)).save(file, "PNG")
