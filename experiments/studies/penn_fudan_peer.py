r"""Penn-Fudan from random weights: our Mask R-CNN and torchvision's, as long and as wide.

    python -m jaxseg.data.prepare --name=penn_fudan --manual_dir=downloads
    export FLAGS="--data_dir=data --workdir=runs/penn_fudan_peer"
    taskset -c 0 python -m experiments.studies.penn_fudan_peer $FLAGS --sides=torchvision &
    taskset -c 1 python -m experiments.studies.penn_fudan_peer $FLAGS --sides=jaxseg; wait
    python -m experiments.studies.penn_fudan_peer $FLAGS \
        --output=experiments/results/penn_fudan_peer.json

Both have the network of experiments/mask_rcnn/penn_fudan_small.py, the same number of parameters,
batches, augmentation and learning rate, one thread of one core, and 400 seconds of its CPU time,
which hardly depends on what else the machine does. Compilation counts as ours, and reading images
as both's; evaluation counts for neither. Ours is trained by `jaxseg.train.fit`. pycocotools judges
both on the original images of val. A run that has ended is not repeated: its numbers lie in the
workdir, and the last command puts them together.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
from absl import app, flags

from experiments.benchmarks import timing
from experiments.mask_rcnn import penn_fudan_small
from jaxseg import train
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.source import InstanceSource, open_instances
from jaxseg.evaluation import instance_split
from jaxseg.runtime import memory

_SIDES = flags.DEFINE_list("sides", ["torchvision", "jaxseg"], "Whose runs.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
_SECONDS = flags.DEFINE_float("cpu_seconds", 400, "CPU seconds of a run.")
_STEPS = flags.DEFINE_integer("steps", 430, "Of ours: as many as the time allows.")
_DATA = flags.DEFINE_string("data_dir", "data", "Prepared data sets.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the runs.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")
_JUDGE = flags.DEFINE_string(
    "judge", ".judges/torchvision", "torchvision and its stubs; see `detection_ops`."
)
_SHOWN = ("AP", "AP50", "AP75")


class _Clocked(InstanceSource):
    """A split that remembers how much CPU time was used when each image was read."""

    def __init__(self, source: InstanceSource) -> None:
        super().__init__(source.name, source.split, source.folder)
        self.reads: list[float] = []

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.reads.append(time.process_time())
        return super().__getitem__(index)


def ours(seed: int, folder: pathlib.Path) -> dict[str, Any]:
    """Trains ours in this process: what it reached, and in how many steps and CPU seconds."""
    experiment = penn_fudan_small.get_config()
    data = experiment.data
    data.data_dir, data.threads, data.prefetch = _DATA.value, 1, 8
    experiment.train.seed, experiment.train.steps = seed, _STEPS.value
    experiment.train.compile_cache = ""
    # A single image at the end of the run: all of them are evaluated below.
    experiment.eval.examples = 1
    train_split = open_instances(data.name, data.train_split, data.data_dir)
    val = _Clocked(open_instances(data.name, data.eval_split, data.data_dir))
    start = time.process_time()
    state = train.fit(experiment, folder / "run", data=(train_split, val))
    used = val.reads[-1] - start
    result = instance_split.evaluate(
        experiment.model,
        {"params": state.params, "batch_stats": state.batch_stats},
        val,
        transform=InstanceTransform(data.crop_size, data.instances, data.normalisation.mean),
        normalisation=data.normalisation,
        batch_size=4,
    )
    return {
        "steps": _STEPS.value,
        "cpu_seconds": used,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "box": result.judged["bbox"].summary(),
        "mask": result.judged["segm"].summary(),
    }


def theirs(seed: int, folder: pathlib.Path) -> dict[str, Any]:
    """Trains torchvision's in a process of its own, whose libraries are found before it starts."""
    answer = folder / "answer.json"
    request = {
        "data_dir": str(pathlib.Path(_DATA.value).absolute()),
        "seed": seed,
        "cpu_seconds": _SECONDS.value,
        "answer": str(answer.absolute()),
    }
    (folder / "request.json").write_text(json.dumps(request))
    judge = pathlib.Path(_JUDGE.value).absolute()
    environment = os.environ | {
        "PYTHONPATH": str(judge / "site"),
        "LD_LIBRARY_PATH": str(judge / "stubs"),
        "OMP_NUM_THREADS": "1",
    }
    module = "experiments.studies.penn_fudan_torch"
    command = [sys.executable, "-m", module, str((folder / "request.json").absolute())]
    subprocess.run(command, env=environment, check=True, cwd=timing.ROOT)
    return json.loads(answer.read_text())


def summary(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Means over seeds: "box AP" to "mask AP75"."""
    return {
        f"{kind} {name}": statistics.mean(run[kind][name] for run in runs.values())
        for kind in ("box", "mask")
        for name in _SHOWN
    }


def main(arguments: list[str]) -> None:
    """Runs what is missing, one after the other, and prints the means."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    record: dict[str, Any] = {"environment": timing.environment(), "runs": {}, "means": {}}
    for side in _SIDES.value:
        record["runs"][side] = {}
        for seed in _SEEDS.value:
            folder = pathlib.Path(_WORKDIR.value) / side / seed
            result = folder / "result.json"
            if not result.is_file():
                folder.mkdir(parents=True, exist_ok=True)
                found = (theirs if side == "torchvision" else ours)(int(seed), folder)
                result.write_text(json.dumps(found, indent=1) + "\n")
            run = json.loads(result.read_text())
            record["runs"][side][seed] = run
            shown = ", ".join(f"{k} AP {100 * run[k]['AP']:.1f}" for k in ("box", "mask"))
            print(f"{side} {seed}: {run['steps']} steps, {run['cpu_seconds']:.0f} s: {shown}")
        record["means"][side] = summary(record["runs"][side])
        shown = ", ".join(f"{k} {100 * v:.1f}" for k, v in record["means"][side].items())
        print(f"{side}: {shown}", flush=True)
        if _OUTPUT.value:
            timing.write(_OUTPUT.value, record)


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before JAX starts its threads
    memory.keep_freed("cpu")
    app.run(main)
