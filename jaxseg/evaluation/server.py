"""What each test server expects: classes, ids, and the paths of label maps in its archive.

- VOC 2012 (development kit, section 5.3): results/VOC2012/Segmentation/COMPETITION_test_cls/
  NAME.png, palette images of class ids; comp5 for training on VOC only, comp6 if other data was
  used.
- Cityscapes (cityscapesScripts, evalPixelLevelSemanticLabeling): for each image one file whose name
  begins with CITY_SEQUENCE_FRAME, greyscale images of label ids, not of train ids.
"""

import io
import pathlib
import re
from collections.abc import Mapping

import numpy as np
from PIL import Image

from jaxseg.data.builders import cityscapes, voc2012
from jaxseg.data.labels import LabelSpec

LABELS: Mapping[str, LabelSpec] = {"voc2012": voc2012.LABELS, "cityscapes": cityscapes.LABELS}
SUFFIXES = {"voc2012": ".tgz", "cityscapes": ".zip"}  # of the archives
COMPETITIONS = ("comp5", "comp6")


def raw_ids(labels: LabelSpec) -> np.ndarray:
    """The raw id of each train id: uint8 [K].

    Raises:
      ValueError: a class has several raw ids, so that there is no inverse.
    """
    ids = np.zeros(labels.num_classes, np.uint8)
    for train in range(labels.num_classes):
        found = [raw for raw, to in labels.raw_to_train.items() if to == train]
        if len(found) != 1:
            raise ValueError(f"class {labels.names[train]} has the raw ids {found}, not one")
        ids[train] = found[0]
    return ids


def member(server: str, name: str, competition: str = "comp6") -> str:
    """The path of an image's label map in the archive.

    Args:
      server: one of LABELS.
      name: of the image, with its folders, without suffix.
      competition: of VOC.

    Raises:
      ValueError: it is not a name of Cityscapes.
    """
    stem = pathlib.PurePosixPath(name).name
    if server == "voc2012":
        return f"results/VOC2012/Segmentation/{competition}_test_cls/{stem}.png"
    found = re.match(r"[A-Za-z-]+_\d{6}_\d{6}(?=_|$)", stem)
    if found is None:
        raise ValueError(f"{name}: the names of Cityscapes begin with CITY_000000_000000")
    return f"{found[0]}.png"


def encoded(server: str, label: np.ndarray) -> bytes:
    """Train ids uint8 [H, W] as the PNG file that the server reads."""
    labels = LABELS[server]
    image = Image.fromarray(raw_ids(labels)[label])
    if server == "voc2012":
        image.putpalette(labels.png_palette())
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
