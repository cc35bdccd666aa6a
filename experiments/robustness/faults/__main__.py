"""Injects faults into a small run and checks each outcome: one command, one JSON file.

    python -m experiments.robustness.faults --workdir=runs/faults

    kills    SIGKILL at random moments of start, steps and saves; the result must be unchanged
    disk     a disk that fills up during a save (a tmpfs, if a user may mount one)
    reads    a shard that is truncated, damaged, or vanishes
    process  one of two processes is killed
    clock    the clock goes back, and the times of checkpoints are not in the order of their steps
    second   a second run in the same folder, and an evaluation of it
    older    the run folder of an older version

Every drill creates its data and runs below --workdir, which must be new or empty. Exit status: 0 if
all drills passed, 1 otherwise.
"""

import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging

from experiments.robustness.faults import clock, disk, kills, lost_process, older, reads, second
from experiments.robustness.faults.process import Place
from jaxseg import whole_file
from jaxseg.workdir.environment import environment

_WORKDIR = flags.DEFINE_string("workdir", None, "A new folder.", required=True)
_KILLS = flags.DEFINE_integer("kills", 20, "Number of kills in the drill `kills`.", 1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the moments of the kills.")
_ONLY = flags.DEFINE_list("only", [], "Names of drills; default: all.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "JSON file to write; default WORKDIR/fault_drill.json."
)

_DRILLS: dict[str, Callable[[Place], dict[str, Any]]] = {
    "kills": lambda place: kills.drill(place, _KILLS.value, _SEED.value),
    "disk": disk.drill,
    "reads": reads.drill,
    "process": lost_process.drill,
    "clock": clock.drill,
    "second": second.drill,
    "older": older.drill,
}


def main(arguments: Sequence[str]) -> int:
    if unknown := [name for name in _ONLY.value if name not in _DRILLS]:
        print(f"--only={unknown[0]} is unknown; it can be {', '.join(_DRILLS)}", file=sys.stderr)
        return 2
    folder = pathlib.Path(_WORKDIR.value)
    if folder.exists() and any(folder.iterdir()):
        print(f"--workdir={folder} is not empty: a drill needs a new folder", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    output = pathlib.Path(_OUTPUT.value or folder / "fault_drill.json")
    logging.set_verbosity(logging.WARNING)
    place = Place(folder.resolve())
    place.prepare()
    versions = environment()["versions"]
    figures: dict[str, Any] = {"versions": versions, "seed": _SEED.value, "drills": {}}
    for name in _ONLY.value or _DRILLS:
        began = time.monotonic()
        found = _DRILLS[name](place)
        found["seconds"] = round(time.monotonic() - began)
        figures["drills"][name] = found
        whole_file.write_text(output, json.dumps(figures, indent=1) + "\n")
        said = "skipped: " + found["skipped"] if "skipped" in found else "passed"
        print(f"{name}: {said if found['passed'] else 'FAILED'} ({found['seconds']} s)", flush=True)
    return 0 if all(found["passed"] for found in figures["drills"].values()) else 1


if __name__ == "__main__":
    app.run(main)
