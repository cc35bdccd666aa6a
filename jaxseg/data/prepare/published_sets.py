"""Every set that is prepared from published files, by name."""

from jaxseg.data.builders import (
    ade20k,
    camvid,
    camvid32,
    cityscapes,
    coco_stuff,
    coco_voc,
    drive,
    isbi_em,
    oxford_iiit_pet,
    pascal_context,
    shapes,
    sun_rgbd,
    voc2011,
    voc2012,
)
from jaxseg.data.labels import LabelSpec

SETS = {
    module.SET.kind: module.SET
    for module in (
        ade20k,
        camvid,
        camvid32,
        cityscapes,
        coco_stuff,
        coco_voc,
        drive,
        isbi_em,
        oxford_iiit_pet,
        pascal_context,
        sun_rgbd,
        voc2011,
        voc2012,
    )
}


def fixed_labels(name: str) -> LabelSpec | None:
    """The classes of a set whose name alone decides them; None of one's own sets, and unknown ones.

    Args:
      name: of the set: "voc2012", "cityscapes/coarse", "shapes/thin".
    """
    kind, _, own = name.partition("/")
    if kind == "shapes":
        return shapes.LABELS
    if kind in SETS and own in SETS[kind].variants:
        return SETS[kind].variants[own][1]
    return None
