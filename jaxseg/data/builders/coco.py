"""COCO's instances of 2017 and 2014: 80 categories of things (Lin et al., 1405.0312).

Categories have ids from 1 to 90, of which 80 are used; class k is the k-th of them. Crowds (regions
of many objects that are not annotated one by one) are kept for evaluation; training leaves them
out. Areas and boxes are the published ones, and masks are drawn from the published regions by
COCO's own code. Images without objects are kept, because evaluation counts detections in them.

`train` and `val` of 2017 are the trainval35k and minival of papers that use 2014.

Classes and layout: cocodataset.org. Licence: images by Flickr's terms, annotations CC BY 4.0. Size:
20 GB, of 2014 also; prepared as much (estimates).
"""

import functools
import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import coco_json

LAYOUT = (
    "{train2017,val2017}/NAME.jpg (or below images), "
    "annotations/instances_{train2017,val2017}.json; of coco/2014 with 2014 for 2017"
)
OFFICIAL = {
    "2017": {"train": 118287, "val": 5000},
    "2014": {"train": 82783, "val": 40504},
}
# In the order of the ids; a number is the id of the next category where ids are skipped.
_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
13, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra,
giraffe, 27, backpack, umbrella, 31, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball,
kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, 46, wine glass,
cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza,
donut, cake, chair, couch, potted plant, bed, 67, dining table, 70, toilet, 72, tv, laptop, mouse,
remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, 84, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush
"""


def _categories() -> dict[int, str]:
    """Id -> name."""
    found, number = {}, 1
    for word in _NAMES.replace("\n", " ").split(","):
        if word.strip().isdigit():
            number = int(word)
        else:
            found[number] = word.strip()
            number += 1
    return found


CATEGORIES = _categories()
LABELS = LabelSpec(
    names=tuple(CATEGORIES.values()),
    palette=voc_palette(1 + len(CATEGORIES))[1:],
    raw_to_train={number: k for k, number in enumerate(CATEGORIES)},
)


@functools.lru_cache(maxsize=2)  # `prepare` calls this twice, and it takes a minute
def _pairs(images: pathlib.Path, listed: pathlib.Path, changed: int) -> list[pairs.Pair]:
    """The images of an annotation file; `changed` is its modification time in nanoseconds."""
    content = coco_json.read(listed)
    for number, name in content.categories.items():
        if CATEGORIES.get(number) != name:
            raise ValueError(
                f"{listed}: category {number} is {name}, not {CATEGORIES.get(number, 'used')}"
            )
    found = []
    for each in content.images:
        name, image = pathlib.PurePath(each.file).stem, images / each.file
        found.append(pairs.Pair(name, image, listed, objects=each.objects))
    return found


def find(year: str, manual_dir: pathlib.Path) -> pairs.Published:
    """The files of 2017 or 2014 under `manual_dir` or its folder coco.

    Raises:
      FileNotFoundError: no split was found.
      ValueError: an annotation file is damaged.
    """
    for folder in (manual_dir, manual_dir / "coco"):
        found: dict[str, list[pairs.Pair]] = {}
        for split in OFFICIAL[year]:
            listed = folder / "annotations" / f"instances_{split}{year}.json"
            places = [each / f"{split}{year}" for each in (folder, folder / "images")]
            places = [each for each in places if each.is_dir()]
            if places and listed.is_file():
                found[split] = _pairs(places[0], listed, listed.stat().st_mtime_ns)
        if found:
            return pairs.Published(found, LABELS, official=OFFICIAL[year])
    raise FileNotFoundError(f"{manual_dir} holds no COCO {year}; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="coco",
    variants={
        "": (functools.partial(find, "2017"), LABELS),
        "2014": (functools.partial(find, "2014"), LABELS),
    },
    layout=LAYOUT,
    homepage="https://cocodataset.org/",
    instances=("", "2014"),
)
