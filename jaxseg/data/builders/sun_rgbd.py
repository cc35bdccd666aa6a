"""SUN RGB-D (Song et al., CVPR 2015): indoor scenes, 37 classes; the colour images only.

5,285 images for training and 5,050 for testing, as Ankur Handa extracted them from the MATLAB
files. Labels are numbered consecutively, the test images first: the first training image has label
5051. Masks hold 0 for unlabelled pixels, which are void, and 1 to 37.

Layout, counts and numbering: github.com/ankurhanda/sunrgbd-meta-data, README. Names: the toolbox's
seg37list.mat. Colours: PASCAL VOC's, there are no official ones. Licence: terms on the homepage.
Size: about 2 GB; prepared as much again (estimates).

Unsure: the names img-000001.jpg in both archives are from notes about them; the archives were not
  seen.
"""

import pathlib
import re

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import walk
from jaxseg.ignore import IGNORE

LAYOUT = (
    "SUNRGBD-train_images/img-NNNNNN.jpg, SUNRGBD-test_images/img-NNNNNN.jpg, "
    "sunrgbd_train_test_labels/img-NNNNNN.png (test 1 to 5050, train 5051 to 10335)"
)
OFFICIAL = {"train": 5285, "test": 5050}
OFFSETS = {"train": 5050, "test": 0}  # number of a label minus that of its image
NAMES = (
    "wall floor cabinet bed chair sofa table door window bookshelf picture counter blinds desk "
    "shelves curtain dresser pillow mirror floor_mat clothes ceiling books fridge tv paper towel "
    "shower_curtain box whiteboard person night_stand toilet sink lamp bathtub bag"
)
LABELS = LabelSpec(
    names=tuple(NAMES.split()),
    palette=voc_palette(38)[1:],
    raw_to_train={0: IGNORE, **{k + 1: k for k in range(37)}},
)


def _numbered(folder: pathlib.Path, suffix: str) -> dict[int, pathlib.Path]:
    """Number -> file, ignoring the case of the suffix."""
    paths = walk.below(folder).checked() if folder.is_dir() else []
    return {
        int(path.stem.removeprefix("img-")): path
        for path in paths
        if path.suffix.lower() == suffix and re.fullmatch(r"img-[0-9]{6}", path.stem)
    }


def _pairs(folder: pathlib.Path, split: str) -> list[pairs.Pair]:
    """The images of a split, including those with only a label, so that they are reported."""
    images, labels = folder / f"SUNRGBD-{split}_images", folder / "sunrgbd_train_test_labels"
    offset, count = OFFSETS[split], OFFICIAL[split]
    masks = {n - offset: path for n, path in _numbered(labels, ".png").items()}
    labelled = {n for n in masks if 1 <= n <= count}
    numbered = _numbered(images, ".jpg")
    return [
        pairs.Pair(
            f"{split}/{n:06d}",
            numbered.get(n, images / f"img-{n:06d}.jpg"),
            masks.get(n, labels / f"img-{n + offset:06d}.png"),
        )
        for n in sorted(numbered.keys() | labelled if numbered else ())
    ]


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir` or its folder SUNRGBD.

    Raises:
      FileNotFoundError: no images there.
    """
    for folder in (manual_dir, manual_dir / "SUNRGBD"):
        splits = {split: _pairs(folder, split) for split in OFFICIAL}
        if found := pairs.nonempty(splits):
            return pairs.Published(found, LABELS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no SUN RGB-D; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="sun_rgbd",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="https://rgbd.cs.princeton.edu/",
)
