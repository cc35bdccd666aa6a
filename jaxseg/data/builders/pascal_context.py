"""PASCAL-Context (Mottaghi et al., CVPR 2014): VOC 2010 with 59 classes of the whole scene.

4,998 images for training, 5,105 for validation. Labels are the published .mat files with the ids of
all 459 classes. In `pascal_context`, with 59 classes, everything else is void, as in EncNet; in
`pascal_context/60`, everything else is the first class, background, as in DeepLab and FCN.

Names, their order and ids: github.com/shelhamer/fcn.berkeleyvision.org, data/pascal-context; the
names table, cloth and bedclothes of the long list are diningtable, clothes and bedcloth of the
short one there. Splits: VOC 2010's ImageSets/Main, of which the labelled images are taken. Colours:
PASCAL VOC's, there are no official ones. Licence: images by Flickr's terms, as VOC's. Size: 1.3 GB
with VOC 2010; prepared 1 GB (estimates).
"""

import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import text_file
from jaxseg.ignore import IGNORE

LAYOUT = (
    "VOC2010/JPEGImages/NAME.jpg, VOC2010/ImageSets/Main/{train,val}.txt, trainval/NAME.mat "
    "(PASCAL-Context's labels, here or in VOC2010)"
)
OFFICIAL = {"train": 4998, "val": 5105}
NAMES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor bag bed bench book building cabinet ceiling "
    "clothes computer cup door fence floor flower food grass ground keyboard light mountain mouse "
    "curtain platform sign plate road rock shelves sidewalk sky snow bedcloth track tree truck "
    "wall water window wood"
)
IDS = (  # of the 59 among the 459
    "2 23 25 31 34 45 59 65 72 98 397 113 207 258 284 308 347 368 416 427 9 18 22 33 44 46 68 80 "
    "85 104 115 144 158 159 162 187 189 220 232 259 260 105 296 355 295 324 326 349 354 360 366 "
    "19 415 420 424 440 445 454 458"
)
LABELS = LabelSpec(
    names=tuple(NAMES.split()),
    palette=voc_palette(60)[1:],
    raw_to_train={
        **dict.fromkeys(range(460), IGNORE),
        **{int(raw): train for train, raw in enumerate(IDS.split())},
    },
)
LABELS_60 = LabelSpec(
    names=("background", *LABELS.names),
    palette=voc_palette(60),
    raw_to_train={
        **dict.fromkeys(range(460), 0),
        **{int(raw): train for train, raw in enumerate(IDS.split(), 1)},
    },
)


def find(manual_dir: pathlib.Path, labels: LabelSpec = LABELS) -> pairs.Published:
    """The files under `manual_dir`: VOCdevkit, its folder VOC2010, or the folder that holds it.

    Args:
      manual_dir: the folder.
      labels: LABELS or LABELS_60.

    Raises:
      FileNotFoundError: no list or no labels there.
    """
    for folder in (manual_dir, manual_dir / "VOC2010", manual_dir / "VOCdevkit" / "VOC2010"):
        lists = folder / "ImageSets" / "Main"
        masks = [each / "trainval" for each in (folder, folder.parent, manual_dir)]
        masks = [each for each in masks if each.is_dir()]
        found = {}
        for split in OFFICIAL:
            if masks and (lists / f"{split}.txt").is_file():
                names = text_file.names(lists / f"{split}.txt")
                found[split] = [
                    pairs.Pair(
                        name, folder / "JPEGImages" / f"{name}.jpg", masks[0] / f"{name}.mat"
                    )
                    for name in names
                ]
        if found:
            return pairs.Published(found, labels, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no PASCAL-Context; the layout is: {LAYOUT}")


def find_60(manual_dir: pathlib.Path) -> pairs.Published:
    """As `find`, with background as a class."""
    return find(manual_dir, LABELS_60)


SET = PublishedSet(
    kind="pascal_context",
    variants={"": (find, LABELS), "60": (find_60, LABELS_60)},
    layout=LAYOUT,
    homepage="https://cs.stanford.edu/~roozbeh/pascal-context/",
)
