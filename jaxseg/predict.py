"""Prediction: image files in, label PNGs and overlays out.

    OUTPUT/labels/NAME.png         train ids with the palette of the data set, the image's own size
    OUTPUT/overlays/NAME.jpg       the image with the classes over it and a legend
    OUTPUT/labels.json             what the train ids mean: names, palette, raw ids
    OUTPUT/probabilities/NAME.npz  on demand: "probabilities" float16 [H, W, K], "names"

Labels hold train ids, the numbers that metrics and names refer to; a submission that wants raw ids
maps them by the data set's LabelSpec.
"""

import pathlib
import sys
from collections.abc import Sequence

from jaxseg import config
from jaxseg.data.frames import described
from jaxseg.data.readers import photos, walk
from jaxseg.errors import counted
from jaxseg.inference.image_files import Predictions, predict_files
from jaxseg.inference.protocols import check_protocol
from jaxseg.workdir import data_identity, restore


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
      inputs: see `predict_files`.
      output: see `predict_files`.
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
    done = predict_files(
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
