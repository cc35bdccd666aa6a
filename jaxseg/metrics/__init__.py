"""Metrics: pure functions of counts. The confusion matrix of a whole set comes first."""

from jaxseg.metrics.confusion import (
    Summary,
    class_counts,
    class_iou,
    confusion_matrix,
    mean_iou,
    summarize,
)

__all__ = [
    "Summary",
    "class_counts",
    "class_iou",
    "confusion_matrix",
    "mean_iou",
    "summarize",
]
