"""Runs a table of a paper with one command: the plan, the missing runs, the table.

    python -m launch.sweep --ablation=deeplab_v3/table1 --size=shapes --jobs=2
    python -m launch.sweep --ablation=deeplab_v3/table1 --size=shapes --backend=plan
    python -m launch.sweep --ablation=deeplab_v3/table1 --size=camvid --backend=slurm --jobs=8

The folder of the sweep, WORKDIR/ABLATION_SIZE, holds one run folder per training, named after the
hash of everything that decides its outcome, and table.{md,tex,csv,html,png}. The same command
resumes after any interruption, runs nothing twice, and never shows results of different code or
data as current.

Exit status: 0 if all rows are finished; 1 if some failed or an argument is wrong; 75 if it was
stopped by a signal, with everything saved.
"""

import ast
import functools
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from absl import app, flags, logging

from experiments.ablation import ablation, code_version, job_folder, measure, output
from experiments.ablation.measure import finished
from jaxseg import config
from jaxseg.errors import one_line
from jaxseg.inspection import summary
from launch import jobset, pool

_ABLATION = flags.DEFINE_string(
    "ablation", None, "PAPER/TABLE in experiments/, or the path of a file."
)
_SIZE = flags.DEFINE_enum("size", "shapes", ablation.SIZES, "As published, or a smaller size.")
_BACKEND = flags.DEFINE_enum(
    "backend",
    "local",
    ["local", "slurm", "gke", "plan", "table"],
    "Where to run; or print only the plan, or write only the table of finished runs.",
)
_JOBS = flags.DEFINE_integer("jobs", 1, "Number of trainings at the same time.", 1)
_RETRIES = flags.DEFINE_integer("retries", 1, "How often a failed training is restarted.", 0)
_SEEDS = flags.DEFINE_list("seeds", [], "Seeds in place of the table's own.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/ablations", "Folder of the sweeps.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Folder of the prepared data sets.")
_CHANGE = flags.DEFINE_multi_string(
    "change", [], "FIELD=VALUE for all rows, such as train.steps=100."
)
_SPEED = flags.DEFINE_float(
    "speed", 50.0, "Billion multiply-adds per second, for the estimate of hours before any run.", 0
)
_SBATCH = flags.DEFINE_list("sbatch", [], "slurm: additional options for sbatch.")
_IMAGE = flags.DEFINE_string("image", None, "gke: the container image.")

_BACKWARD = 3  # a training step: forward, and twice the cost backward


def _changes() -> dict[str, object]:
    changes: dict[str, object] = {"data.data_dir": _DATA_DIR.value}
    for text in _CHANGE.value:
        path, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--change={text}: give FIELD=VALUE, such as train.steps=100")
        try:
            changes[path] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            changes[path] = value
    return changes


def _seeds() -> tuple[int, ...]:
    try:
        return tuple(int(seed) for seed in _SEEDS.value)
    except ValueError:
        raise ValueError(f"--seeds={','.join(_SEEDS.value)}: give whole numbers") from None


def _prepare(table: ablation.Ablation) -> None:
    """Draws the data set of a table, if it is a drawn one and is missing."""
    rows = ablation.rows_of(table, _SIZE.value)
    sets = {ablation.experiment_of(table, _SIZE.value, row).data.name for row in rows}
    for name in sorted(sets):
        if (pathlib.Path(_DATA_DIR.value) / name).is_dir():
            continue
        if name.partition("/")[0] != "shapes":
            raise ValueError(
                f"{_DATA_DIR.value}/{name} is missing: prepare it with python -m "
                f"jaxseg.data.prepare --name={name} --data_dir={_DATA_DIR.value} --manual_dir=FILES"
            )
        command = ["-m", "jaxseg.data.prepare", f"--name={name}", f"--data_dir={_DATA_DIR.value}"]
        subprocess.run([sys.executable, *command], check=True)


@functools.cache
def _multiply_adds(model: str, size: tuple[int, int]) -> int:
    return summary.summarize(config.from_dict(json.loads(model)), size).multiply_adds


