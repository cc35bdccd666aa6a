"""The table of an ablation as markdown, LaTeX, CSV and HTML, and as a plot."""

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import tabulate
from matplotlib.figure import Figure

from experiments.ablation.recorded import MIOU, key_of, metric_of, values_of
from jaxseg import whole_file
from jaxseg.percent import interval, percent
from jaxseg.workdir import escape
from jaxseg.workdir.log import write_json

_HEADS = (
    "row",
    MIOU,  # or the metric of the table
    "over seeds",
    "gain",
    "over images",
    "over seeds ",
    "paper",
    "paper's gain",
    "parameters, M",
    "multiply-adds, G",
    "training memory, MB",
    "images/s",
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ record.title }}</title><style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
td, th { padding: .3rem .7rem; border-bottom: 1px solid #8885; white-space: nowrap }
img { max-width: 100%; background: white }
</style></head><body><h1>{{ record.title }}</h1>
<p>{{ record.size }}, {{ record.seeds | length }} seeds. {{ record.agreement }}</p>
{{ table | safe }}
<p>{{ note }}</p>{% for line in missing %}<p><strong>{{ line }}</strong></p>{% endfor %}
<img src="table.png" alt="{{ metric }} of each row">
<h2>Why</h2><p>{{ record.cause }}</p><h2>The paper's values</h2><p>{{ record.source }}</p>
<h2>Rows</h2>{{ changes | safe }}<h2>Command</h2><pre>{{ record.environment.command }}</pre>
</body></html>
"""


def cells(record: Mapping[str, Any]) -> list[list[str]]:
    """The table: one list per row, with text for each of `_HEADS`; "" for an empty cell."""
    rows = record["rows"]
    lines = []
    for row in rows:
        paper = row["paper"]
        first = rows[0]["paper"]
        own = paper is not None and first is not None and row is not rows[0]
        lines.append(
            [
                row["name"],
                percent(row.get("mean"), missing="") + _fewer(row, record),
                interval(row.get("interval")),
                percent(row.get("gain"), sign="+", missing=""),
                interval(row.get("gain_over_images"), sign="+"),
                interval(row.get("gain_over_seeds"), sign="+"),
                "" if paper is None else f"{paper:.2f}",
                f"{paper - first:+.2f}" if own else "",
                _scaled(row.get("parameters"), 1e6),
                _scaled(row.get("multiply_adds"), 1e9),
                _scaled(row.get("memory"), 1e6),
                _scaled(row.get("images_per_second"), 1),
            ]
        )
    return lines


def _scaled(value: float | None, unit: float) -> str:
    return "" if value is None else f"{value / unit:.3g}"


def _fewer(row: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    done, wanted = len(row["seeds"]), len(record["seeds"])
    if done == wanted:
        return ""
    text = f"({done} of {wanted} seeds)"
    return f" {text}" if done else text


def note(record: Mapping[str, Any]) -> str:
    """A description of the columns."""
    metric, ways = metric_of(record), "Welch's 95 % interval over seeds"
    if metric == MIOU:
        metric = "mIoU of the classes in the truth"
        ways = "the 95 % interval of a paired bootstrap over images and Welch's over seeds"
    return (
        f"{metric} in percent, "
        f"mean of {len(record['seeds'])} seeds with its 95 % t-interval; gain "
        f"over the first row with {ways}; multiply-adds of one image as evaluated; images a second "
        "of training, as it ran beside others."
    )


def missing(record: Mapping[str, Any]) -> list[str]:
    """What is missing from the table, one line each."""
    lines = []
    if record["unfinished"]:
        lines.append(f"Not finished: {', '.join(record['unfinished'])}.")
    if record["stale"]:
        lines.append(f"Of other code, data or settings, not shown: {', '.join(record['stale'])}.")
    return lines


def _columns(lines: Sequence[Sequence[str]]) -> list[int]:
    """The columns that are not empty."""
    return [k for k in range(len(_HEADS)) if any(line[k] for line in lines)]


def short(record: Mapping[str, Any]) -> str:
    """The table as markdown without the columns of memory and speed."""
    return _tabulated(record, "pipe", leave_out=("training memory, MB", "images/s"))


def _tabulated(record: Mapping[str, Any], style: str, leave_out: Sequence[str] = ()) -> str:
    lines = cells(record)
    kept = [k for k in _columns(lines) if _HEADS[k] not in leave_out]
    heads = [metric_of(record) if _HEADS[k] == MIOU else _HEADS[k].strip() for k in kept]
    align = ["left", *["right"] * (len(kept) - 1)]
    written = escape.markdown if style == "pipe" else escape.plain  # tabulate does the rest
    body = [[written(line[k]) for k in kept] for line in lines]
    return tabulate.tabulate(
        body, heads, tablefmt=style, colalign=align, disable_numparse=True, missingval=""
    )


def markdown(record: Mapping[str, Any]) -> str:
    """Title, table, description of the columns, and the sentence on agreement."""
    parts = [
        f"**{escape.markdown(record['title'])}** ({record['size']})",
        _tabulated(record, "pipe"),
        record["agreement"],
        note(record),
        *map(escape.markdown, missing(record)),
    ]
    return "\n\n".join(parts)


def latex(record: Mapping[str, Any]) -> str:
    """A tabular with booktabs rules; the description of the columns as comments."""
    comments = [record["title"], record["agreement"], note(record), *missing(record)]
    return (
        "".join(f"% {escape.plain(line)}\n" for line in comments)
        + _tabulated(record, "latex_booktabs")
        + "\n"
    )


def comma_separated(record: Mapping[str, Any]) -> str:
    """One line for each row and seed: the input of any further statistics."""
    file, metric = io.StringIO(), metric_of(record)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            "ablation",
            "size",
            "row",
            "seed",
            key_of(metric) if metric == MIOU else metric,
            "paper",
            "parameters",
            "multiply_adds",
            "memory",
            "images_per_second",
        ]
    )
    for row in record["rows"]:
        costs = [row.get(name) for name in ("parameters", "multiply_adds", "memory")]
        for seed, value in zip(row["seeds"], values_of(row), strict=True):
            own = [record["ablation"], record["size"], row["name"], seed, value, row["paper"]]
            writer.writerow(escape.csv_row([*own, *costs, row["images_per_second"]]))
    return file.getvalue()


def html(record: Mapping[str, Any]) -> str:
    """A self-contained page, apart from table.png next to it."""
    changes = [
        [row["name"], ", ".join(f"{path}={value}" for path, value in row["change"].items())]
        for row in record["rows"]
    ]
    page = jinja2.Environment(autoescape=True).from_string(_PAGE)
    return page.render(
        record=record,
        metric=metric_of(record),
        table=_tabulated(record, "html"),
        note=note(record),
        missing=missing(record),
        changes=tabulate.tabulate(changes, ["row", "change"], tablefmt="html"),
    )


def plot(record: Mapping[str, Any]) -> Figure:
    """Plots the metric of each seed, the mean with its interval, and the paper's values."""
    rows, metric = record["rows"], metric_of(record)
    figure = Figure(figsize=(8, 1.2 + 0.38 * len(rows)), layout="constrained")
    own, paper = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, row in enumerate(rows):
        values = [100 * value for value in values_of(row)]
        own.plot(values, [place] * len(values), "o", c="C0", alpha=0.5)
        if "mean" in row:
            low, high = row["interval"] or (row["mean"], row["mean"])
            own.plot([100 * low, 100 * high], [place, place], "-", c="C0", lw=2)
            own.plot(100 * row["mean"], place, "|", c="C0", ms=14, mew=2)
        if row["paper"] is not None:
            paper.plot(row["paper"], place, "D", c="C1")
    own.set_yticks(range(len(rows)), [row["name"] for row in rows])
    own.set_ylim(len(rows) - 0.5, -0.5)
    own.set_xlabel(f"{metric}, {record['size']}: seeds, mean, 95 %")
    paper.set_xlabel(f"{metric}, the paper")
    for axes in (own, paper):
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(record["title"], fontsize=11)
    return figure


def write(record: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Writes table.{json,md,tex,csv,html,png}."""
    folder.mkdir(parents=True, exist_ok=True)
    whole_file.sweep(folder)
    write_json(folder / "table.json", record)
    texts = {"md": markdown(record) + "\n", "tex": latex(record), "csv": comma_separated(record)}
    for suffix, text in {**texts, "html": html(record)}.items():
        whole_file.write_text(folder / f"table.{suffix}", text)
    with whole_file.writing(folder / "table.png") as file:
        plot(record).savefig(file, format="png", dpi=150)
