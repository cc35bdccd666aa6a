"""Prediction: image files in, label PNGs and overlays out; of a detector, objects.

    OUTPUT/labels/NAME.png         train ids with the palette of the data set, the image's own size
    OUTPUT/overlays/NAME.jpg       the image overlaid with the classes, and a legend
    OUTPUT/labels.json             the meaning of the train ids: names, palette, raw ids
    OUTPUT/probabilities/NAME.npz  optional: "probabilities" float16 [H, W, K], "names"

Labels hold train ids, to which metrics and names refer; a submission that needs raw ids maps them
with the LabelSpec of the data set. What a detector writes is listed in
`jaxseg.inference.object_files`.
"""

import pathlib
import sys
from collections.abc import Sequence

from jaxseg import config, tasks
from jaxseg.checks.experiment import refuse
from jaxseg.data.frames import described
from jaxseg.data.readers import photos, walk
from jaxseg.errors import counted
from jaxseg.inference.image_files import Predictions
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
    score: float | None = None,
    changed_data: bool = False,
) -> int:
    """`--mode=predict`: reads the variables, predicts, and reports refused files.

    Args:
      experiment: with the model, and the protocol in `eval`.
      workdir: the run folder whose checkpoint is read; may be None if `weights` is given.
      inputs: see `tasks.Task.predict_files`.
      output: see `tasks.Task.predict_files`.
      weights: a file of trained weights, read instead of a checkpoint.
      probabilities: write them as well.
      score: of a detector, from which on objects are drawn; None for `object_files.SCORE`.
      changed_data: predict with the classes of the run even if those of its data have changed.

    Returns:
      The exit status: 0, or 1 if a file could not be read.

    Raises:
      FileNotFoundError: an input, the checkpoint or the weight file is missing.
      ValueError: no image, weights or a protocol that do not fit, data that has other classes
        than the run, or `probabilities` or `score` of a network that does not have them.
    """
    folder = pathlib.Path(workdir) if workdir else None
    refuse(of_other_task(experiment, probabilities=probabilities, score=score))
    photos.find(inputs, without=pathlib.Path(output))  # reports faults before any long work
    check_protocol(experiment.eval)
    task = tasks.of(experiment)
    refuse(task.protocol_faults(experiment))
    labels = data_identity.labels_of(experiment, folder, changed_data=changed_data)
    variables, _ = restore.restore(experiment, folder, weights)
    done = task.predict_files(
        experiment,
        variables,
        labels,
        inputs,
        pathlib.Path(output),
        probabilities=probabilities,
        score=score,
    )
    return report(done, pathlib.Path(output))


def of_other_task(
    experiment: config.Experiment, *, probabilities: bool, score: float | None
) -> list[str]:
    """Faults: probabilities of a detector, or a score of objects of another network."""
    name = type(experiment.model).__name__
    detects = tasks.of(experiment) is tasks.instance
    if detects and probabilities:
        return [f"--probabilities are those of pixels, but {name} detects objects"]
    if score is not None and not detects:
        return [f"--score is for detectors, but {name} predicts a class for each pixel"]
    return []


def report(predictions: Predictions, output: pathlib.Path) -> int:
    """Prints where the results are, and which files were left out or refused.

    Returns:
      The exit status: 1 if a file was refused, or lost by a link or a name.
    """
    written, lost = len(predictions.written), [left for left in predictions.left_out if left.fault]
    files = sum(not left.folder for left in predictions.left_out)
    files += written + len(predictions.refused)
    results = ", ".join(f"{output}/{name}" for name in predictions.results)
    print(f"{written} of {counted(files, 'file')} predicted; see {results}")
    if predictions.left_out:
        print(f"left out: {walk.text(predictions.left_out)}")
    if predictions.frames:
        print(described(predictions.frames))
    for path, reason in predictions.refused:
        print(f"jaxseg: {path}: {reason}", file=sys.stderr)
    if predictions.refused:
        print(f"jaxseg: files not predicted: {len(predictions.refused)}", file=sys.stderr)
    return 1 if predictions.refused or lost else 0
