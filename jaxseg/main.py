"""The command line of the modes train, evaluate, predict and summary.

    python -m jaxseg.main --config=experiments/quickstart.py --workdir=runs/quickstart
    python -m jaxseg.main --mode=evaluate --workdir=runs/quickstart --config.eval.flip=True
    python -m jaxseg.main --mode=evaluate --workdir=runs/quickstart --protocol=deeplab_v3_multi
    python -m jaxseg.main --mode=predict --workdir=runs/quickstart --inputs=photos
    python -m jaxseg.main --mode=summary --config=experiments/deeplab_v3/voc.py

A run folder is self-sufficient: without --config, its stored config is used, and
--config.FIELD=VALUE can still change any field.

Exit status: 0 success; 1 error, with one line that says why; 2 wrong flag; 75 stopped by a signal
after saving everything, to be started again.
"""

import pathlib
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from absl import flags, logging
from ml_collections import config_flags

from jaxseg import config
from jaxseg.checks.experiment import examine, refuse
from jaxseg.cli import command_line, commands, mode_flags, program
from jaxseg.cli.mode_flags import (
    CHANGED_DATA,
    CONFIG,
    COORDINATOR,
    INPUTS,
    MEMORY,
    MODE,
    OUTPUT,
    PROBABILITIES,
    PROCESS,
    PROCESSES,
    PROTOCOL,
    SCORE,
    SIZE,
    TRACEBACK,
    WEIGHTS,
    WORKDIR,
)
from jaxseg.errors import no_memory, one_line, too_little_memory
from jaxseg.inference import protocols


def _experiment() -> config.Experiment:
    if CONFIG.value is None:
        where = f"{WORKDIR.value}/config.json is missing and " if WORKDIR.value else ""
        raise ValueError(f"{where}no --config=experiments/NAME.py is given")
    experiment = CONFIG.value
    if PROTOCOL.value:
        from jaxseg import tasks

        tasks.only_semantic(experiment, f"--protocol={PROTOCOL.value}")
        overrides = config_flags.get_override_values(flags.FLAGS["config"])
        given = [path.removeprefix("eval.") for path in overrides if path.startswith("eval.")]
        experiment.eval = protocols.named(PROTOCOL.value, experiment.eval, given)
    return experiment


def _checked(experiment: config.Experiment) -> config.Experiment:
    """The experiment after all checks that do not need weights or images.

    A training is checked as a whole later, once its data is open and the processes have met.

    Raises:
      ValueError: all faults together.
    """
    given = config_flags.get_override_values(flags.FLAGS["config"])
    found, usable = examine(experiment, MODE.value, given)
    faults = mode_flags.strangers() + found
    if MODE.value == "predict":
        from jaxseg import predict

        faults += predict.of_other_task(
            experiment, probabilities=PROBABILITIES.value, score=SCORE.value
        )
    if MODE.value == "train" and not faults:
        return experiment
    if usable is None or MODE.value == "summary":
        refuse(faults)
    else:
        from jaxseg.training import preflight

        preflight.refuse_all(faults, usable, MODE.value)
    from jaxseg.training import class_count

    return class_count.of_data(experiment)


def _workdir() -> pathlib.Path:
    if not WORKDIR.value:
        raise ValueError(f"--mode={MODE.value} needs --workdir=FOLDER")
    return pathlib.Path(WORKDIR.value)


def _start_jax(experiment: config.Experiment) -> None:
    from jaxseg.runtime import processes

    command_line.prepare_jax(experiment)
    processes.initialize(COORDINATOR.value, PROCESSES.value, PROCESS.value)


def run(mode: str) -> int:
    """Runs a mode. Imports are local, so that `--help` is fast."""
    experiment = _checked(_experiment())
    _start_jax(experiment)
    if mode == "train":
        from jaxseg import train

        source = config_flags.get_config_filename(flags.FLAGS["config"])
        file = pathlib.Path(source.partition(":")[0])
        train.fit(experiment, _workdir(), source=file, changed_data=CHANGED_DATA.value)
    elif mode == "evaluate":
        from jaxseg import evaluate

        evaluate.run(
            experiment,
            _workdir(),
            weights=WEIGHTS.value,
            changed_data=CHANGED_DATA.value,
        )
    elif mode == "predict":
        from jaxseg import predict, whole_file

        if not OUTPUT.value:
            whole_file.refuse_link(_workdir() / "predictions")
        return predict.main(
            experiment,
            WORKDIR.value,
            INPUTS.value,
            OUTPUT.value or _workdir() / "predictions",
            WEIGHTS.value,
            PROBABILITIES.value,
            score=SCORE.value,
            changed_data=CHANGED_DATA.value,
        )
    else:
        from jaxseg import summary

        size = [int(n) for n in SIZE.value] if SIZE.value else experiment.data.crop_size
        print(summary.describe(experiment, size, memory=MEMORY.value))
    return 0


def main(arguments: Sequence[str]) -> int:
    """Runs the mode; an error that the user can fix is printed as one line."""
    if len(arguments) > 1:
        print(f"jaxseg: {arguments[1]!r} is not a flag; see --help", file=sys.stderr)
        return 2
    logging.set_verbosity(logging.WARNING)
    try:
        return run(MODE.value)
    except (ValueError, OSError, KeyError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not no_memory(error):
            raise
        if TRACEBACK.value:
            traceback.print_exc()
        print(
            f"jaxseg: {too_little_memory(error, MODE.value) or one_line(error)}",
            file=sys.stderr,
        )
        if not TRACEBACK.value:
            print("(--traceback shows where)", file=sys.stderr)
        return 1


def start(arguments: Sequence[str]) -> NoReturn:
    """`jaxseg train`, `jaxseg predict` and so on, by the --mode among the arguments."""
    modes = [a.partition("=")[2] for a in arguments if a.startswith("--mode=")]
    mode = modes[0] if modes else ""
    command = commands.COMMANDS.get(mode)
    own = mode_flags.read_by(mode)
    program.start(
        program.Program(
            name=f"jaxseg {mode}" if command else "python -m jaxseg.main",
            usage=mode_flags.USAGE.get(mode, "--mode=MODE --workdir=FOLDER"),
            about=f"{command.about}\n\n{mode_flags.ENDS}" if command else __doc__ or "",
            main=main,
            own=own if command else ["mode", *own],
            parse=command_line.parse,
            more=command_line.help_of_fields,
        ),
        arguments,
    )


if __name__ == "__main__":
    start(sys.argv[1:])
