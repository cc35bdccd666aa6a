"""COCO 2017 as PASCAL VOC's 21 classes, to train on before VOC (DeepLab v3, arXiv 1706.05587).

`train` has those of the 118,287 images with more than 1000 annotated pixels of VOC's classes.
DeepLab v3 selects them in this way from trainval_minus_minival, which is the same set of images.
All other classes of COCO are background. `val` has all 5,000 images.

A pixel on which annotations of different classes of VOC overlap is void, since COCO does not say
which is in front. Crowds, which COCO annotates as one region, belong to their class. Unsure: how
many images this leaves. The paper says about 60K; by the text of its rule it should be more, since
more images contain persons. How the authors treat overlaps and crowds is not published.

Classes and layout: cocodataset.org; regions: `jaxseg.data.readers.coco_masks`. Licence: images by
Flickr's terms, annotations CC BY 4.0. Size: 20 GB; prepared 16 GB; an hour on two CPU cores
(estimates).
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.builders.voc2012 import LABELS
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import coco_masks
from jaxseg.ignore import IGNORE
from jaxseg.progress import over

LAYOUT = (
    "{train2017,val2017}/NAME.jpg (or below images), annotations/instances_{train2017,val2017}.json"
)
OFFICIAL = {"train": 118287, "val": 5000}  # number of images before the selection
MORE_THAN = 1000  # pixels
CLASSES = {  # COCO id -> COCO name, VOC id
    1: ("person", 15),
    2: ("bicycle", 2),
    3: ("car", 7),
    4: ("motorcycle", 14),
    5: ("airplane", 1),
    6: ("bus", 6),
    7: ("train", 19),
    9: ("boat", 4),
    16: ("bird", 3),
    17: ("cat", 8),
    18: ("dog", 12),
    19: ("horse", 13),
    20: ("sheep", 17),
    21: ("cow", 10),
    44: ("bottle", 5),
    62: ("chair", 9),
    63: ("couch", 18),
    64: ("potted plant", 16),
    67: ("dining table", 11),
    72: ("tv", 20),
}


@dataclasses.dataclass(frozen=True)
class _Region:
    """An annotation of a class of VOC: its class, and polygons or runs."""

    image: int
    voc: int
    polygons: Sequence[np.ndarray]
    runs: Sequence[int] | None

    def mask(self, height: int, width: int) -> np.ndarray:
        """Bool [H, W]."""
        region = self.polygons if self.runs is None else {"counts": self.runs}
        return coco_masks.fill(region, height, width)


def draw(height: int, width: int, regions: Sequence[_Region]) -> np.ndarray:
    """VOC ids, uint8 [H, W]: 0 without a region, 255 where classes overlap.

    Raises:
      ValueError: a region cannot be drawn.
    """
    ids = np.zeros((height, width), np.uint8)
    for region in regions:
        here = region.mask(height, width)
        under = ids[here]
        ids[here] = np.where((under == 0) | (under == region.voc), region.voc, IGNORE)
    return ids


def _large(height: int, width: int, regions: Sequence[_Region]) -> bool:
    """Whether the regions cover more than MORE_THAN pixels; draws only as many as needed."""
    covered = np.zeros((height, width), bool)
    for region in regions:
        covered |= region.mask(height, width)
        if np.count_nonzero(covered) > MORE_THAN:
            return True
    return False


def _slim(value: dict[str, Any]) -> Any:
    """An annotation as a _Region, or None if its class is not in VOC; other objects unchanged.

    It is applied while the file is parsed, so that half a gigabyte does not become lists of
    numbers.
    """
    if "segmentation" not in value or "category_id" not in value:
        return value
    if value["category_id"] not in CLASSES:
        return None
    shape, voc = value["segmentation"], CLASSES[value["category_id"]][1]
    if isinstance(shape, dict):
        return _Region(value["image_id"], voc, (), shape["counts"])
    polygons = [np.asarray(polygon, np.float64) for polygon in shape]
    return _Region(value["image_id"], voc, polygons, None)


def _read(path: pathlib.Path) -> tuple[list[tuple[str, int, int]], list[list[_Region]]]:
    """File name, height and width of the images, by name, and the regions of each.

    Raises:
      ValueError: the file is damaged or has other classes.
    """
    try:
        content = json.loads(path.read_bytes(), object_hook=_slim)
        names = {each["id"]: each["name"] for each in content["categories"]}
        images = sorted(
            (str(each["file_name"]), each["id"], int(each["height"]), int(each["width"]))
            for each in content["images"]
        )
        regions: dict[int, list[_Region]] = {number: [] for _, number, _, _ in images}
        for region in filter(None, content["annotations"]):
            regions[region.image].append(region)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = "is damaged or not a file of COCO's instances"
        raise ValueError(f"{path} {what}: {error!r}") from None
    for number, (name, _) in CLASSES.items():
        if names.get(number) != name:
            raise ValueError(f"{path}: category {number} is {names.get(number)}, not {name}")
    sizes = [(name, height, width) for name, _, height, width in images]
    return sizes, [regions[number] for _, number, _, _ in images]


@functools.lru_cache(maxsize=2)  # `prepare` calls it twice, and it takes minutes
def _pairs(
    images: pathlib.Path, listed: pathlib.Path, split: str, changed: int
) -> tuple[list[pairs.Pair], str]:
    """The images of a split whose regions are large enough, and a line with their number.

    Args:
      images: the folder of images.
      listed: the file of annotations.
      split: "train" or "val".
      changed: modification time of the file in nanoseconds.
    """
    sizes, regions = _read(listed)
    found = []
    entries = list(zip(sizes, regions, strict=True))
    bar = over(entries, f"drawing {split}") if split == "train" else entries
    for (file, height, width), drawn in bar:
        name = pathlib.PurePath(file).stem
        try:
            large = split != "train" or _large(height, width, drawn)
        except ValueError:
            large = True  # `check` reports the fault
        if large:
            ids = functools.partial(draw, height, width, drawn)
            found.append(pairs.Pair(name, images / file, listed, draw=ids))
    few = "" if len(sizes) == OFFICIAL[split] else f" of {OFFICIAL[split]} published"
    rule = f"with more than {MORE_THAN} pixels of VOC's classes " if split == "train" else ""
    return found, f"{split}: {len(found)} images {rule}among {len(sizes)}{few}"


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir` or its folder coco.

    Raises:
      FileNotFoundError: no split there.
      ValueError: a file of annotations is damaged.
    """
    for folder in (manual_dir, manual_dir / "coco"):
        found: dict[str, list[pairs.Pair]] = {}
        remarks = []
        for split in OFFICIAL:
            listed = folder / "annotations" / f"instances_{split}2017.json"
            images = [each / f"{split}2017" for each in (folder, folder / "images")]
            images = [each for each in images if each.is_dir()]
            if images and listed.is_file():
                changed = listed.stat().st_mtime_ns
                found[split], remark = _pairs(images[0], listed, split, changed)
                remarks.append(remark)
        if found:
            return pairs.Published(found, LABELS, remarks=remarks)
    raise FileNotFoundError(f"{manual_dir} holds no COCO 2017; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="coco_voc",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="https://cocodataset.org/",
)
