"""Image files in, label PNGs and overlays out.

    OUTPUT/labels/NAME.png         train ids with the palette of the data set, the image's own size
    OUTPUT/overlays/NAME.jpg       the image with the classes over it and a legend
    OUTPUT/probabilities/NAME.npz  on demand: "probabilities" float16 [H, W, K], "names"

Labels hold train ids, the numbers that metrics and names refer to; a submission that wants raw ids
maps them by the data set's LabelSpec.
"""

import dataclasses
import importlib
import math
import pathlib
import sys
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxseg import config, draw, photos, trained, whole_file
from jaxseg.data import loader
from jaxseg.data.labels import LabelSpec
from jaxseg.inference import Color, check_protocol, make_predictions, make_probabilities
from jaxseg.types import Variables

STEP = 128  # sizes above that of the crops go up by this, so that few are compiled
JPEG_QUALITY = 92


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What came of a call: the names written and the files that could not be read, with why."""

    written: tuple[str, ...]
    refused: tuple[tuple[pathlib.Path, str], ...]


def padded_size(
    height: int, width: int, size: tuple[int, int], crop: tuple[int, int]
) -> tuple[int, int]:
    """The size that an image is padded to: `size` where it fits, else `crop` plus whole STEPs.

    So every output stride up to STEP meets the image at the same offset as it met the crops of the
    training. A network that saw 128 x 128 alone marks objects along the edges of 129 x 129.
    """
    if height <= size[0] and width <= size[1]:
        return size
    return (
        crop[0] + STEP * max(0, math.ceil((height - crop[0]) / STEP)),
        crop[1] + STEP * max(0, math.ceil((width - crop[1]) / STEP)),
    )


def _write_label(path: pathlib.Path, label: np.ndarray, labels: LabelSpec) -> None:
    image = Image.fromarray(label)  # putpalette makes a palette image of the grey one
    every_id = np.arange(256, dtype=np.uint8)[None]
    image.putpalette(np.asarray(labels.colour(every_id)).tobytes())
    with whole_file.writing(path, sync=False) as file:
        image.save(file, "PNG")


def _write(
    output: pathlib.Path,
    name: str,
    image: np.ndarray,
    label: np.ndarray,
    probabilities: np.ndarray | None,
    labels: LabelSpec,
) -> None:
    """The files of one image; sub-folders of `name` are made."""
    *folders, stem = pathlib.PurePath(name).parts
    overlay_path = whole_file.folder_in(output, "overlays", *folders) / f"{stem}.jpg"
    label_path = whole_file.folder_in(output, "labels", *folders) / f"{stem}.png"
    _write_label(label_path, label, labels)
    picture = draw.overlay_with_legend(image, label, labels)
    with whole_file.writing(overlay_path, sync=False) as file:
        Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    if probabilities is not None:
        path = whole_file.folder_in(output, "probabilities", *folders) / f"{stem}.npz"
        half = probabilities.astype(np.float16)
        with whole_file.writing(path, sync=False) as file:
            np.savez_compressed(file, probabilities=half, names=np.asarray(labels.names))


def run(
    variables: Variables,
    model: nn.Module,
    labels: LabelSpec,
    inputs: Sequence[str | pathlib.Path],
    output: pathlib.Path,
    protocol: config.Eval,
    mean: Color,
    std: Color,
    *,
    crop: tuple[int, int],
    save_probabilities: bool = False,
    progress: bool = True,
) -> Predictions:
    """Predicts every image of `inputs`; one that cannot be read does not stop the others.

    Args:
      variables: {"params", "batch_stats"} of `model`.
      model: gives "logits" [B, H, W, K].
      labels: names and colours of the K classes.
      inputs: image files, or folders searched in depth.
      output: the folder to write to, made if missing.
      protocol: output stride, scales, flip and sliding window. Images up to `protocol.size` are
        padded to it, larger ones as `padded_size` says; below and to the right, with the mean
        colour.
      mean: of uint8 RGB.
      std: of uint8 RGB.
      crop: (height, width) of the crops that the model was trained on.
      save_probabilities: write them as well.
      progress: show a bar with rate and remaining time.

    Raises:
      FileNotFoundError: an input does not exist.
      ValueError: there is no image in the inputs; the model has another number of classes, or its
        scores on an image are not finite.
    """
    found = photos.find(inputs, without=output)
    whole_file.sweep(output, deep=True)
    for photo in found:
        if photo.renamed:
            print(f"{photo.file}: another image has its name; written as {photo.name}.png")
    predict = _of_one(
        jax.device_put(variables), model, labels, protocol, mean, std, crop, save_probabilities
    )
    written: list[str] = []
    refused: list[tuple[pathlib.Path, str]] = []
    for photo in tqdm(found, unit="image", disable=not progress, dynamic_ncols=True):
        try:
            image = photos.read(photo.file)
        except ValueError as error:
            refused.append((photo.file, str(error)))
            continue
        try:
            label, probabilities = predict(image)
        except MemoryError as error:
            refused.append((photo.file, str(error)))
            continue
        except ValueError as error:
            raise ValueError(f"{photo.file}: {error}") from error
        _write(output, photo.name, image, label, probabilities, labels)
        written.append(photo.name)
    return Predictions(tuple(written), tuple(refused))


def _of_one(
    variables: Variables,
    model: nn.Module,
    labels: LabelSpec,
    protocol: config.Eval,
    mean: Color,
    std: Color,
    crop: tuple[int, int],
    with_probabilities: bool,
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]:
    """Of one image uint8 [H, W, 3]: ids uint8 [H, W], and probabilities [H, W, K] if wanted.

    The function raises MemoryError for an image that is too large, ValueError for a model that does
    not fit the labels or whose scores are not finite.
    """
    probabilities_of = make_probabilities(model, protocol, mean, std)
    predictions_of = make_predictions(model, protocol, mean, std, labels.num_classes)

    def scores(batch: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, bool, np.ndarray | None]:
        if not with_probabilities:
            ids, finite = predictions_of(variables, batch, sizes)
            return np.asarray(ids[0]), bool(finite[0]), None
        probabilities = np.asarray(probabilities_of(variables, batch, sizes)[0])  # [H, W, K]
        if probabilities.shape[-1] != labels.num_classes:
            raise ValueError(
                f"the model predicts {probabilities.shape[-1]} classes, "
                f"the labels name {labels.num_classes}"
            )
        return probabilities.argmax(-1), bool(np.isfinite(probabilities).all()), probabilities

    def of_one(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        height, width = image.shape[:2]
        batch = np.empty((1, *padded_size(height, width, protocol.size, crop), 3), np.uint8)
        batch[:] = np.rint(mean).astype(np.uint8)
        batch[0, :height, :width] = image
        try:
            ids, finite, probabilities = scores(batch, np.array([[height, width]]))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise MemoryError(
                f"{width} x {height} pixels do not fit into memory: predict a smaller copy, "
                "or crops (--config.eval.sliding=True)"
            ) from error
        if not finite:
            raise ValueError("the model's scores are not finite (NaN or infinite)")
        if probabilities is not None:
            probabilities = probabilities[:height, :width]
        return ids[:height, :width].astype(np.uint8), probabilities

    return of_one


def report(predictions: Predictions, output: pathlib.Path) -> int:
    """Prints where the results are and which files were refused; the exit status: 1 if any was."""
    print(f"images predicted: {len(predictions.written)}; see {output}/labels, {output}/overlays")
    for path, reason in predictions.refused:
        print(f"jaxseg: {path}: {reason}", file=sys.stderr)
    if predictions.refused:
        print(f"jaxseg: files not predicted: {len(predictions.refused)}", file=sys.stderr)
    return 1 if predictions.refused else 0


def labels_of(experiment: config.Experiment, workdir: pathlib.Path | None) -> LabelSpec:
    """Names and colours: of the run folder, else of the prepared set, else of the set's builder.

    Raises:
      FileNotFoundError: none of the three is there; the message has the command that prepares.
      ValueError: there is no such data set.
    """
    data = experiment.data
    if workdir is not None and (workdir / "labels.json").is_file():
        return LabelSpec.from_json((workdir / "labels.json").read_text())
    try:
        return loader.open_split(data.name, data.eval_split, data.data_dir).labels
    except FileNotFoundError:
        try:  # sets with fixed classes need no preparation for that
            return importlib.import_module(f"jaxseg.data.builders.{data.name}").LABELS
        except (ImportError, AttributeError):
            pass
        raise


def main(
    experiment: config.Experiment,
    workdir: str | pathlib.Path | None,
    inputs: Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    weights: str | None = None,
    probabilities: bool = False,
) -> int:
    """`--mode=predict`: reads the variables, predicts, says what was refused.

    Args:
      experiment: its model, and its `eval` as the protocol.
      workdir: the run folder whose checkpoint is read; None where `weights` is given.
      inputs: see `run`.
      output: see `run`.
      weights: a file of trained weights, read instead of a checkpoint.
      probabilities: write them as well.

    Returns:
      The exit status: 0, or 1 when a file could not be read.

    Raises:
      FileNotFoundError: an input, the checkpoint or the weight file is missing.
      ValueError: no image, or weights that do not fit.
    """
    folder = pathlib.Path(workdir) if workdir else None
    photos.find(inputs, without=pathlib.Path(output))  # what is wrong is said before any waiting
    check_protocol(experiment.eval)
    variables, _ = trained.restore(experiment, folder, weights)
    done = run(
        variables,
        experiment.model,
        labels_of(experiment, folder),
        inputs,
        pathlib.Path(output),
        experiment.eval,
        experiment.data.mean,
        experiment.data.std,
        crop=experiment.data.crop_size,
        save_probabilities=probabilities,
    )
    return report(done, pathlib.Path(output))
