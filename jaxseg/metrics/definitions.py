"""The metrics of an evaluation: their names and definitions."""

from collections.abc import Mapping
from typing import Any

MEANS = {  # of `confusion.Summary`: what it is called, what it is
    "miou": (
        "mIoU",
        "mean over the classes of IoU = hits / (truth + predicted - hits), in pixels; a class that "
        "is in neither truth nor prediction is left out, one that is only predicted counts as 0",
    ),
    "pixel_accuracy": ("pixel accuracy", "share of the pixels that are right"),
    "mean_accuracy": ("mean accuracy", "mean over the classes of the truth of hits / truth"),
    "fwiou": ("frequency-weighted IoU", "mean of IoU weighted by the class's share of the truth"),
    "mean_dice": (
        "mean Dice",
        "mean over the classes of Dice = 2 hits / (truth + predicted), which is the F1 of pixels; "
        "classes are left out as in mIoU",
    ),
    "kappa": (
        "Cohen's kappa",
        "(a - e) / (1 - e), where a is the pixel accuracy and e what chance would give",
    ),
    "miou_truth": (
        "mIoU of the truth's classes",
        "mIoU over the classes of the truth alone: one that is only predicted is left out",
    ),
    "miou_zero": ("mIoU, absent as 0", "mIoU over all classes: one that is in neither counts as 0"),
    "miou_one": ("mIoU, absent as 1", "mIoU over all classes: one that is in neither counts as 1"),
}
PROBABILITIES = {  # of `evaluation.calibration`, where they were asked for
    "calibration_error": (
        "calibration error",
        "mean over pixels of |share that is right - mean confidence| of the pixel's bin of "
        "confidence, of 15",
    ),
    "roc_auc": (
        "area under the ROC curve",
        "how often a pixel of the second class scores above one of the first",
    ),
}
LEVEL = 0.95  # of the interval of mIoU over images


def same_as_miou(*means: Mapping[str, Any]) -> list[str]:
    """Which of the other ways to count absent classes give what mIoU is, in each of these.

    They agree where no class is absent, so that one number would stand there four times.
    """
    others = ("miou_truth", "miou_zero", "miou_one")
    return [name for name in others if means and all(m.get(name) == m["miou"] for m in means)]