def cost(experiment: config.Experiment) -> float:
    """The multiply-adds of a training."""
    one = _multiply_adds(json.dumps(config.to_dict(experiment.model)), experiment.data.crop_size)
    images = experiment.data.batch_size * experiment.train.steps
    return float(_BACKWARD * one * images)


def describe(table: ablation.Ablation, jobs: Sequence[ablation.Job], folder: pathlib.Path) -> str:
    """The plan: the changes of each row, the finished runs, and the cost of the remaining ones."""
    lines = [f"{table.title} ({_SIZE.value})", table.source, ""]
    left = 0.0
    for row in ablation.rows_of(table, _SIZE.value):
        own = [one for one in jobs if row.name in one.protocols]
        done = [one for one in own if finished(one, folder, [row.name])]
        todo = [one for one in own if not finished(one, folder)]
        changes = ", ".join(
            f"{path}={ablation.text_of(value)}" for path, value in row.change.items()
        )
        price = cost(own[0].experiment)
        lines.append(f"  {row.name}: {changes or 'the base'}")
        lines.append(
            f"    {len(done)} of {len(own)} seeds done; {price:.3g} multiply-adds per seed"
        )
        left += sum(cost(one.experiment) for one in todo if next(iter(one.protocols)) == row.name)
    waiting = sum(not finished(one, folder) for one in jobs)
    hours = left / (_SPEED.value * 1e9) / 3600
    lines += [
        "",
        f"{waiting} of {len(jobs)} trainings to run: {left:.3g} multiply-adds, about {hours:.2g} h "
        f"at {_SPEED.value:g} billion per second (--speed)",
    ]
    return "\n".join(lines)


def _tasks(jobs: Sequence[ablation.Job], folder: pathlib.Path) -> list[pool.Task]:
    return [
        pool.Task(
            one.name,
            folder / one.name,
            (sys.executable, "-m", "launch.job", str(folder / one.name)),
            one.experiment.train.steps,
        )
        for one in jobs
        if not finished(one, folder)
    ]


def run(name: str) -> int:
    """Plans and runs the sweep and writes its table; returns the exit status."""
    table = ablation.named(name)
    _prepare(table)
    jobs = ablation.plan(table, _SIZE.value, seeds=_seeds(), shared=_changes())
    short = ablation.slug(name)
    folder = pathlib.Path(_WORKDIR.value) / f"{short}_{_SIZE.value}"
    print(describe(table, jobs, folder), flush=True)
    if _BACKEND.value == "plan":
        return 0
    for one in jobs:
        data = code_version.of_data(one.experiment.data)
        job_folder.write_job(folder / one.name, one.experiment, one.protocols, one.start, data)
    failed: list[str] = []
    for wave in sorted({one.wave for one in jobs}):
        tasks = _tasks([one for one in jobs if one.wave == wave], folder)
        if tasks and _BACKEND.value == "local":
            failed += pool.Pool(_JOBS.value, _RETRIES.value, pool.gpus()).run(tasks)
        elif tasks and _BACKEND.value == "slurm":
            from launch import slurm

            failed += slurm.run(tasks, _JOBS.value, _SBATCH.value, _RETRIES.value)
        elif tasks and _BACKEND.value == "gke":
            return jobset.write(tasks, _JOBS.value, _IMAGE.value)
    record = measure.measure(table, short, _SIZE.value, jobs, folder)
    output.write(record, folder)
    print(f"\n{output.markdown(record)}\n\n{folder}/table.{{md,tex,csv,html,png,json}}")
    return 1 if failed or record["unfinished"] else 0


def main(arguments: Sequence[str]) -> int:
    """The command line; errors that the user can fix are reported in one line."""
    logging.set_verbosity(logging.WARNING)
    try:
        if len(arguments) > 1:
            raise ValueError(f"{arguments[1]!r} is not a flag; see --help")
        if not _ABLATION.value:
            raise ValueError(
                f"--ablation=NAME is required; the tables are {', '.join(ablation.names())}"
            )
        return run(_ABLATION.value)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    app.run(main)
