"""What the record of a table holds under another name for a detector than for a semantic network.

A record without "metric" has the mIoU of each seed as "miou"; one of a detector names its "metric",
such as "mask AP", and has the "values".
"""

from collections.abc import Mapping
from typing import Any

MIOU = "mIoU"


def metric_of(record: Mapping[str, Any]) -> str:
    """What the table compares: mIoU, or one of COCO's numbers."""
    return record.get("metric", MIOU)


def key_of(metric: str) -> str:
    """The entry of a row that holds the metric of each seed."""
    return "miou" if metric == MIOU else "values"


def values_of(row: Mapping[str, Any]) -> list[float]:
    """The metric of each seed, between 0 and 1."""
    return row["miou"] if "miou" in row else row["values"]
