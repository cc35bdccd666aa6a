"""The README's tables of protocols, from the records of `experiments.studies.protocol_comparison`.

python -m experiments.readme_tables.protocol_table
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from experiments.readme_tables import page
from experiments.readme_tables.page import RESULTS
from jaxseg.percent import interval, percent
from jaxseg.reporting import tables

TABLES = ("voc", "camvid")  # experiments/results/protocols_NAME.json


def markdown(record: Mapping[str, Any]) -> str:
    """The table: mIoU and the gain over the first line, with intervals, and the cost."""
    heads = ("protocol", "mIoU", "gain over the first", "seconds an image (of processors)")
    rows: list[tuple[str, ...]] = []
    for name, line in record["lines"].items():
        gain, *ends = line["gain"]
        change = f"{percent(gain, sign='+')} {interval(ends, 2, '+')}" if rows else ""
        if line["verdict"] == "not distinguishable":
            change += ", not distinguishable"
        cost = f"{line['seconds']:.2f}"
        if line["cpu_seconds"]:
            cost += f" ({line['cpu_seconds'] / line['images']:.2f})"
        miou = f"{percent(line['miou'])} {interval(line['miou_interval'])}"
        rows.append((name, miou, change if rows else "", cost))
    return tables.markdown(heads, rows, left=heads[:1])


def boundaries(record: Mapping[str, Any]) -> str:
    """The metrics of each class near its boundaries, for the first line with distances; or ""."""
    suites = ((name, line.get("boundary", {})) for name, line in record["lines"].items())
    found = next((both for both in suites if "hausdorff_95" in both[1]), None)
    if found is None:
        return ""
    name, suite = found
    at = suite["boundary_f"]["tolerances"].index(0.0075)
    heads = (name, "boundary IoU", "boundary F, 0.75 %", "Hausdorff 95, pixels")
    rows = []
    for title, own in suite["boundary_iou"]["classes"].items():
        f, far = suite["boundary_f"]["classes"][title][at], suite["hausdorff_95"]["classes"][title]
        rows.append((title, *(percent(share, missing="") for share in (own, f)), _pixels(far)))
    means = suite["boundary_iou"]["mean"], suite["boundary_f"]["mean"][at]
    far = _pixels(suite["hausdorff_95"]["mean"])
    rows.append(("mean", *(percent(share, missing="") for share in means), far))
    return tables.markdown(heads, rows, left=heads[:1])


def _pixels(distance: float | None) -> str:
    return "" if distance is None else f"{distance:.1f}"


def block(record: Mapping[str, Any]) -> str:
    """The block of the page for one record."""
    return "\n\n".join(filter(None, (trained(record), markdown(record), boundaries(record))))


def trained(record: Mapping[str, Any]) -> str:
    """A sentence on the number of trainings behind the numbers."""
    if record["seed"] is None:
        return "All lines are of one network, whose weights were published."
    return f"All lines are of one training (seed {record['seed']}); no other seed was run."


def main() -> int:
    """Writes all tables between their marks; see `block`."""
    for table in TABLES:
        record = json.loads((RESULTS / f"protocols_{table}.json").read_text())
        page.write("docs/protocols.md", f"protocols {table}", block(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
