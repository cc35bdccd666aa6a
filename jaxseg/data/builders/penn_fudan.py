"""Penn-Fudan pedestrians: 170 street images with 423 persons, each with a mask (Wang et al., 2007).

There is no official split. In the order of names, every fifth image is in `val` and the others are
in `train`; `trainval` holds all. Boxes are those of the masks, because the published ones in
Annotation start at 1 and lack the persons that were labelled later.

Layout and terms: the set's readme.txt. Licence: the authors keep their rights; for research, not to
be redistributed without their permission. Size: 50 MB; prepared 50 MB.
"""

import functools
import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.instances import Objects
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import instance_ids, mask_file

LAYOUT = "PennFudanPed/PNGImages/NAME.png, PennFudanPed/PedMasks/NAME_mask.png"
OFFICIAL = {"train": 136, "val": 34, "trainval": 170}
EVERY = 5
LABELS = LabelSpec(names=("person",), palette=((192, 128, 128),), raw_to_train={1: 0})


def _objects(mask: pathlib.Path) -> Objects:
    ids, _ = mask_file.read_mask(mask)
    return instance_ids.objects_of(ids, instance_ids.one_class)


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir`: PennFudanPed, or the folder that contains it.

    Raises:
      FileNotFoundError: there are none.
    """
    for folder in (manual_dir, manual_dir / "PennFudanPed"):
        images, masks = folder / "PNGImages", folder / "PedMasks"
        found = [
            pairs.Pair(
                pair.name, pair.image, pair.mask, objects=functools.partial(_objects, pair.mask)
            )
            for pair in pairs.beside(images, masks, ".png", "_mask.png")
        ]
        if found:
            val = found[EVERY - 1 :: EVERY]
            train = [pair for pair in found if pair not in val]
            splits = {"train": train, "val": val, "trainval": found}
            return pairs.Published(pairs.nonempty(splits), LABELS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no Penn-Fudan set; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="penn_fudan",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="https://www.cis.upenn.edu/~jshi/ped_html/",
    instances=("",),
)
