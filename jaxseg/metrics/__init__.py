"""Metrics: pure functions of labels, predictions and counts."""

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
