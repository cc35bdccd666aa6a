"""The table of docs/results.md, from the records in experiments/results.

    python -m experiments.readme_tables.run_table

writes a line for each evaluation of each record that `collect` wrote, and the range of the
quick start's runs (quickstart_runs.json) into README.md.
"""

import json
import pathlib
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.readme_tables import page
from experiments.readme_tables.models import DATA
from experiments.readme_tables.page import RESULTS
from jaxseg.percent import interval as interval_text
from jaxseg.percent import percent
from jaxseg.reporting import tables

EXPECTED = {  # (record, evaluation) -> expected mIoU in percent, as in the experiment's docstring
    ("google_deeplab_v3_voc", "val_os16_513x513"): "about 70.2, of all 1449 images",
    ("quickstart", "val"): "at least 70",
    ("deeplab_v3_plus_camvid", "val_360x480"): "above 49.8",
}
_WORDS = {  # a part of a tag and its meaning
    r"os(\d+)": r"output stride \1",
    r"(\d+)x(\d+)": r"\1 x \2",
    r"turn(\d+)": r"\1 rotations",
    r"by-logits": "logits of both sides added",
    r"by-exp": "exp of the logits of both sides",
    r"by-max": "highest of all views",
    r"long(\d+)": r"long side \1",
    r"short(\d+)": r"short side at least \1",
    r"slide(\d+)x(\d+)-([\d.]+)": r"crops of \1 x \2, stride \3",
    r"margin(\d+)": r"margins of \1",
    r"mirror": "mirrored borders",
    r"crf-(.+)": r"CRF \1",
    r"first(\d+)": r"the first \1 images",
}
_HEADS = (
    *("run", "data", "start", "runs", "steps x batch", "minutes", "protocol", "mIoU", "expected"),
)
_RIGHT = {"steps x batch", "minutes", "mIoU"}


def records(results: pathlib.Path = RESULTS) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each record of a run, excluding records of benchmarks."""
    for path in sorted(results.glob("[!.]*.json")):
        record = json.loads(path.read_text())
        if "evaluations" in record:
            yield path.stem, record


def protocol(tag: str) -> str:
    """The tag of an evaluation in words: "output stride 8, scales ..." for "val_os8_..."."""
    words = []
    for part in tag.split("_")[1:]:
        if scales := re.fullmatch(r"ms([\d.-]+)", part):
            least, *others = scales[1].split("-")
            several = f"{len(others) + 1} scales of {least} to {others[-1]}" if others else ""
            words.append(several or f"scale {least}")
            continue
        found = ((re.fullmatch(pattern, part), text) for pattern, text in _WORDS.items())
        told = [match.expand(text) for match, text in found if match]
        words.append(told[0] if told else part)
    return ", ".join(words) or "whole image"


def _start(record: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    if evaluation["weights"]:
        return evaluation["weights"]
    given = re.search(r"init_from=(\S+)", record["environment"]["command"])
    return given[1].rpartition("/")[2] if given else "random"


def runs(record: Mapping[str, Any]) -> str:
    """The number of runs behind a record, and the seed: "1, seed 0"."""
    seed = "" if record["seed"] is None else f", seed {record['seed']}"
    return f"{record['runs']}{seed}"


def _miou(metrics: Mapping[str, Any]) -> str:
    """The mIoU in percent, with its 95 % interval over images if the record has one."""
    interval = interval_text(metrics.get("miou_interval"))
    return f"{percent(metrics['miou'])} {interval}".rstrip()


def _cells(name: str, record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    training = record.get("training")
    for tag, evaluation in record["evaluations"].items():
        split = f"{DATA.get(record['data'], record['data'])} {evaluation['split']}"
        yield (
            name,
            f"{split}, {evaluation['images']} images",
            _start(record, evaluation),
            runs(record) if training else "published weights",
            f"{training['steps']:,} x {training['batch_size']}" if training else "",
            f"{training['seconds'] / 60:.1f}" if training else "",
            protocol(tag),
            _miou(evaluation["metrics"]),
            EXPECTED.get((name, tag), ""),
        )


def table(results: pathlib.Path = RESULTS) -> str:
    """The table in Markdown, data set by data set.

    Args:
      results: the folder of the records.
    """
    found = sorted(records(results), key=lambda named: (named[1]["data"], named[0]))
    rows = [cells for named in found for cells in _cells(*named)]
    return tables.markdown(_HEADS, rows, left=set(_HEADS) - _RIGHT)


def quickstart(results: pathlib.Path = RESULTS) -> str:
    """The quick start's mIoU in a sentence: the range over its runs, and their number."""
    found = json.loads((results / "quickstart_runs.json").read_text())["runs"]
    scores = [run["miou"] for run in found]
    zero = sum(run["seed"] == 0 for run in found)
    return textwrap.fill(
        f"Its mIoU on the validation images was {percent(min(scores), 0)} to "
        f"{percent(max(scores), 0)} % in {len(scores)} runs ({zero} with seed 0, each with the "
        "code as it was at the time, "
        "on CPUs). The result of such a short training varies by several points with the "
        "seed, the code and the rounding of sums, which differs between processors.",
        100,
    )


def main() -> int:
    """The command line."""
    page.write("docs/results.md", "runs", table())
    page.write("README.md", "quickstart", quickstart())
    return 0


if __name__ == "__main__":
    sys.exit(main())
