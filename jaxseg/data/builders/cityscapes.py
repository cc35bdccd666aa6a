"""Cityscapes (Cordts et al., arXiv 1604.01685): street scenes of 1024 x 2048, 19 of 34 ids.

`cityscapes` has the fine labels; `cityscapes/coarse` the coarse ones, with 19,998 more images in
`train_extra`; `cityscapes/instances` the objects of the eight classes of persons and vehicles that
the instance benchmark counts, with groups as crowds, and the other eleven classes as stuff. Masks
are the files of label ids; if one is missing, it is drawn from the file of polygons, as the
official tool does. A license plate has the id -1, which the tool never draws; as a byte it would be
255, so 255 is void. The label files of `test` hold only void: the real ones are on the server.

Names, ids, colours and counts: github.com/mcordts/cityscapesScripts, helpers/labels.py and README;
drawing: preparation/json2labelImg.py, without its lane lines, which no published file has. Unsure:
whether a current Pillow draws each edge like that of 2016, with which the published id files were
made; this was not checked on the published polygons. Licence: registration at
cityscapes-dataset.com; for research and other non-commercial use; no redistribution. Size: about 12
GB, with train_extra about 55 GB; prepared as much again (estimates from 2.2 MB per image).
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.instances import Objects
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import instance_ids, mask_file
from jaxseg.ignore import IGNORE

LAYOUT = (
    "leftImg8bit/{train,val,test}/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png, "
    "gtFine/{train,val,test}/CITY/CITY_SEQUENCE_FRAME_gtFine_{labelIds.png or polygons.json}; "
    "cityscapes/coarse: {train,train_extra,val}, gtCoarse in place of gtFine; "
    "cityscapes/instances: instanceIds.png in place of labelIds.png"
)
OFFICIAL = {"train": 2975, "val": 500, "test": 1525}
OFFICIAL_COARSE = {"train": 2975, "train_extra": 19998, "val": 500}
CLASSES = (  # raw id, name, colour, in the order of the train ids
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
VOID = {
    "unlabeled": 0,
    "ego vehicle": 1,
    "rectification border": 2,
    "out of roi": 3,
    "static": 4,
    "dynamic": 5,
    "ground": 6,
    "parking": 9,
    "rail track": 10,
    "guard rail": 14,
    "bridge": 15,
    "tunnel": 16,
    "polegroup": 18,
    "caravan": 29,
    "trailer": 30,
    "license plate": -1,
}
IDS = {**VOID, **{name: raw for raw, name, _ in CLASSES}}
LABELS = LabelSpec(
    names=tuple(name for _, name, _ in CLASSES),
    palette=tuple(colour for _, _, colour in CLASSES),
    raw_to_train={
        **dict.fromkeys([*range(34), 255], IGNORE),
        **{raw: train for train, (raw, _, _) in enumerate(CLASSES)},
    },
)

_STUFF = [each for each in CLASSES if each[0] < 24]
THINGS = LabelSpec(
    names=tuple(name for raw, name, _ in CLASSES if raw >= 24),
    palette=tuple(colour for raw, _, colour in CLASSES if raw >= 24),
    raw_to_train={raw: k for k, raw in enumerate(raw for raw, _, _ in CLASSES if raw >= 24)},
    stuff=LabelSpec(
        names=("things", *(name for _, name, _ in _STUFF)),
        palette=((255, 255, 255), *(colour for _, _, colour in _STUFF)),
        raw_to_train={
            **dict.fromkeys([*range(34), 255], IGNORE),
            **{raw: 0 for raw, _, _ in CLASSES if raw >= 24},
            **{raw: k for k, (raw, _, _) in enumerate(_STUFF, 1)},
        },
    ),
)


def draw_polygons(path: pathlib.Path) -> np.ndarray:
    """Raw ids, uint8 [H, W], of a polygon file, drawn over each other in order.

    A name that ends in "group" and is not a label stands for the label without that ending. Deleted
    objects and those with a negative id are left out; the rest is "unlabeled".

    Raises:
      ValueError: the reason why it cannot be drawn, without the file's name.
    """
    unknown = ""
    try:
        content = json.loads(path.read_bytes())
        image = Image.new("L", (content["imgWidth"], content["imgHeight"]), IDS["unlabeled"])
        drawing = ImageDraw.Draw(image)
        for thing in content["objects"]:
            name = thing["label"]
            name = name if name in IDS else name.removesuffix("group")
            if thing.get("deleted"):
                continue
            if name not in IDS:
                unknown = unknown or name
            elif IDS[name] >= 0:
                drawing.polygon([(x, y) for x, y in thing["polygon"]], fill=IDS[name])
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"is not JSON or is damaged: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError(
            "is not a file of polygons: imgHeight, imgWidth and objects with label and polygon"
        ) from None
    if unknown:
        raise ValueError(f"holds the label {unknown!r}, which is not a label of Cityscapes")
    return np.asarray(image)


def _pairs(images: pathlib.Path, masks: pathlib.Path) -> list[pairs.Pair]:
    """The images of a split with their label ids, or with their polygons where these are missing.

    Args:
      images: the folder of the split.
      masks: its folder under gtFine or gtCoarse.
    """
    kind, image_suffix = masks.parent.name, "_leftImg8bit.png"
    found = {
        pair.name: pair
        for pair in pairs.beside(images, masks, image_suffix, f"_{kind}_labelIds.png")
    }
    for pair in pairs.beside(images, masks, image_suffix, f"_{kind}_polygons.json"):
        drawn = pair.name not in found or not found[pair.name].mask.is_file()
        if drawn and pair.mask.is_file():
            draw = functools.partial(draw_polygons, pair.mask)
            found[pair.name] = dataclasses.replace(pair, draw=draw)
    return [found[name] for name in sorted(found)]


def _find(manual_dir: pathlib.Path, masks: str, official: Mapping[str, int]) -> pairs.Published:
    """The splits that have both images and masks."""
    for folder in (manual_dir, manual_dir / "cityscapes"):
        splits = {
            split: _pairs(folder / "leftImg8bit" / split, folder / masks / split)
            for split in official
        }
        if found := pairs.nonempty(splits):
            return pairs.Published(found, LABELS, official=official)
    raise FileNotFoundError(f"{manual_dir} holds no Cityscapes; the layout is: {LAYOUT}")


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The images and fine labels under `manual_dir` or its folder cityscapes.

    Raises:
      FileNotFoundError: no split there.
    """
    return _find(manual_dir, "gtFine", OFFICIAL)


