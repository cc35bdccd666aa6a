"""A class for each pixel from objects, so that a detector can be compared with a segmenter."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8

from jaxseg.ignore import IGNORE


def of_detections(
    masks: Iterable[np.ndarray], classes: Iterable[int], size: tuple[int, int]
) -> UInt8[np.ndarray, "{size[0]} {size[1]}"]:
    """The class of the best detection that covers a pixel; 0, the background, where there is none.

    So do the authors of "Panoptic segmentation" (1801.00868, section 7) and detectron2
    (modeling/meta_arch/panoptic_fpn.py, combine_semantic_and_instance_outputs) resolve overlaps.
    They also remove a segment that is hidden by better ones for the most part; here the pixels that
    are left keep its class.

    Args:
      masks: of the detections by descending score, [H, W], non-zero inside.
      classes: of each, 1 to K.
      size: (height, width) of the image.
    """
    found = np.zeros(size, np.uint8)
    for mask, kind in zip(masks, classes, strict=True):
        found[(mask != 0) & (found == 0)] = kind
    return found


def of_truth(
    masks: Iterable[np.ndarray], classes: Iterable[int], size: tuple[int, int]
) -> UInt8[np.ndarray, "{size[0]} {size[1]}"]:
    """The class of the annotated objects that cover a pixel; 0, the background, without any.

    Pixels where objects of different classes overlap are void, since annotations do not say which
    is in front. torchvision's reference (references/segmentation/coco_utils.py), which makes
    PASCAL VOC's labels of COCO's objects, does so too, even for objects of one class.

    Args:
      masks: of the objects and crowds in any order, [H, W], non-zero inside.
      classes: of each, 1 to K.
      size: (height, width) of the image.
    """
    found = np.zeros(size, np.uint8)
    for mask, kind in zip(masks, classes, strict=True):
        inside = mask != 0
        under = found[inside]
        found[inside] = np.where((under == 0) | (under == kind), kind, IGNORE)
    return found
