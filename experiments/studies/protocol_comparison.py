"""Measures one network under the papers' protocols: numbers with intervals, and a picture.

    python -m experiments.studies.protocol_comparison --table=voc --workdir=runs/google_voc \
        --config=experiments/deeplab_v3/google_voc.py --weights=deeplabv3_257_mv_gpu.tflite
    python -m experiments.studies.protocol_comparison --table=camvid --workdir=runs/NAME

Each line is an evaluation of the run folder, run unless it exists already. The results are written
to experiments/results/protocols_TABLE.json and the trimap curves to docs/trimap_TABLE.png; then
`python -m experiments.readme_tables.protocol_table` writes docs/protocols.md. Seconds per image are
the wall and processor time of this process, including the effects of any other load.
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from absl import app, flags
from matplotlib.figure import Figure
from ml_collections import config_flags

from experiments.readme_tables import protocol_table
from experiments.readme_tables.collect import kept_environment
from experiments.readme_tables.page import RESULTS, ROOT
from jaxseg import config, evaluate, whole_file
from jaxseg.cli import command_line
from jaxseg.inference import protocols
from jaxseg.metrics import image_intervals, intervals
from jaxseg.workdir import eval_folder, log, per_image

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "An experiment file; by default the run folder's config."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "The run folder.")
_WEIGHTS = flags.DEFINE_string("weights", None, "A weight file instead of a checkpoint.")
_TABLE = flags.DEFINE_enum("table", None, ["voc", "camvid"], "Which lines.")

SIX = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
Line = tuple[str, Mapping[str, Any]]  # name, fields of Eval


def _grid(**fixed: Any) -> list[Line]:
    """All combinations of output strides, scales and flips."""
    lines: list[Line] = []
    for stride in (16, 8):
        for scales in ((1.0,), SIX):
            for flip in (False, True):
                words = [f"output stride {stride}"]
                if len(scales) > 1:
                    words.append("six scales")
                if flip:
                    words.append("flip")
                fields = {"output_stride": stride, "scales": scales, "flip": flip}
                lines.append((", ".join(words), fixed | fields))
    return lines


def _paper(name: str, words: str, **changes: Any) -> Line:
    """A protocol named after its paper, with every field."""
    fields = dataclasses.asdict(dataclasses.replace(protocols.PROTOCOLS[name], **changes))
    for field in ("batch_size", "use_ema", "examples", "boundary", "hausdorff"):
        del fields[field]
    return words, fields


_513 = {"size": (513, 513)}
_CRF = {"crf": "deeplab_v2", "boundary": True}
TABLES: dict[str, list[Line]] = {
    "voc": [
        *_grid(**_513),
        ("output stride 16, CRF", {**_513, "output_stride": 16, **_CRF}),
        ("output stride 8, CRF", {**_513, "output_stride": 8, **_CRF}),
        _paper("fcn", "FCN: whole image", output_stride=8),
        _paper("deeplab_v2", "DeepLab v2: highest of three scales", output_stride=8, crf=""),
        _paper("pspnet", "PSPNet: windows of 473, logits of both sides added", output_stride=8),
        (
            "output stride 8, six scales, flip, CRF",
            {**_513, "output_stride": 8, "scales": SIX, "flip": True, **_CRF},
        ),
    ],
    "camvid": [
        *_grid(size=(360, 480)),
        (
            "output stride 16, highest of three scales",
            {"size": (360, 480), "output_stride": 16, "scales": SIX[:3], "fusion": "max"},
        ),
        (
            "output stride 16, windows of 256, logits of both sides added",
            {
                "output_stride": 16,
                "sliding": True,
                "crop_size": (256, 256),
                "flip": True,
                "fusion": "logits",
            },
        ),
        ("output stride 16, CRF", {"size": (360, 480), "output_stride": 16, **_CRF}),
    ],
}
_PLAIN = {"voc": (0, 4, 8, 9), "camvid": (0, 4)}  # lines for which boundaries are measured too


def measure(experiment: config.Experiment, table: str, workdir: pathlib.Path) -> dict[str, Any]:
    """All lines of a table; evaluations that the run folder already has are read from it."""
    path = RESULTS / f"protocols_{table}.json"
    before = json.loads(path.read_text())["lines"] if path.is_file() else {}
    lines: dict[str, Any] = {}
    first: per_image.PerImage | None = None
    for number, (name, fields) in enumerate(TABLES[table]):
        boundary = {"boundary": True, "hausdorff": table == "camvid"}
        extra = boundary if number in _PLAIN[table] else {}
        experiment.eval = dataclasses.replace(experiment.eval, **{**fields, **extra})
        tag = eval_folder.tag(experiment.data.eval_split, experiment.eval)
        files = [workdir / "eval" / f"{tag}.{kind}" for kind in ("json", "npz")]
        cost = before.get(name, {}).get("cpu_seconds")
        if not all(file.is_file() for file in files):
            started = time.process_time()
            evaluate.run(experiment, workdir, weights=_WEIGHTS.value)
            cost = time.process_time() - started
        record, counts = json.loads(files[0].read_text()), per_image.read(files[1])
        first = first or counts
        lines[name] = _line(record, counts, first, cost)
        written = {
            "data": record["data"],
            "runs": 1,
            "seed": None if _WEIGHTS.value else experiment.train.seed,
            "environment": kept_environment(record["environment"]),
            "load": os.getloadavg()[0],
            "lines": lines,
        }
        log.write_json(path, written)
        _reset(experiment)
    return json.loads(path.read_text())


def _reset(experiment: config.Experiment) -> None:
    """The protocol of a line must not leak into the next one."""
    own = experiment.eval
    experiment.eval = config.Eval(batch_size=own.batch_size, use_ema=own.use_ema)


def _line(
    record: Mapping[str, Any],
    counts: per_image.PerImage,
    first: per_image.PerImage,
    cost: float | None,
) -> dict[str, Any]:
    own = image_intervals.bootstrap_miou(counts.class_counts())
    gain = image_intervals.paired_difference(first.class_counts(), counts.class_counts())
    images = len(record["images"])
    line = {
        "protocol": record["protocol"],
        "images": images,
        "miou": record["metrics"]["miou"],
        "miou_interval": [own.low, own.high],
        "pixel_accuracy": record["metrics"]["pixel_accuracy"],
        "gain": [gain.estimate, gain.low, gain.high],
        "verdict": intervals.verdict(gain),
        "seconds": record["seconds"] / images,
        "cpu_seconds": cost,
    }
    return line | ({"boundary": record["boundary"]} if record.get("boundary") else {})


def draw(record: Mapping[str, Any], path: pathlib.Path) -> None:
    """Draws the trimap curve of each line that has one: mIoU in the band against its width."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for name, line in record["lines"].items():
        if "boundary" in line:
            curve = line["boundary"]["trimap"]
            values = [100 * value for value in curve[curve["around"]]["miou"]]
            style = "--" if "CRF" in name else "-"
            axes.plot(curve["widths"], values, style, marker="o", markersize=3, label=name)
    around = "void" if curve["around"] == "void" else "boundaries of the classes"
    axes.set_xlabel(f"width of the band around {around}, pixels")
    axes.set_ylabel("mIoU in the band, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    with whole_file.writing(path) as file:
        figure.savefig(file, format="png", dpi=130)


def main(arguments: list[str]) -> None:
    """Evaluates the lines, draws the curves and prints the table."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    if not (_TABLE.value and _WORKDIR.value and _CONFIG.value):
        raise app.UsageError("--table, --workdir and, for a new folder, --config are required")
    experiment = _CONFIG.value
    command_line.prepare_jax(experiment)
    _reset(experiment)
    record = measure(experiment, _TABLE.value, pathlib.Path(_WORKDIR.value))
    draw(record, ROOT / "docs" / f"trimap_{_TABLE.value}.png")
    print(protocol_table.markdown(record))


if __name__ == "__main__":
    app.run(main, flags_parser=command_line.parse)
