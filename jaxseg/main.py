"""The command line: flags in, one of the modes out.

    python -m jaxseg.main --config=experiments/quickstart.py --workdir=runs/quickstart
    python -m jaxseg.main --mode=evaluate --workdir=runs/quickstart --config.eval.flip=True
    python -m jaxseg.main --mode=evaluate --workdir=runs/quickstart --protocol=deeplab_v3_multi
    python -m jaxseg.main --mode=predict --workdir=runs/quickstart --inputs=photos
    python -m jaxseg.main --mode=summary --config=experiments/deeplab_v3/voc.py

A run folder is self-sufficient: without --config, the one that it was started with is read, and
--config.FIELD=VALUE still changes any field of it.

Exit status: 0 done; 1 refused or failed, with one line that says why; 2 a wrong flag; 75 stopped by
a signal with everything saved, to be started again.
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
from jaxseg.cli import command_line, commands, program
from jaxseg.data.readers import image_limit  # noqa: F401 - it defines --max_image_pixels
from jaxseg.errors import no_memory, one_line, too_little_memory
from jaxseg.inference import protocols

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "An experiment file; without it, the config of the run folder --workdir."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "The run folder: made by train, read by the rest.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "predict", "summary"], "To do.")
_PROTOCOL = flags.DEFINE_string(
    "protocol", None, "A paper's evaluation: jaxseg/inference/protocols.py."
)
_INPUTS = flags.DEFINE_list("inputs", [], "predict: images or folders of images.")
_OUTPUT = flags.DEFINE_string("output", None, "predict: where to write; WORKDIR/predictions.")
_PROBABILITIES = flags.DEFINE_bool("probabilities", False, "predict: write probabilities as well.")
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "evaluate, predict: a file of trained weights instead of a checkpoint."
)
_CHANGED_DATA = flags.DEFINE_bool(
    "changed_data",
    False,
    "train, evaluate: go on although examples of the run's data have changed; predict: although "
    "its classes have.",
)
_SIZE = flags.DEFINE_list("size", None, "summary: height,width of the input.")
_MEMORY = flags.DEFINE_bool("memory", False, "summary: compile both steps for their peak memory.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, outside SLURM.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "With --coordinator: how many there are.")
_PROCESS = flags.DEFINE_integer("process", 0, "With --coordinator: which one this is.")
_TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the Python traceback of an error.")
FLAGS = (
    *("config", "workdir", "protocol", "weights", "inputs", "output", "probabilities", "size"),
    *("memory", "changed_data", "max_image_pixels", "coordinator", "processes", "process"),
    "traceback",
)
READ_BY = {  # of the modes, a flag that is not read by all
    "changed_data": ("train", "evaluate", "predict"),
    "inputs": ("predict",),
    "output": ("predict",),
    "probabilities": ("predict",),
    "weights": ("evaluate", "predict"),
    "max_image_pixels": ("train", "evaluate", "predict"),
    "size": ("summary",),
    "memory": ("summary",),
}

USAGE = {
    "train": "--config=FILE --workdir=FOLDER",
    "evaluate": "--workdir=FOLDER [--protocol=NAME]",
    "predict": "--workdir=FOLDER --inputs=PHOTOS",
    "summary": "--config=FILE [--size=HEIGHT,WIDTH]",
}
_ENDS = """Without --config the experiment of the run folder is read; flags change any field of it.
Exit status: 0 done; 1 refused or failed, with one line that says why; 2 a wrong flag; 75 stopped by
a signal with everything saved, to be started again."""


def _experiment() -> config.Experiment:
    if _CONFIG.value is None:
        where = f"{_WORKDIR.value}/config.json is missing and " if _WORKDIR.value else ""
        raise ValueError(f"{where}no --config=experiments/NAME.py is given")
    experiment = _CONFIG.value
    if _PROTOCOL.value:
        overrides = config_flags.get_override_values(flags.FLAGS["config"])
        given = [path.removeprefix("eval.") for path in overrides if path.startswith("eval.")]
        experiment.eval = protocols.named(_PROTOCOL.value, experiment.eval, given)
    return experiment


def _strangers() -> list[str]:
    """Flags of another mode, which this one would leave unread."""
    mode = _MODE.value
    found = []
    for name, modes in READ_BY.items():
        if flags.FLAGS[name].present and mode not in modes:
            way = ""
            if (name, mode) == ("weights", "train"):
                way = "; a training starts from --config.train.init_from"
            found.append(f"--{name} is of --mode={' and '.join(modes)}, not of {mode}{way}")
    return found


def _checked(experiment: config.Experiment) -> config.Experiment:
    """The experiment with nothing to refuse before it meets weights and images.

    A training looks at all of it when it has met its data and the other processes.

    Raises:
      ValueError: all faults together.
    """
    given = config_flags.get_override_values(flags.FLAGS["config"])
    found, usable = examine(experiment, _MODE.value, given)
    faults = _strangers() + found
    if _MODE.value == "train" and not faults:
        return experiment
    if usable is None or _MODE.value == "summary":
        refuse(faults)
    else:
        from jaxseg.training import preflight

        preflight.refuse_all(faults, usable, _MODE.value)
    from jaxseg.training import class_count

    return class_count.of_data(experiment)


def _workdir() -> pathlib.Path:
    if not _WORKDIR.value:
        raise ValueError(f"--mode={_MODE.value} needs --workdir=FOLDER")
    return pathlib.Path(_WORKDIR.value)


def _start_jax(experiment: config.Experiment) -> None:
    from jaxseg.runtime import processes

    command_line.prepare_jax(experiment)
    processes.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def run(mode: str) -> int:
    """Hands over to the mode. Imports are here, so that `--help` answers at once."""
    experiment = _checked(_experiment())
    _start_jax(experiment)
    if mode == "train":
        from jaxseg import train

        source = config_flags.get_config_filename(flags.FLAGS["config"])
        file = pathlib.Path(source.partition(":")[0])
        train.fit(experiment, _workdir(), source=file, changed_data=_CHANGED_DATA.value)
    elif mode == "evaluate":
        from jaxseg import evaluate

        evaluate.run(
            experiment, _workdir(), weights=_WEIGHTS.value, changed_data=_CHANGED_DATA.value
        )
    elif mode == "predict":
        from jaxseg import predict, whole_file

        if not _OUTPUT.value:
            whole_file.refuse_link(_workdir() / "predictions")
        return predict.main(
            experiment,
            _WORKDIR.value,
            _INPUTS.value,
            _OUTPUT.value or _workdir() / "predictions",
            _WEIGHTS.value,
            _PROBABILITIES.value,
            changed_data=_CHANGED_DATA.value,
        )
    else:
        from jaxseg import summary

        size = [int(n) for n in _SIZE.value] if _SIZE.value else experiment.data.crop_size
        print(summary.describe(experiment, size, memory=_MEMORY.value))
    return 0


def main(arguments: Sequence[str]) -> int:
    """Runs the mode; an error that the user can fix becomes one line."""
    if len(arguments) > 1:
        print(f"jaxseg: {arguments[1]!r} is not a flag; see --help", file=sys.stderr)
        return 2
    logging.set_verbosity(logging.WARNING)
    try:
        return run(_MODE.value)
    except (ValueError, OSError, KeyError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not no_memory(error):
            raise
        if _TRACEBACK.value:
            traceback.print_exc()
        print(
            f"jaxseg: {too_little_memory(error, _MODE.value) or one_line(error)}", file=sys.stderr
        )
        if not _TRACEBACK.value:
            print("(--traceback shows where)", file=sys.stderr)
        return 1


def start(arguments: Sequence[str]) -> NoReturn:
    """`jaxseg train`, `jaxseg predict` and so on, by the --mode among the arguments."""
    modes = [a.partition("=")[2] for a in arguments if a.startswith("--mode=")]
    mode = modes[0] if modes else ""
    command = commands.COMMANDS.get(mode)
    own = [name for name in FLAGS if mode in READ_BY.get(name, (mode,)) or not mode]
    program.start(
        program.Program(
            name=f"jaxseg {mode}" if command else "python -m jaxseg.main",
            usage=USAGE.get(mode, "--mode=MODE --workdir=FOLDER"),
            about=f"{command.about}\n\n{_ENDS}" if command else __doc__ or "",
            main=main,
            own=own if command else ["mode", *own],
            parse=command_line.parse,
            more=command_line.help_of_fields,
        ),
        arguments,
    )


if __name__ == "__main__":
    start(sys.argv[1:])
