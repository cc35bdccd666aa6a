"""Classes of stuff: the pixels of an instance set that belong to no object.

`LabelSpec.stuff` has "things", for all objects together, and then the classes of stuff, so that its
train ids are what the semantic branch of a panoptic network learns. A prepared example holds them
as a PNG of raw ids. shapes/instances needs none: all pixels outside its objects are background.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as rle

from jaxseg.data import builders, records
from jaxseg.data.instances import Objects
from jaxseg.data.labels import LabelSpec


def with_background(labels: LabelSpec, name: str) -> LabelSpec:
    """The classes with "background" as the only one of stuff, for a set in `BACKGROUND`."""
    if name not in builders.BACKGROUND:
        return labels
    raw = builders.BACKGROUND[name]
    stuff = LabelSpec(("things", "background"), ((255, 255, 255), (0, 0, 0)), {0: 0, raw: 1})
    return dataclasses.replace(labels, stuff=stuff)


def classes_of_pixels(
    example: Mapping[str, Any], objects: Objects, labels: LabelSpec, where: str
) -> np.ndarray:
    """uint8 [H, W]: 0 for things, 1, 2, ... in the order of `labels.stuff`, or `IGNORE`.

    Args:
      example: of `Source.encoded`.
      objects: its objects.
      labels: the classes of the set.
      where: the name of the example, for messages.

    Raises:
      ValueError: the set has no classes of stuff, or the example's cannot be read.
    """
    if labels.stuff is None:
        raise ValueError(f"{where}: the set has no classes of stuff")
    if "stuff" in example:
        return labels.stuff.encode(records.decode_label(example["stuff"], where), where)
    if not len(objects):
        return np.ones(objects.size, np.uint8)
    union = rle.merge([objects.encoded(i) for i in range(len(objects))])
    return np.ascontiguousarray(1 - rle.decode(union))
