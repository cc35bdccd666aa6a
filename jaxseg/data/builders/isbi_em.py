"""ISBI 2012 EM: neurons of a fly's nerve cord, 30 slices of 512 x 512 with labels (1505.04597).

The files are either the two published volumes, or one file per slice. Labels are 0 on membranes and
255 in cells. The labels of the challenge's 30 test slices are not public, so the last four slices
are `val`, the others `train`, and all of them `trainval`, on which U-Net was trained. They are
adjacent slices of one block, 50 nm apart.

Volumes and terms: the challenge's page as quoted in MindSpore's U-Net notes. Licence: free for
making and testing non-commercial segmentation software; publications cite Cardona et al., PLoS
Biol. 8(10), 2010. Size: 15 MB; prepared 16 MB. Colours: there are no official ones; these are
those of the published labels.
"""

import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import mask_file

LAYOUT = "train-volume.tif, train-labels.tif; or image/NN.png, label/NN.png"
OFFICIAL = {"trainval": 30}
LAST = 4  # number of slices in val
LABELS = LabelSpec(
    names=("membrane", "cell"),
    palette=((0, 0, 0), (255, 255, 255)),
    raw_to_train={0: 0, 255: 1},
)


def _slices(folder: pathlib.Path) -> list[pairs.Pair]:
    volume, labels = folder / "train-volume.tif", folder / "train-labels.tif"
    if not volume.is_file() and not labels.is_file():
        return pairs.beside(folder / "image", folder / "label", ".png", ".png")
    count = max(
        mask_file.pages(volume), mask_file.pages(labels), 1
    )  # `check` names what is missing
    return [pairs.Pair(f"{i:02d}", volume, labels, page=i) for i in range(count)]


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The slices under `manual_dir` or its folder isbi_em.

    Raises:
      FileNotFoundError: there are none.
      ValueError: there are too few for val.
    """
    for folder in (manual_dir, manual_dir / "isbi_em"):
        if slices := _slices(folder):
            if len(slices) <= LAST:
                raise ValueError(f"{folder} holds {len(slices)} slices, {LAST} of them are for val")
            found = {"train": slices[:-LAST], "val": slices[-LAST:], "trainval": slices}
            return pairs.Published(found, LABELS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no ISBI 2012 EM; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="isbi_em",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="https://imagej.net/events/isbi-2012-segmentation-challenge",
)