def find_coarse(manual_dir: pathlib.Path) -> pairs.Published:
    """Like `find`, with the coarse labels."""
    return _find(manual_dir, "gtCoarse", OFFICIAL_COARSE)


def _objects(mask: pathlib.Path) -> Objects:
    """The objects of an instanceIds file; ids of other classes are background."""
    ids, _ = mask_file.read_mask(mask)

    def meaning(number: int) -> tuple[int, bool] | None:
        found = instance_ids.by_thousands(number)
        return found if found and found[0] in THINGS.raw_to_train else None

    return instance_ids.objects_of(ids, meaning)


def _stuff(mask: pathlib.Path) -> np.ndarray:
    """The ids of labelIds from a file of instanceIds, where 1000 c + n is object n of class c."""
    ids, _ = mask_file.read_mask(mask)
    return np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)


def find_instances(manual_dir: pathlib.Path) -> pairs.Published:
    """As `find`, with the objects of the eight classes that have instances, and the stuff.

    Raises:
      FileNotFoundError: no split was found.
    """
    for folder in (manual_dir, manual_dir / "cityscapes"):
        splits = {}
        for split in OFFICIAL:
            images, masks = folder / "leftImg8bit" / split, folder / "gtFine" / split
            found = pairs.beside(images, masks, "_leftImg8bit.png", "_gtFine_instanceIds.png")
            splits[split] = [
                dataclasses.replace(
                    pair,
                    objects=functools.partial(_objects, pair.mask),
                    stuff=functools.partial(_stuff, pair.mask),
                )
                for pair in found
            ]
        if there := pairs.nonempty(splits):
            return pairs.Published(there, THINGS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no Cityscapes; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="cityscapes",
    variants={
        "": (find, LABELS),
        "coarse": (find_coarse, LABELS),
        "instances": (find_instances, THINGS),
    },
    instances=("instances",),
    layout=LAYOUT,
    homepage="https://www.cityscapes-dataset.com/",
)
