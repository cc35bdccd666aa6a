"""The README's tables of protocols, from the records of `experiments.studies.protocol_comparison`.

python -m experiments.readme_tables.protocol_table
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from experiments.readme_tables import page
from experiments.readme_tables.page import RESULTS

TABLES = ("voc", "camvid")  # experiments/results/protocols_NAME.json


def markdown(record: Mapping[str, Any]) -> str:
    """The table: mIoU with its interval, the gain over the first line with its own, the cost."""
    rows = [
        "| protocol | mIoU | gain over the first | seconds an image (of processors) |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, line in record["lines"].items():
        low, high = (100 * value for value in line["miou_interval"])
        gain, least, most = (100 * value for value in line["gain"])
        change = f"{gain:+.2f} [{least:+.2f}, {most:+.2f}]"
        if line["verdict"] == "not distinguishable":
            change += ", not distinguishable"
        cost = f"{line['seconds']:.2f}"
        if line["cpu_seconds"]:
            cost += f" ({line['cpu_seconds'] / line['images']:.2f})"
        if name == next(iter(record["lines"])):
            change = ""
        rows.append(
            f"| {name} | {100 * line['miou']:.2f} [{low:.1f}, {high:.1f}] | {change} | {cost} |"
        )
    return "\n".join(rows)


def boundaries(record: Mapping[str, Any]) -> str:
    """Of the first line with distances: each class near its boundaries; "" where none has them."""
    suites = ((name, line.get("boundary", {})) for name, line in record["lines"].items())
    found = next((both for both in suites if "hausdorff_95" in both[1]), None)
    if found is None:
        return ""
    name, suite = found
    at = suite["boundary_f"]["tolerances"].index(0.0075)
    rows = [
        f"| {name} | boundary IoU | boundary F, 0.75 % | Hausdorff 95, pixels |",
        "| --- | ---: | ---: | ---: |",
    ]
    for title, own in suite["boundary_iou"]["classes"].items():
        f, far = suite["boundary_f"]["classes"][title][at], suite["hausdorff_95"]["classes"][title]
        rows.append(f"| {title} | {_cell(own)} | {_cell(f)} | {_cell(far, 1, 1)} |")
    means = suite["boundary_iou"]["mean"], suite["boundary_f"]["mean"][at]
    far = suite["hausdorff_95"]["mean"]
    rows.append(f"| mean | {_cell(means[0])} | {_cell(means[1])} | {_cell(far, 1, 1)} |")
    return "\n".join(rows)


def _cell(value: float | None, factor: int = 100, digits: int = 2) -> str:
    return "" if value is None else f"{factor * value:.{digits}f}"


def block(record: Mapping[str, Any]) -> str:
    """What the page has of one record."""
    return "\n\n".join(filter(None, (trained(record), markdown(record), boundaries(record))))


def trained(record: Mapping[str, Any]) -> str:
    """From how many trainings the numbers are."""
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
