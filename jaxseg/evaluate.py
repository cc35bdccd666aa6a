"""Evaluation of a run, or of a weight file, on a split under a protocol.

    python -m jaxseg.main --mode=evaluate --workdir=runs/NAME --config.eval.output_stride=8

writes the files listed in `jaxseg.workdir.eval_folder` to RUN/eval, and prints a table.
"""

import pathlib

from jaxseg import config, tasks, whole_file
from jaxseg.data import frames, loader
from jaxseg.evaluation import pictures, record, split
from jaxseg.evaluation.record import Evaluation
from jaxseg.inference.protocols import check_protocol
from jaxseg.metrics.definitions import PROBABILITIES
from jaxseg.percent import percent
from jaxseg.reporting import tables
from jaxseg.runtime import processes
from jaxseg.runtime.mesh import make_mesh
from jaxseg.workdir import data_identity, eval_folder, log, restore, same_data, same_start
from jaxseg.workdir.environment import environment


def run(
    experiment: config.Experiment,
    workdir: pathlib.Path | str,
    *,
    weights: str | None = None,
    progress: bool = True,
    changed_data: bool = False,
) -> Evaluation:
    """`--mode=evaluate`: a run's newest checkpoint, or a weight file, on the evaluation split.

    Writes eval/TAG.json and pictures into the run folder and prints a table.

    Args:
      experiment: its `eval` is the protocol, which may differ from the stored config of the run.
      workdir: the run folder; with `weights` it need not exist.
      weights: a file of trained weights, read instead of a checkpoint.
      progress: show a bar.
      changed_data: accept that examples of the run's own data set have changed.

    Raises:
      FileNotFoundError: no checkpoint, no weight file, no prepared data.
      ValueError: weights that do not fit the model, data that is not the run's; see also
        `split.evaluate`.
    """
    workdir, data, protocol = pathlib.Path(workdir), experiment.data, experiment.eval
    check_protocol(protocol)  # before any waiting
    tasks.only_semantic(experiment, "--mode=evaluate")
    same_start.refuse_odd(experiment, workdir, f"evaluate {weights or 'the run'}")
    source = loader.open_split(data.name, data.eval_split, data.data_dir)
    identified = same_data.hold_evaluation(
        workdir, source, data, weights=weights, changed_data=changed_data
    )
    variables, step = restore.restore(experiment, workdir, weights)
    evaluation = split.evaluate(
        experiment.model,
        variables,
        source,
        protocol=protocol,
        normalisation=data.normalisation,
        crop=data.crop_size,
        threads=data.threads,
        mesh=make_mesh(experiment.train.rows),
        progress=progress,
    )
    if not processes.is_main():
        return evaluation
    name = eval_folder.tag(data.eval_split, protocol)
    folder = whole_file.folder_in(workdir, "eval")
    whole_file.sweep(workdir)
    if not (workdir / "config.json").exists():
        log.write_json(workdir / "config.json", config.to_dict(experiment))
        data_identity.write_labels(workdir, source.labels)
    about = identified | {
        "step": step,
        "runs": 1,
        "seed": None if weights else experiment.train.seed,
        "weights": weights,
        "data": data.name,
        "split": data.eval_split,
        "protocol": config.to_dict(protocol),
        "environment": environment(),
    }
    kept = record.write(folder, name, evaluation, source.labels, about)
    pictures.write(folder / name, evaluation, experiment, variables, source)
    print(_text(evaluation, source, kept["metrics"]["miou_interval"]))
    print(
        f"\n{weights or f'step {step} of one run'} on {len(evaluation.images)} images of "
        f"{data.name} {data.eval_split} in {evaluation.seconds:.1f} s; see {folder / name}.json, "
        f"and {folder / name} for the best and worst images"
    )
    return evaluation


def _text(evaluation: Evaluation, source: loader.Source, interval: list[float] | None) -> str:
    """The table, the metrics of probabilities and the frames, for the terminal."""
    lines = [tables.evaluation(evaluation.confusion, source.labels.names, interval)]
    for name, value in evaluation.probabilities.items():
        lines.append(f"{PROBABILITIES[name][0]}: {percent(value)} %")
    return "\n".join([*lines, frames.described(evaluation.frames)])
