"""Evaluation of a run, or of a weight file, on a split under a protocol.

    python -m jaxseg.main --mode=evaluate --workdir=runs/NAME --config.eval.output_stride=8

writes the files listed in `jaxseg.workdir.eval_folder` to RUN/eval, and prints a table.
"""

import pathlib

from jaxseg import config, tasks, whole_file
from jaxseg.checks.experiment import refuse
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.evaluation.record import Evaluation
from jaxseg.inference.protocols import check_protocol
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
) -> Evaluation | InstanceEvaluation:
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
      ValueError: weights or a protocol that do not fit the model, data that is not the run's; see
        also `split.evaluate` and `instance_split.evaluate`.
    """
    workdir, data, protocol = pathlib.Path(workdir), experiment.data, experiment.eval
    check_protocol(protocol)  # before any waiting
    task = tasks.of(experiment)
    refuse(task.protocol_faults(experiment))
    same_start.refuse_odd(experiment, workdir, f"evaluate {weights or 'the run'}")
    source = task.open_split(data.name, data.eval_split, data.data_dir)
    identified = same_data.hold_evaluation(
        workdir, source, data, weights=weights, changed_data=changed_data
    )
    variables, step = restore.restore(experiment, workdir, weights)
    mesh = make_mesh(experiment.train.rows)
    evaluation = task.evaluate(experiment, variables, source, mesh, progress=progress)
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
    print(task.record(folder, name, evaluation, experiment, variables, source, about))
    print(
        f"\n{weights or f'step {step} of one run'} on {len(evaluation.images)} images of "
        f"{data.name} {data.eval_split} in {evaluation.seconds:.1f} s; see {folder / name}.json, "
        f"and {folder / name} for details"
    )
    return evaluation
