"""Writes the prediction of an image to files with the name of the image.

OUTPUT/labels/NAME.png         train ids with the palette of the data set, the image's own size
OUTPUT/overlays/NAME.jpg       the image overlaid with the classes, and a legend
OUTPUT/probabilities/NAME.npz  optional: "probabilities" float16 [H, W, K], "names"
"""

import pathlib

import numpy as np
from PIL import Image

from jaxseg import whole_file
from jaxseg.data.labels import LabelSpec
from jaxseg.inference import overlay

JPEG_QUALITY = 92


def _write_label(path: pathlib.Path, label: np.ndarray, labels: LabelSpec) -> None:
    image = Image.fromarray(label)  # putpalette converts the greyscale image to a palette image
    image.putpalette(labels.png_palette())
    with whole_file.writing(path, sync=False) as file:
        image.save(file, "PNG")


def write(
    output: pathlib.Path,
    name: str,
    image: np.ndarray,
    label: np.ndarray,
    probabilities: np.ndarray | None,
    labels: LabelSpec,
) -> None:
    """Writes the files of one image.

    Args:
      output: the folder to write to.
      name: of the image, without suffix; its folders are created.
      image: uint8 [H, W, 3].
      label: train ids, uint8 [H, W].
      probabilities: float32 [H, W, K], or None.
      labels: names and colours.
    """
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
