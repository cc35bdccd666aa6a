"""The tables of networks, from the networks themselves and from recorded measurements.

    python -m experiments.readme_tables.models [NETWORK ...]

traces each network of `model_rows` (half a minute), or only the named ones, and writes
experiments/results/models.json, the table of docs/models.md and the short one of README.md. Nothing
is computed, no weight is read.
"""

import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.readme_tables import page
from experiments.readme_tables.model_rows import Row, rows
from experiments.readme_tables.page import RESULTS, ROOT
from jaxseg import whole_file
from jaxseg.inspection import summary
from jaxseg.percent import percent
from jaxseg.reporting import tables

CACHE = RESULTS / "models.json"
SIZE = (513, 513)  # of the image for which multiply-adds are counted
DATA = {"shapes": "Shapes", "camvid": "CamVid", "voc2012": "VOC", "isbi_em": "ISBI EM"}

_HEADS = (
    *("network", "paper", "there", "parameters", "G multiply-adds", "output stride"),
    *("receptive field", "weights", "mIoU measured; recipe"),
)
_RIGHT = {"parameters", "G multiply-adds", "output stride", "receptive field"}


def measure(row: Row) -> dict[str, Any]:
    """The facts of a network for the table, from its trace for one image of SIZE.

    Returns:
      "parameters"; "multiply_adds"; "output_stride", of the encoder's last map; "field", the
      receptive field of the scores in pixels (None: only the image as a whole); and "whole",
      whether the scores depend on the image as a whole.

    Raises:
      ValueError: the number of parameters or the field differs from the published one.
    """
    found = summary.summarize(row.model, SIZE)
    scores = [layer for layer in found.layers if layer.path == row.scores]
    before = found.layers[: found.layers.index(scores[0]) + 1]
    trunk = [layer for layer in before if layer.path.startswith("backbone")] or before
    fields = [layer.field for layer in scores if layer.field is not None]
    measured = {
        "parameters": found.parameters,
        "multiply_adds": found.multiply_adds,
        "output_stride": int(max(layer.stride for layer in trunk if layer.stride is not None)),
        "field": max(fields, default=None),
        "whole": any(layer.whole for layer in scores),
    }
    for name, published in (("parameters", row.published), ("field", row.field)):
        if published is not None and measured[name] != published:
            raise ValueError(f"{row.network}: {name} {measured[name]}, published is {published}")
    return measured


def _field(measured: Mapping[str, Any]) -> str:
    if measured["field"] is None:
        return "image"
    return f"{measured['field']}{' + image' if measured['whole'] else ''}"


def _result(name: str, results: pathlib.Path) -> str:
    """The mIoU of a recorded run by its best single-scale protocol: "CamVid 55.8", or ""."""
    path = results / f"{name}.json"
    if not path.exists():
        return ""
    record = json.loads(path.read_text())
    scores = [
        evaluation["metrics"]["miou"]
        for tag, evaluation in record["evaluations"].items()
        if not re.search(r"_ms[\d.]+-|_flip", tag)  # "ms0.5" is one scale, "ms0.5-1" are two
    ]
    data = DATA.get(record["data"], record["data"])
    size = {"full": " at full size", "300": " after 300 steps"}.get(name.rsplit("_", 1)[-1], "")
    return f"{data}{size} {percent(max(scores), 1)}"


def _state(row: Row, results: pathlib.Path) -> str:
    parts = [_result(name, results) for name in row.runs]
    if (ROOT / "experiments" / f"{row.recipe}.py").exists():
        parts.append(f"`{row.recipe}`")
    return "; ".join(part for part in parts if part)


def _cells(row: Row, measured: Mapping[str, Any], results: pathlib.Path) -> tuple[str, ...]:
    parameters = f"{measured['parameters']:,}"
    return (
        row.network,
        f"[{row.paper}](https://arxiv.org/abs/{row.paper})" if row.paper else "",
        row.where,
        parameters if row.published is None else f"**{parameters}**",
        f"{measured['multiply_adds'] / 1e9:.1f}",
        str(measured["output_stride"]),
        _field(measured),
        row.weights,
        _state(row, results),
    )


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return tables.markdown(heads, lines, left=set(heads) - _RIGHT)


def table(measured: Mapping[str, Mapping[str, Any]], results: pathlib.Path = RESULTS) -> str:
    """The table of all networks in Markdown.

    Args:
      measured: network -> `measure` of its row.
      results: the folder of the runs' records.
    """
    return _markdown(_HEADS, [_cells(row, measured[row.network], results) for row in rows()])


def short_table(measured: Mapping[str, Mapping[str, Any]], results: pathlib.Path = RESULTS) -> str:
    """The README table: from each model file the first network with runs, or else the first one."""
    heads = ("network", "paper", "parameters", "receptive field", "weights", "mIoU")
    by_file: dict[str, list[Row]] = {}
    for row in rows():
        by_file.setdefault(type(row.model).__module__, []).append(row)
    lines = []
    for own in by_file.values():
        row = next((row for row in own if row.runs), own[0])
        network, paper, _, parameters, _, _, field, weights, _ = _cells(
            row, measured[row.network], results
        )
        result = next(filter(None, (_result(name, results) for name in row.runs)), "")
        lines.append((network, paper, parameters, field, weights, result))
    return _markdown(heads, lines)


def main(arguments: Sequence[str]) -> int:
    """The command line; its arguments are the networks to trace, by default all."""
    before = json.loads(CACHE.read_text())["networks"] if arguments else {}
    measured = {}
    for row in rows():
        if row.network in before and row.network not in arguments:
            measured[row.network] = before[row.network]
        else:
            measured[row.network] = measure(row)
            print(row.network, file=sys.stderr)
    whole_file.write_text(CACHE, json.dumps({"size": SIZE, "networks": measured}, indent=1) + "\n")
    page.write("docs/models.md", "models", table(measured))
    page.write("README.md", "models", short_table(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
