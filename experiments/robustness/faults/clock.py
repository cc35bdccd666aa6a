"""The clock jumps back between two starts and during a run, and file times are wrong."""

import itertools
import json
import os
import pathlib
import re
import signal
from typing import Any

from experiments.robustness.faults import ends, process, small
from experiments.robustness.faults.process import Place
from jaxseg.reporting import run_folder
from jaxseg.workdir import log


def reverse_times(run: pathlib.Path) -> None:
    """Gives the newest checkpoint the oldest time."""
    for order, step in enumerate(ends.steps(run)):
        folder = run / "checkpoints" / str(step)
        for path in (*folder.rglob("*"), folder):
            os.utime(path, (1e9 - 1e4 * order,) * 2)


def drill(place: Place) -> dict[str, Any]:
    """Runs one half, stops it by SIGTERM, and runs the other half with a wrong clock."""
    run = place.folder / "clock"
    first = process.start(place.training(run))
    process.wait_until(first, lambda: len(ends.steps(run)) >= 3)
    first.send_signal(signal.SIGTERM)
    stopped = process.finish(first, place)
    newest = ends.steps(run)[-1]
    reverse_times(run)
    program = "experiments.robustness.faults.wrong_clock"
    ended = process.finish(process.start(place.training(run, program=program)), place)
    starts = json.loads((run / "environment.json").read_text())["starts"]
    end = ends.compare(run, place.undisturbed(small.STEPS)) if not ended.status else {}
    times = [line["time"] for line in log.read_lines(run / "metrics.jsonl")]
    left = [line for line in ended.lines if re.search(r"-\d|day", line.rpartition(",")[2])]
    seconds = run_folder.load(run).seconds
    return {
        "passed": bool(end.get("same_bits") and end.get("same_log"))
        and starts[-1]["step"] == newest
        and not left
        and not ended.errors,
        "stopped": {"status": stopped.status, "step": newest},
        "clock_went_back": sum(b < a for a, b in itertools.pairwise(times)),
        "went_on_from": starts[-1]["step"],
        "status": ended.status,
        "progress_without_sense": left,
        "report_says_seconds": None if seconds is None else round(seconds),
        "end": end,
    }
