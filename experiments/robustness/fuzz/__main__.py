"""Fuzzing with bad input: each case must end in a result or in one clear line.

    python -m experiments.robustness.fuzz --cases=10000 --output=experiments/results/fuzz.json

The kinds of cases are

    experiments  fields with any value, up to the first step (shapes in place of most arrays)
    files        images, masks, classes and pairs with any bytes, prepared as folder/NAME and read
    photos       files to predict
    classes      class files in each format, damaged
    runs         a run folder with damaged files: reported, resumed, restored, used as a job
    weights      weight files of each format, damaged

in the proportions of `draw.SHARES`. A clear line is a ValueError or an OSError raised by jaxseg
itself; if it concerns a file, it names the file. Needs requirements/dev.txt (hypothesis) and the
tests folder, which has the writers of weight files. Exit status: 0 if there is no fault, 1 after a
fault or a wrong flag.
"""

import json
import logging as python_logging
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TQDM_DISABLE", "1")

from absl import app, flags

from experiments.robustness.fuzz import draw
from jaxseg import whole_file

_CASES = flags.DEFINE_integer("cases", 10_000, "How many.", 10)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the drawn cases.")
_KINDS = flags.DEFINE_list("kinds", list(draw.SHARES), "Of cases.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write with the counts.")


def main(arguments: Sequence[str]) -> int:
    python_logging.disable(python_logging.WARNING)
    # In memory if possible: cases write many small files.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        tallies = {}
        for kind in _KINDS.value:
            count = round(_CASES.value * draw.SHARES[kind])
            tallies[kind] = draw.run(kind, count, _SEED.value, pathlib.Path(scratch))
            found = dict(tallies[kind].outcomes)
            print(f"{kind}: {found}, {len(tallies[kind].refusals)} kinds of refusal", flush=True)
    figures = {kind: tally.to_json() for kind, tally in tallies.items()}
    if _OUTPUT.value:
        whole_file.write_text(_OUTPUT.value, json.dumps(figures, indent=1) + "\n")
    for tally in tallies.values():
        for fault in tally.faults:
            print(json.dumps(fault, indent=1), file=sys.stderr)
    return 1 if any(tally.faults for tally in tallies.values()) else 0


if __name__ == "__main__":
    app.run(main)
