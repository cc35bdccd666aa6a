"""PASCAL VOC 2012 with the SBD labels that DeepLab trains on (Hariharan et al., ICCV 2011).

`train` and `val` are the challenge's own (SegmentationClass, palette PNGs with a void border of
255); `trainaug` is the 10,582 images of SegmentationClassAug, with no image of `val` in it. If that
folder is missing but SBD's archive is there, trainaug is assembled from it: the challenge's labels
for `train`, SBD's for its other images, and none of `val`. A list with the same number of different
images is reported.
`voc2012/instances` has the objects of the challenge's `train` and `val` (SegmentationObject).

The digest of the list is that of voc12/train_aug.txt of IRN's code, sorted; code derived from CIRKD
states the same SHA-256 for its dataset/list/voc/train_aug.txt.

Licence: images by Flickr's terms; SBD: publications cite the paper. Size: 2 GB, SBD 1.6 GB;
prepared 1.6 GB (estimates).
"""

import functools
import pathlib

import numpy as np

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.instances import Objects
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import instance_ids, mask_file, text_file
from jaxseg.ignore import IGNORE

LAYOUT = (
    "VOC2012/JPEGImages/NAME.jpg, VOC2012/SegmentationClass/NAME.png (train, val), "
    "VOC2012/SegmentationClassAug/NAME.png (trainaug), "
    "VOC2012/ImageSets/Segmentation/{train,trainaug,val}.txt; in place of the folder for trainaug "
    "also SBD's benchmark_RELEASE/dataset/{cls/NAME.mat,train.txt,val.txt}; voc2012/instances: "
    "VOC2012/SegmentationObject/NAME.png too"
)
OFFICIAL = {"train": 1464, "trainaug": 10582, "val": 1449}
LISTS = {"trainaug": "d1326bd532648d73bc4b1bd275434eba81930982dc7401a65a8cecb26c028e24"}
MASKS = {
    "train": "SegmentationClass",
    "trainaug": "SegmentationClassAug",
    "val": "SegmentationClass",
}
NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
)
LABELS = LabelSpec(
    names=tuple(NAMES.split()),
    palette=voc_palette(21),
    raw_to_train={**{k: k for k in range(21)}, 255: IGNORE},
)
THINGS = LabelSpec(
    names=LABELS.names[1:],
    palette=LABELS.palette[1:],
    raw_to_train={k: k - 1 for k in range(1, 21)},
)
VOID = 255  # the border of objects


def sbd_folder(*roots: pathlib.Path) -> pathlib.Path | None:
    """SBD's folder of lists, images and labels, as unpacked from its archive in one of `roots`."""
    folders = (root / "benchmark_RELEASE" / "dataset" for root in roots)
    return next((folder for folder in folders if (folder / "cls").is_dir()), None)


def _from_sbd(folder: pathlib.Path, sbd: pathlib.Path) -> list[pairs.Pair]:
    """trainaug with the challenge's labels, if available, else with SBD's."""
    lists = folder / "ImageSets" / "Segmentation"
    own, val = (set(text_file.names(lists / f"{split}.txt")) for split in ("train", "val"))
    more = {name for split in ("train", "val") for name in text_file.names(sbd / f"{split}.txt")}
    return [
        pairs.Pair(
            name,
            folder / "JPEGImages" / f"{name}.jpg",
            folder / MASKS["train"] / f"{name}.png" if name in own else sbd / "cls" / f"{name}.mat",
        )
        for name in sorted((own | more) - val)
    ]


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir`: VOCdevkit, its folder VOC2012, or the folder that holds it.

    Raises:
      FileNotFoundError: no list there.
    """
    for folder in (manual_dir, manual_dir / "VOC2012", manual_dir / "VOCdevkit" / "VOC2012"):
        lists = folder / "ImageSets" / "Segmentation"
        splits = [split for split in OFFICIAL if (lists / f"{split}.txt").is_file()]
        found = {}
        for split in splits:
            names = text_file.names(lists / f"{split}.txt")
            found[split] = [
                pairs.Pair(
                    name,
                    folder / "JPEGImages" / f"{name}.jpg",
                    folder / MASKS[split] / f"{name}.png",
                )
                for name in names
            ]
        sbd = sbd_folder(folder, folder.parent, manual_dir)
        if sbd and {"train", "val"} <= found.keys() and not (folder / MASKS["trainaug"]).is_dir():
            found["trainaug"] = _from_sbd(folder, sbd)
        if found:
            return pairs.Published(found, LABELS, official=OFFICIAL, lists=LISTS)
    raise FileNotFoundError(f"{manual_dir} holds no VOC 2012; the layout is: {LAYOUT}")


def _objects(objects: pathlib.Path, classes: pathlib.Path) -> Objects:
    """The objects of a SegmentationObject file; their class is that of most of their pixels."""
    ids, _ = mask_file.read_mask(objects)
    categories, _ = mask_file.read_mask(classes)
    if ids.shape != categories.shape:
        raise ValueError(f"is {ids.shape[0]} x {ids.shape[1]}, and {classes} is not")

    def meaning(number: int) -> tuple[int, bool] | None:
        if number in (0, VOID):
            return None
        counts = np.bincount(categories[ids == number], minlength=VOID + 1)
        category = int(counts[1:VOID].argmax()) + 1
        if not counts[category]:
            raise ValueError(f"has object {number}, of which no pixel has a class in {classes}")
        return category, False

    return instance_ids.objects_of(ids, meaning)


def find_instances(manual_dir: pathlib.Path) -> pairs.Published:
    """The objects of the challenge's splits train and val (SegmentationObject).

    Raises:
      FileNotFoundError: there is no list, or the folder SegmentationObject is missing.
    """
    for folder in (manual_dir, manual_dir / "VOC2012", manual_dir / "VOCdevkit" / "VOC2012"):
        found = {}
        for split in ("train", "val"):
            listed = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
            if listed.is_file() and (folder / "SegmentationObject").is_dir():
                found[split] = [_instances(folder, name) for name in text_file.names(listed)]
        if found:
            official = {split: OFFICIAL[split] for split in ("train", "val")}
            return pairs.Published(found, THINGS, official=official)
    raise FileNotFoundError(
        f"{manual_dir} holds no VOC 2012 with SegmentationObject/NAME.png; the layout is: {LAYOUT}"
    )


def _instances(folder: pathlib.Path, name: str) -> pairs.Pair:
    mask = folder / "SegmentationObject" / f"{name}.png"
    classes = folder / MASKS["train"] / f"{name}.png"
    image = folder / "JPEGImages" / f"{name}.jpg"
    return pairs.Pair(name, image, mask, objects=functools.partial(_objects, mask, classes))


SET = PublishedSet(
    kind="voc2012",
    variants={"": (find, LABELS), "instances": (find_instances, THINGS)},
    instances=("instances",),
    layout=LAYOUT,
    homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
)
