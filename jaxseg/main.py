"""The command line: flags in, one of the modes out.

    python -m jaxseg.main --config=experiments/quickstart.py --workdir=runs/quickstart
    python -m jaxseg.main --mode=evaluate --workdir=runs/quickstart --config.eval.flip=True
    python -m jaxseg.main --mode=predict --workdir=runs/quickstart --inputs=photos
    python -m jaxseg.main --mode=summary --config=experiments/deeplab_v3_voc.py

A run folder is self-sufficient: without --config, the one that it was started with is read, and
--config.FIELD=VALUE still changes any field of it.

Exit status: 0 done; 1 refused or failed, with one line that says why; 2 a wrong flag; 75 stopped by
a signal with everything saved, to be started again.
"""

import difflib
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Sequence

from absl import app, flags, logging
from ml_collections import config_flags

from jaxseg import config, stored
from jaxseg.errors import one_line

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "An experiment file; without it, the config of the run folder --workdir."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "The run folder: made by train, read by the rest.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "predict", "summary"], "To do.")
_INPUTS = flags.DEFINE_list("inputs", [], "predict: images or folders of images.")
_OUTPUT = flags.DEFINE_string("output", None, "predict: where to write; WORKDIR/predictions.")
_PROBABILITIES = flags.DEFINE_bool("probabilities", False, "predict: write probabilities as well.")
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "evaluate, predict: a file of trained weights instead of a checkpoint."
)
_SIZE = flags.DEFINE_list("size", None, "summary: height,width of the input.")
_MEMORY = flags.DEFINE_bool("memory", False, "summary: compile both steps for their peak memory.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, outside SLURM.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "With --coordinator: how many there are.")
_PROCESS = flags.DEFINE_integer("process", 0, "With --coordinator: which one this is.")
_TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the Python traceback of an error.")


def _with_stored_config(arguments: list[str]) -> list[str]:
    """The arguments, with the run folder's own config where none is named."""

    def value(flag: str) -> str | None:
        for i, argument in enumerate(arguments):
            name, equals, given = argument.lstrip("-").partition("=")
            if argument.startswith("-") and name == flag:
                return given if equals else arguments[i + 1] if i + 1 < len(arguments) else None
        return None

    workdir = value("workdir")
    if value("config") or not workdir or not (pathlib.Path(workdir) / "config.json").is_file():
        return arguments
    return [arguments[0], f"--config={stored.__file__}:{workdir}", *arguments[1:]]


def _config_file(arguments: Sequence[str]) -> str | None:
    """What follows --config=, FILE or FILE:ARGUMENT."""
    given = [a.partition("=")[2] for a in arguments if re.match("--?config=", a)]
    return given[-1] if given else None


def _check_file(path: pathlib.Path) -> None:
    """Refuses an experiment file that is not there, with those that are."""
    if not path.is_file():
        near = sorted(str(other) for other in path.parent.glob("*.py") if other.stem != "__init__")
        there = f"; there are {', '.join(near)}" if near else ""
        raise flags.ValidationError(f"--config={path}: no such file{there}")


def _known_fields(file: str) -> list[str]:
    """The field names of the experiment in `file`, to propose a near one."""
    alone = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=alone, sys_argv=[])
    alone(["", f"--config={file}"])
    return [path for path, _ in config.flatten(alone["config"].value)]


def parse_flags(arguments: list[str]) -> list[str]:
    """absl's flag parsing; a wrong field or value of the config becomes one line and exit 2."""
    arguments = _with_stored_config(arguments)
    file = _config_file(arguments)
    try:
        if file is not None:
            _check_file(pathlib.Path(file.partition(":")[0]))
        return flags.FLAGS(arguments)
    except (SyntaxError, NameError, ImportError) as error:
        message = f"{file} is no experiment file: {type(error).__name__}: {error}"
    except flags.Error as error:
        message = str(error).strip().splitlines()[-1]  # ml_collections' holds a traceback
        for flag in (a.lstrip("-").partition("=")[0] for a in arguments):
            if "not supported for overriding" in message and f"field {flag} " in message:
                message = f"--{flag} is a part of the experiment: set one of its fields"
    except (KeyError, TypeError, ValueError, OSError, AttributeError) as error:
        message = one_line(error)
        wrong = [a.lstrip("-").partition("=")[0] for a in arguments if "config." in a[:9]]
        known = _known_fields(file) if file is not None and wrong else []
        for flag in wrong:
            field = flag.removeprefix("config.")
            if known and not any(k == field or k.startswith(field + ".") for k in known):
                near = difflib.get_close_matches(field, known, n=3, cutoff=0.5)
                hint = f"; near it: {', '.join(near)}" if near else ""
                message = f"--{flag}: the experiment has no field {field}{hint}"
                break
    print(f"jaxseg: {message}", file=sys.stderr)
    sys.exit(2)


def _experiment() -> config.Experiment:
    if _CONFIG.value is None:
        where = f"{_WORKDIR.value}/config.json is missing and " if _WORKDIR.value else ""
        raise ValueError(f"{where}no --config=experiments/NAME.py is given")
    config.check(_CONFIG.value)
    return _CONFIG.value


def _workdir() -> pathlib.Path:
    if not _WORKDIR.value:
        raise ValueError(f"--mode={_MODE.value} needs --workdir=FOLDER")
    return pathlib.Path(_WORKDIR.value)


def _start_jax(experiment: config.Experiment) -> None:
    import jax

    from jaxseg import distributed, memory

    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    if experiment.train.compile_cache:
        folder = os.path.expanduser(experiment.train.compile_cache)
        jax.config.update("jax_compilation_cache_dir", folder)
    distributed.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def run(mode: str) -> int:
    """Hands over to the mode. Imports are here, so that `--help` answers at once."""
    experiment = _experiment()
    _start_jax(experiment)
    if mode == "train":
        from jaxseg import train

        source = config_flags.get_config_filename(flags.FLAGS["config"])
        train.fit(experiment, _workdir(), source=pathlib.Path(source.partition(":")[0]))
    elif mode == "evaluate":
        from jaxseg import evaluate

        evaluate.run(experiment, _workdir(), weights=_WEIGHTS.value)
    elif mode == "predict":
        from jaxseg import predict

        return predict.main(
            experiment,
            _WORKDIR.value,
            _INPUTS.value,
            _OUTPUT.value or _workdir() / "predictions",
            _WEIGHTS.value,
            _PROBABILITIES.value,
        )
    else:
        from jaxseg import summary

        size = [int(n) for n in _SIZE.value] if _SIZE.value else experiment.data.crop_size
        print(summary.describe(experiment, size, memory=_MEMORY.value))
    return 0


def main(arguments: Sequence[str]) -> int:
    """Runs the mode; an error that the user can mend becomes one line."""
    if len(arguments) > 1:
        print(f"jaxseg: {arguments[1]!r} is no flag; see --help", file=sys.stderr)
        return 2
    logging.set_verbosity(logging.WARNING)
    try:
        return run(_MODE.value)
    except (ValueError, OSError, KeyError) as error:
        if _TRACEBACK.value:
            traceback.print_exc()
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        if not _TRACEBACK.value:
            print("(--traceback shows where)", file=sys.stderr)
        return 1


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
