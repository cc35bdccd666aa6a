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
LEVEL = 0.95  # confidence level of the interval of mIoU over images


def same_as_miou(*means: Mapping[str, Any]) -> list[str]:
    """Returns the rules for absent classes whose mean equals mIoU in every one of `means`.

    They agree if no class is absent; a table then needs to show only one of them.
    """
    others = ("miou_truth", "miou_zero", "miou_one")
    return [name for name in others if means and all(m.get(name) == m["miou"] for m in means)]
