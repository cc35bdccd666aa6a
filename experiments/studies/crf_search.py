r"""Searches the CRF's w1, theta_alpha and theta_beta on a validation split, as in DeepLab.

From coarse to fine on 100 images, with w2 = theta_gamma = 3 and 10 iterations (arXiv 1412.7062,
section 5; 1606.00915, section 4).

    python -m experiments.studies.crf_search --config=experiments/deeplab_v3/google_voc.py \
        --weights=deeplabv3_257_mv_gpu.tflite --scratch=runs/unaries --output=search.json
    python -m experiments.studies.crf_search --workdir=runs/deeplab_v1 --w1=3,4,5,6 \
        --theta_alpha=50 --theta_beta=3,5 --refinements=0 --output=search.json

All combinations of the lists form the coarse grid; each refinement halves the steps around the
best. The network runs once for each image: its log-probabilities are kept in --scratch as float16.
--output is written after each setting, and the same command continues from it. The final result
should not be reported on the images used for the search.

Unsure: the papers give the ranges of the fine grid, not the coarse one; that of --w1 and the others
is ours.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from absl import app, flags, logging
from ml_collections import config_flags

from experiments.benchmarks import crf_grid
from experiments.benchmarks.crf_unaries import Unaries, chosen
from jaxseg import config
from jaxseg.checks.experiment import check
from jaxseg.cli import command_line
from jaxseg.data import loader
from jaxseg.errors import one_line
from jaxseg.postprocess import crf
from jaxseg.workdir import restore, same_data

_CONFIG = config_flags.DEFINE_config_file("config", None, "An experiment file.")
_WEIGHTS = flags.DEFINE_string("weights", None, "A file of trained weights.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Alternatively, a run folder, whose newest checkpoint is read."
)
_W1 = flags.DEFINE_list("w1", ["3", "5", "7", "9"], "Coarse grid.")
_ALPHA = flags.DEFINE_list("theta_alpha", ["30", "50", "70", "90"], "Coarse grid, pixels.")
_BETA = flags.DEFINE_list("theta_beta", ["3", "5", "7", "9"], "Coarse grid, colours from 0 to 255.")
_W2 = flags.DEFINE_float("w2", 3, "Fixed.", 0)
_GAMMA = flags.DEFINE_float("theta_gamma", 3, "Fixed, pixels.", 0)
_ITERATIONS = flags.DEFINE_integer("iterations", 10, "Iterations of mean field.", 1)
_NORMALIZATION = flags.DEFINE_enum("normalization", "per_pixel", crf.NORMALIZATIONS, "Of kernels.")
_REFINEMENTS = flags.DEFINE_integer("refinements", 1, "Number of finer grids around the best.", 0)
_IMAGES = flags.DEFINE_integer("images", 100, "Number of images, spread evenly over the split.", 2)
_SCRATCH = flags.DEFINE_string(
    "scratch", None, "Folder for log-probabilities; by default they are not kept."
)
_OUTPUT = flags.DEFINE_string("output", "crf_search.json", "JSON file to write.")


def _axes() -> list[list[float]]:
    """The coarse grid.

    Raises:
      ValueError: a list is empty, or has a value that is not a number above 0.
    """
    axes = []
    for flag in (_W1, _ALPHA, _BETA):
        try:
            axes.append([float(value) for value in flag.value])
        except ValueError:
            axes.append([])
        if not axes[-1] or not min(axes[-1]) > 0:
            raise ValueError(f"--{flag.name}={','.join(flag.value)}: numbers above 0 are allowed")
    return axes


def _run(experiment: config.Experiment, output: pathlib.Path) -> None:
    axes = _axes()
    output.parent.mkdir(parents=True, exist_ok=True)
    command_line.prepare_jax(experiment)
    data = experiment.data
    source = loader.open_split(data.name, data.eval_split, data.data_dir)
    workdir = pathlib.Path(_WORKDIR.value) if _WORKDIR.value else None
    identified = same_data.hold_evaluation(workdir, source, data, weights=_WEIGHTS.value)
    variables, step = restore.restore(experiment, workdir, _WEIGHTS.value)
    network = {
        "data": [data.name, data.eval_split, identified["data_digest"]],
        "model": config.to_dict(experiment.model),
        "eval": config.to_dict(dataclasses.replace(experiment.eval, crf="")),
        "weights": _WEIGHTS.value or f"{_WORKDIR.value}, step {step}",
    }
    fixed = [_W2.value, _GAMMA.value, _ITERATIONS.value]
    what = network | {
        "fixed": fixed,
        "normalization": _NORMALIZATION.value,
        "images": chosen(source, _IMAGES.value),
    }
    with contextlib.ExitStack() as stack:
        scratch = _SCRATCH.value or stack.enter_context(tempfile.TemporaryDirectory())
        digest = hashlib.sha256(json.dumps(network, sort_keys=True).encode()).hexdigest()[:12]
        folder = pathlib.Path(scratch) / f"{data.name}_{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        unaries = Unaries(experiment, variables, source, folder)
        record = crf_grid.search(unaries, what, output, axes, _REFINEMENTS.value)
    print(crf_grid.table(record))


def main(arguments: Sequence[str]) -> int:
    """Searches and prints a table; errors that the user can fix are reported in one line."""
    logging.set_verbosity(logging.WARNING)
    try:
        if len(arguments) > 1:
            raise ValueError(f"{arguments[1]!r} is not a flag; see --help")
        if _CONFIG.value is None:
            raise ValueError("give --config=experiments/NAME.py or --workdir=RUN")
        check(_CONFIG.value)
        _run(_CONFIG.value, pathlib.Path(_OUTPUT.value))
    except (ValueError, OSError, KeyError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main, flags_parser=command_line.parse)
