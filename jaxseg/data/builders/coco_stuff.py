"""COCO-Stuff (Caesar et al., arXiv 1612.03716): images of COCO, 80 thing and 91 stuff classes.

`coco_stuff` is the 164k: 118,287 images for training, 5,000 for validation; masks are the
"stuffthingmaps", which hold the number in the published list minus one, and 255 for unlabelled.
`coco_stuff/10k` is the older 10k, version 1.1: 9,000 and 1,000 images; masks are MATLAB files,
which hold the number itself, and 0 for unlabelled. Version 1.0, which has other numbers, is
refused. Eleven things in COCO's list, such as hat and door, were never annotated; they are not
classes, so there are 171.

Names and ids: github.com/nightrome/cocostuff, labels.txt and README; it says 118K and 5K images,
and the exact counts are COCO's; for 10k: github.com/nightrome/cocostuff10k, README. Colours: PASCAL
VOC's by number in the list; the authors draw theirs with a shuffle in MATLAB. Licence: images by
Flickr's terms, annotations CC BY 4.0. Size: 20 GB, 10k 2 GB; prepared as much again.
"""

import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import text_file
from jaxseg.ignore import IGNORE

LAYOUT = (
    "images/{train2017,val2017}/NAME.jpg, annotations/{train2017,val2017}/NAME.png (of "
    "stuffthingmaps_trainval2017.zip); coco_stuff/10k: images/NAME.jpg, annotations/NAME.mat, "
    "imageLists/{train,test}.txt"
)
OFFICIAL = {"train": 118287, "val": 5000}
OFFICIAL_10K = {"train": 9000, "test": 1000}
NAMES = (  # from 1; 0 is unlabelled
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire "
    "hydrant, street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, "
    "elephant, bear, zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie, "
    "suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon, "
    "bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, "
    "couch, potted plant, bed, mirror, dining table, window, desk, toilet, door, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, blender, "
    "book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush, banner, "
    "blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, "
    "ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, "
    "dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, "
    "flower, fog, food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, "
    "leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, "
    "pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, "
    "roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, "
    "straw, structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, "
    "wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, "
    "waterdrops, window-blind, window-other, wood"
)
NEVER_DRAWN = (
    "street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, hair brush"
)
NUMBERS = {
    name: number
    for number, name in enumerate(NAMES.split(", "), 1)
    if name not in NEVER_DRAWN.split(", ")
}
LABELS = LabelSpec(
    names=tuple(NUMBERS),
    palette=tuple(voc_palette(183)[number] for number in NUMBERS.values()),
    raw_to_train={**{number - 1: k for k, number in enumerate(NUMBERS.values())}, 255: IGNORE},
)
LABELS_10K = LabelSpec(
    names=LABELS.names,
    palette=LABELS.palette,
    raw_to_train={0: IGNORE, **{number: k for k, number in enumerate(NUMBERS.values())}},
)


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir` or its folder dataset.

    Raises:
      FileNotFoundError: no split there.
    """
    for folder in (manual_dir, manual_dir / "dataset"):
        splits = {
            split: pairs.beside(
                folder / "images" / f"{split}2017",
                folder / "annotations" / f"{split}2017",
                ".jpg",
                ".png",
            )
            for split in OFFICIAL
        }
        if found := pairs.nonempty(splits):
            return pairs.Published(found, LABELS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no COCO-Stuff; the layout is: {LAYOUT}")


def find_10k(manual_dir: pathlib.Path) -> pairs.Published:
    """Like `find`, for the 10k.

    Raises:
      FileNotFoundError: no list there.
    """
    for folder in (manual_dir, manual_dir / "dataset"):
        found = {}
        for split in OFFICIAL_10K:
            if (listed := folder / "imageLists" / f"{split}.txt").is_file():
                found[split] = [
                    pairs.Pair(
                        name,
                        folder / "images" / f"{name}.jpg",
                        folder / "annotations" / f"{name}.mat",
                    )
                    for name in text_file.names(listed)
                ]
        if found:
            return pairs.Published(found, LABELS_10K, official=OFFICIAL_10K)
    raise FileNotFoundError(f"{manual_dir} holds no COCO-Stuff 10k; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="coco_stuff",
    variants={"": (find, LABELS), "10k": (find_10k, LABELS_10K)},
    layout=LAYOUT,
    homepage="https://github.com/nightrome/cocostuff",
)
