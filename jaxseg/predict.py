"""Prediction: image files in, label PNGs and overlays out.

    OUTPUT/labels/NAME.png         train ids with the palette of the data set, the image's own size
    OUTPUT/overlays/NAME.jpg       the image with the classes over it and a legend
    OUTPUT/labels.json             what the train ids mean: names, palette, raw ids
    OUTPUT/probabilities/NAME.npz  on demand: "probabilities" float16 [H, W, K], "names"

Labels hold train ids, the numbers that metrics and names refer to; a submission that wants raw ids
maps them by the data set's LabelSpec.
"""

import dataclasses
import pathlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np
from PIL import Image

from jaxseg import config, whole_file
from jaxseg.data.frames import Framing, described
from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import photos, walk
from jaxseg.errors import counted
from jaxseg.inference import overlay
from jaxseg.inference.infer import check_protocol
from jaxseg.inference.predictor import make_predictor
from jaxseg.pixels import Normalisation
from jaxseg.progress import over
from jaxseg.types import Variables
from jaxseg.workdir import data_identity, restore

JPEG_QUALITY = 92


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What came of a call.

    Attributes:
      written: the names written.
      refused: the files that were refused, with the reason.
      frames: that were compiled -> images.
      left_out: what the folders hold besides images.
    """

    written: tuple[str, ...]
    refused: tuple[tuple[pathlib.Path, str], ...]
    frames: Mapping[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    left_out: tuple[walk.LeftOut, ...] = ()


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
    picture = overlay.overlay_with_legend(image, label, labels)
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
    normalisation: Normalisation,
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
      protocol: output stride, scales, flip and sliding window. Each image is padded to its own
        frame (`data.frames`) below and to the right, with the mean colour, as in an evaluation.
      normalisation: of the pixels.
      crop: (height, width) of the crops that the model was trained on.
      save_probabilities: write them as well.
      progress: show a bar with rate and remaining time.

    Raises:
      FileNotFoundError: an input does not exist.
      ValueError: there is no image in the inputs; the model has another number of classes, or its
        scores on an image are not finite.
    """
    found, left_out = photos.find(inputs, without=output)
    whole_file.sweep(output, deep=True)
    for photo in found:
        if photo.renamed:
            print(f"{photo.file}: another image has its name; written as {photo.name}.png")
    framing = Framing(protocol.size, crop)
    predict = make_predictor(
        model, labels, protocol, normalisation, framing, with_probabilities=save_probabilities
    )
    variables = jax.device_put(variables)
    written: list[str] = []
    frames: Counter[tuple[int, int]] = Counter()  # see `data.frames`
    refused: list[tuple[pathlib.Path, str]] = []
    for photo in over(found, "predict", hidden=not progress):
        try:
            image = photos.read(photo.file)
        except ValueError as error:
            refused.append((photo.file, str(error)))
            continue
        try:
            label, probabilities = predict(variables, image)
        except (MemoryError, RuntimeError) as error:
            refused.append((photo.file, str(error)))
            continue
        except ValueError as error:
            raise ValueError(f"{photo.file}: {error}") from error
        _write(output, photo.name, image, label, probabilities, labels)
        written.append(photo.name)
        frames[framing.of(image.shape[:2])] += 1
    return Predictions(tuple(written), tuple(refused), frames, tuple(left_out))


def report(predictions: Predictions, output: pathlib.Path) -> int:
    """Prints where the results are, which files were left out and which refused.

    Returns:
      The exit status: 1 if a file was refused, or lost by a link or a name.
    """
    written, lost = len(predictions.written), [left for left in predictions.left_out if left.fault]
    files = sum(not left.folder for left in predictions.left_out)
    files += written + len(predictions.refused)
    print(
        f"{written} of {counted(files, 'file')} predicted; see {output}/labels, {output}/overlays"
    )
    if predictions.left_out:
        print(f"left out: {walk.text(predictions.left_out)}")
    if predictions.frames:
        print(described(predictions.frames))
    for path, reason in predictions.refused:
        print(f"jaxseg: {path}: {reason}", file=sys.stderr)
    if predictions.refused:
        print(f"jaxseg: files not predicted: {len(predictions.refused)}", file=sys.stderr)
    return 1 if predictions.refused or lost else 0


def main(
    experiment: config.Experiment,
    workdir: str | pathlib.Path | None,
    inputs: Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    weights: str | None = None,
    probabilities: bool = False,
    *,
    changed_data: bool = False,
) -> int:
    """`--mode=predict`: reads the variables, predicts, says what was refused.

    Args:
      experiment: its model, and its `eval` as the protocol.
      workdir: the run folder whose checkpoint is read; None where `weights` is given.
      inputs: see `run`.
      output: see `run`.
      weights: a file of trained weights, read instead of a checkpoint.
      probabilities: write them as well.
      changed_data: predict with the run's classes where those of its data are others now.

    Returns:
      The exit status: 0, or 1 when a file could not be read.

    Raises:
      FileNotFoundError: an input, the checkpoint or the weight file is missing.
      ValueError: no image, weights that do not fit, or data that has other classes than the run.
    """
    folder = pathlib.Path(workdir) if workdir else None
    photos.find(inputs, without=pathlib.Path(output))  # what is wrong is said before any waiting
    check_protocol(experiment.eval)
    labels = data_identity.labels_of(experiment, folder, changed_data=changed_data)
    variables, _ = restore.restore(experiment, folder, weights)
    done = run(
        variables,
        experiment.model,
        labels,
        inputs,
        pathlib.Path(output),
        experiment.eval,
        experiment.data.normalisation,
        crop=experiment.data.crop_size,
        save_probabilities=probabilities,
    )
    data_identity.write_labels(pathlib.Path(output), labels)  # what the numbers in the PNGs mean
    return report(done, pathlib.Path(output))
