"""Predicts image files and folders of them, one image after the other."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np

from jaxseg import config, whole_file
from jaxseg.data.frames import Framing, Size
from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import photos, walk
from jaxseg.inference import label_files
from jaxseg.inference.predictor import make_predictor
from jaxseg.pixels import Normalisation
from jaxseg.progress import over
from jaxseg.types import Variables


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The result of a call.

    Attributes:
      written: the names written.
      refused: the refused files, with the reasons.
      frames: each compiled frame -> the number of its images.
      left_out: files in the folders that are not images.
      results: the files and folders in the output folder that hold the results.
    """

    written: tuple[str, ...]
    refused: tuple[tuple[pathlib.Path, str], ...]
    frames: Mapping[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    left_out: tuple[walk.LeftOut, ...] = ()
    results: tuple[str, ...] = ("labels", "overlays")


def predict_files(
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
    """Predicts every image of `inputs`; unreadable ones are skipped.

    Args:
      variables: {"params", "batch_stats"} of `model`.
      model: returns "logits" [B, H, W, K].
      labels: names and colours of the K classes.
      inputs: image files, or folders, which are searched recursively.
      output: the folder to write to; created if missing.
      protocol: output stride, scales, flip and sliding window. Each image is padded to its own
        frame (`data.frames`) below and to the right, with the mean colour, as in an evaluation.
      normalisation: of the pixels.
      crop: (height, width) of the training crops.
      save_probabilities: also write probabilities.
      progress: show a bar with rate and remaining time.

    Raises:
      FileNotFoundError: an input does not exist.
      ValueError: there are no images in the inputs; the model has a different number of classes; or
        its scores on an image are not finite.
    """
    framing = Framing(protocol.size, crop)
    predict = make_predictor(
        model, labels, protocol, normalisation, framing, with_probabilities=save_probabilities
    )
    variables = jax.device_put(variables)

    def write(photo: photos.Photo, image: np.ndarray) -> None:
        label, probabilities = predict(variables, image)
        label_files.write(output, photo.name, image, label, probabilities, labels)

    return predict_each(inputs, output, write, framing.of, progress=progress)


def predict_each(
    inputs: Sequence[str | pathlib.Path],
    output: pathlib.Path,
    write: Callable[[photos.Photo, np.ndarray], None],
    frame_of: Callable[[Size], Size],
    *,
    progress: bool,
) -> Predictions:
    """Predicts and writes one image after the other; see `predict_files`.

    Args:
      inputs: image files, or folders, which are searched recursively.
      output: the folder that is written to.
      write: predicts an image uint8 [H, W, 3] and writes its files; an image for which it raises
        MemoryError or RuntimeError is refused with that reason.
      frame_of: the size that an image of a size is padded to.
      progress: show a bar.
    """
    found, left_out = photos.find(inputs, without=output)
    whole_file.sweep(output, deep=True)
    for photo in found:
        if photo.renamed:
            print(f"{photo.file}: another image has its name; written as {photo.name}.png")
    written: list[str] = []
    frames: Counter[Size] = Counter()  # see `data.frames`
    refused: list[tuple[pathlib.Path, str]] = []
    for photo in over(found, "predict", hidden=not progress):
        try:
            image = photos.read(photo.file)
        except ValueError as error:
            refused.append((photo.file, str(error)))
            continue
        try:
            write(photo, image)
        except (MemoryError, RuntimeError) as error:
            refused.append((photo.file, str(error)))
            continue
        except ValueError as error:
            raise ValueError(f"{photo.file}: {error}") from error
        written.append(photo.name)
        frames[frame_of((image.shape[0], image.shape[1]))] += 1
    return Predictions(tuple(written), tuple(refused), frames, tuple(left_out))
