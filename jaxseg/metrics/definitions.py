"""The metrics of an evaluation: their names and definitions."""

from collections.abc import Mapping
from typing import Any

MEANS = {  # fields of `confusion.Summary`: name and definition
    "miou": (
        "mIoU",
        "mean over the classes of IoU = hits / (truth + predicted - hits), in pixels; a class in "
        "neither truth nor prediction is left out, a class that is only predicted counts as 0",
    ),
    "pixel_accuracy": ("pixel accuracy", "share of correctly classified pixels"),
    "mean_accuracy": ("mean accuracy", "mean over the classes of the truth of hits / truth"),
    "fwiou": ("frequency-weighted IoU", "mean of IoU weighted by the class's share of the truth"),
    "mean_dice": (
        "mean Dice",
        "mean over the classes of Dice = 2 hits / (truth + predicted), which is the F1 of pixels; "
        "classes are left out as in mIoU",
    ),
    "kappa": (
        "Cohen's kappa",
        "(a - e) / (1 - e), where a is the pixel accuracy and e the accuracy expected by chance",
    ),
    "miou_truth": (
        "mIoU of the truth's classes",
        "mIoU over the classes of the truth alone: a class that is only predicted is left out",
    ),
    "miou_zero": ("mIoU, absent as 0", "mIoU over all classes: a class in neither counts as 0"),
    "miou_one": ("mIoU, absent as 1", "mIoU over all classes: a class in neither counts as 1"),
}
PROBABILITIES = {  # of `evaluation.calibration`, computed on request
    "calibration_error": (
        "calibration error",
        "mean over pixels of |accuracy - mean confidence| of the pixel's confidence bin, of 15 "
        "bins",
    ),
    "roc_auc": (
        "area under the ROC curve",
        "probability that a pixel of the second class scores above one of the first",
    ),
}
DETECTION_KINDS = {"bbox": "boxes", "segm": "masks"}  # of COCO: what overlaps are measured of
DETECTION = {  # COCO's numbers of a detector: definition
    "AP": "average precision: the mean over IoU thresholds of .50, .55, ... .95 and over the "
    "classes of the precision at 101 recalls, with at most 100 detections per image and class; a "
    "class without an object is left out",
    "AP50": "AP at an IoU threshold of .50 alone",
    "AP75": "AP at an IoU threshold of .75 alone",
    "APs": "AP of objects below 32 x 32 pixels in area",
    "APm": "AP of objects from 32 x 32 to 96 x 96 pixels in area",
    "APl": "AP of objects above 96 x 96 pixels in area",
    "AR1": "average recall: the mean over the thresholds and classes of the share of the objects "
    "that are found, with the best detection of each image and class alone",
    "AR10": "AR with at most 10 detections per image and class",
    "AR100": "AR with at most 100 detections per image and class",
    "ARs": "AR100 of objects below 32 x 32 pixels in area",
    "ARm": "AR100 of objects from 32 x 32 to 96 x 96 pixels in area",
    "ARl": "AR100 of objects above 96 x 96 pixels in area",
}
_SIZES = {
    "": "",
    "s": " of objects below 32 x 32 pixels in area",
    "m": " of objects from 32 x 32 to 96 x 96 pixels in area",
    "l": " of objects above 96 x 96 pixels in area",
}
PROPOSALS = {  # COCO's numbers of a network of proposals, whose objects have no class: definition
    "AR@1": "average recall: the mean over IoU thresholds of .50, .55, ... .95 of the share of the "
    "objects that are found, whatever their class, with the best proposal of each image alone",
    **{f"AR{size}@1": f"AR@1{of}" for size, of in _SIZES.items() if size},
    **{
        f"AR{size}@{limit}": f"AR with at most {limit:,} proposals per image"
        if not size
        else f"AR@{limit}{of}"
        for limit in (100, 1000)
        for size, of in _SIZES.items()
    },
}
_QUALITIES = {
    "PQ": "panoptic quality: the mean over the classes of SQ x RQ of segments that do not overlap, "
    "for which detections of a score of .50 or more are merged; a class in neither truth nor "
    "prediction is left out",
    "SQ": "segmentation quality: the mean over the classes of the mean IoU of matched segments, "
    "those whose IoU is above .50",
    "RQ": "recognition quality: the mean over the classes of the F1 of segments",
}
PANOPTIC_GROUPS = ("", "things", "stuff")  # of classes; the first are all of them
PANOPTIC = {  # numbers of `metrics.panoptic`: definition
    **_QUALITIES,
    **{f"{name} things": f"{what}; over things alone" for name, what in _QUALITIES.items()},
    **{f"{name} stuff": f"{name} over stuff alone" for name in _QUALITIES},
}
LEVEL = 0.95  # confidence level of an interval over images


def same_as_miou(*means: Mapping[str, Any]) -> list[str]:
    """Returns the rules for absent classes whose mean equals mIoU in every one of `means`.

    They agree if no class is absent; a table then needs to show only one of them.
    """
    others = ("miou_truth", "miou_zero", "miou_one")
    return [name for name in others if means and all(m.get(name) == m["miou"] for m in means)]
