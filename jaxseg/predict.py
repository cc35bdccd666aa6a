"""Image files in, label PNGs and overlays out.

    OUTPUT/labels/NAME.png         train ids with the palette of the data set, the image's own size
    OUTPUT/overlays/NAME.jpg       the image with the classes over it and a legend
    OUTPUT/probabilities/NAME.npz  on demand: "probabilities" float16 [H, W, K], "names"

Labels hold train ids, the numbers that metrics and names refer to; a submission that wants raw ids
maps them by the data set's LabelSpec.
"""

import dataclasses
import math
import pathlib
import sys
from collections.abc import Sequence

import flax.linen as nn
import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxseg import config, draw, photos
from jaxseg.data.labels import LabelSpec
from jaxseg.evaluate import make_probabilities
from jaxseg.types import Variables

GRID = 128  # images are padded to multiples of this plus 1, so that few sizes are compiled
JPEG_QUALITY = 92


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What came of a call: the names written and the files that could not be read, with why."""

    written: tuple[str, ...]
    refused: tuple[tuple[pathlib.Path, str], ...]


def padded_size(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The size that an image is padded to: `size` where it fits, else the next of a coarse grid.

    The grid is GRID k + 1, which every output stride up to GRID divides evenly.
    """
    if height <= size[0] and width <= size[1]:
        return size
    return (
        GRID * math.ceil((height - 1) / GRID) + 1,
        GRID * math.ceil((width - 1) / GRID) + 1,
    )


def _write_label(path: pathlib.Path, label: np.ndarray, labels: LabelSpec) -> None:
    image = Image.fromarray(label, mode="P")
    every_id = np.arange(256, dtype=np.uint8)[None]
    image.putpalette(np.asarray(labels.colour(every_id)).tobytes())
    image.save(path)


def _write(
    output: pathlib.Path,
    name: str,
    image: np.ndarray,
    probabilities: np.ndarray,
    labels: LabelSpec,
    save_probabilities: bool,
) -> None:
    """The files of one image; sub-folders of `name` are made."""
    label = probabilities.argmax(-1).astype(np.uint8)  # [H, W]
    paths = {
        "label": output / "labels" / f"{name}.png",
        "overlay": output / "overlays" / f"{name}.jpg",
        "probabilities": output / "probabilities" / f"{name}.npz",
    }
    for kind, path in paths.items():
        if kind != "probabilities" or save_probabilities:
            path.parent.mkdir(parents=True, exist_ok=True)
    _write_label(paths["label"], label, labels)
    picture = draw.overlay_with_legend(image, label, labels)
    Image.fromarray(picture).save(paths["overlay"], quality=JPEG_QUALITY)
    if save_probabilities:
        np.savez_compressed(
            paths["probabilities"],
            probabilities=probabilities.astype(np.float16),
            names=np.asarray(labels.names),
        )


def run(
    variables: Variables,
    model: nn.Module,
    labels: LabelSpec,
    inputs: Sequence[str | pathlib.Path],
    output: pathlib.Path,
    protocol: config.Eval,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    *,
    save_probabilities: bool = False,
    progress: bool = True,
) -> Predictions:
    """Predicts every image of `inputs`; one that cannot be read does not stop the others.

    Args:
      variables: {"params", "batch_stats"} of `model`.
      model: gives "logits" [B, H, W, K]; at the output stride wanted.
      labels: names and colours of the K classes.
      inputs: image files, or folders searched in depth.
      output: the folder to write to, made if missing.
      protocol: scales, flip and sliding window; images up to `protocol.size` are padded to it,
        others to a coarse grid, with the mean colour, below and to the right.
      mean: of uint8 RGB; the pad value too.
      std: of uint8 RGB.
      save_probabilities: write them as well.
      progress: show a bar with rate and remaining time.

    Raises:
      FileNotFoundError: an input does not exist.
      ValueError: there is no image in the inputs.
    """
    found = photos.find(inputs, without=output)
    for photo in found:
        if photo.renamed:
            tqdm.write(f"{photo.file}: another image has its name; written as {photo.name}.png")
    probabilities_of = make_probabilities(model, protocol, mean, std)
    fill = np.rint(mean).astype(np.uint8)
    written: list[str] = []
    refused: list[tuple[pathlib.Path, str]] = []
    for photo in tqdm(found, unit="image", disable=not progress, dynamic_ncols=True):
        try:
            image = photos.read(photo.file)
        except ValueError as error:
            refused.append((photo.file, str(error)))
            continue
        height, width = image.shape[:2]
        batch = np.empty((1, *padded_size(height, width, protocol.size), 3), np.uint8)
        batch[:] = fill
        batch[0, :height, :width] = image
        probabilities = np.asarray(probabilities_of(variables, batch)[0, :height, :width])
        _write(output, photo.name, image, probabilities, labels, save_probabilities)
        written.append(photo.name)
    return Predictions(tuple(written), tuple(refused))


def report(predictions: Predictions, output: pathlib.Path) -> int:
    """Prints where the results are and which files were refused; the exit status: 1 if any was."""
    print(f"{len(predictions.written)} images predicted: {output}/labels, {output}/overlays")
    for path, reason in predictions.refused:
        print(f"jaxseg: {path}: {reason}", file=sys.stderr)
    if predictions.refused:
        print(f"jaxseg: {len(predictions.refused)} files were not predicted", file=sys.stderr)
    return 1 if predictions.refused else 0
