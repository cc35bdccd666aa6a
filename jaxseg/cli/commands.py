"""The command `jaxseg` and its sub-commands, each of which can also be started as a module.

    jaxseg train --config=experiments/quickstart.py --workdir=runs/quickstart
    jaxseg evaluate --workdir=runs/quickstart
    jaxseg train --config=experiments/quickstart.py --help

`python -m jaxseg train` is the same.
"""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jaxseg


class Command(NamedTuple):
    """A sub-command.

    Attributes:
      module: the module that implements it.
      start: the function that runs it with its arguments and exits.
      about: a one-line description.
    """

    module: str
    start: str
    about: str


COMMANDS = {
    "train": Command("jaxseg.main", "start", "Train a network, or resume a run."),
    "evaluate": Command("jaxseg.main", "start", "Evaluate a run, or a weight file, on a split."),
    "predict": Command("jaxseg.main", "start", "Label images with a run, or with a weight file."),
    "summary": Command("jaxseg.main", "start", "Print each layer's stride, rate, field and cost."),
    "report": Command("jaxseg.report", "start", "Compare runs, as text and as an HTML page."),
    "prepare": Command("jaxseg.cli.data_programs", "prepare", "Prepare a data set for training."),
    "doctor": Command("jaxseg.cli.data_programs", "doctor", "Check a data set for faults."),
    "convert": Command(
        "jaxseg.convert", "start", "Convert a weight file into a checkpoint to start from."
    ),
    "submission": Command("jaxseg.submission", "start", "Pack predictions for a test server."),
}
MODES = ("train", "evaluate", "predict", "summary")  # of jaxseg.main


def overview() -> str:
    """What `jaxseg --help` prints."""
    lines = [
        f"jaxseg {jaxseg.__version__}: segmentation in JAX and Flax",
        "",
        "usage: jaxseg COMMAND [FLAGS]",
        "",
    ]
    lines += [f"  {name:<12}{command.about}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "jaxseg COMMAND --help lists the flags of a command."])


def refusal(name: str) -> str:
    """The error message about an unknown sub-command."""
    if name.startswith("-"):
        return f"{name} must follow the command: jaxseg COMMAND {name}"
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    hint = f"did you mean jaxseg {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
    return f"{name!r} is not a command of jaxseg: {hint}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the sub-command that the command line names.

    Args:
      arguments: the arguments after `jaxseg`; None: those of this process.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h", "help"):
        print(overview())
        return 0
    if name in ("--version", "version"):
        print(f"jaxseg {jaxseg.__version__}")
        return 0
    if name not in COMMANDS:
        print(f"jaxseg: {refusal(name)}", file=sys.stderr)
        return 2
    # Experiment files import each other relative to the current folder, as with `python -m`;
    # installed packages come first.
    sys.path.append(os.getcwd())
    command = COMMANDS[name]
    start = getattr(importlib.import_module(command.module), command.start)
    start([f"--mode={name}", *rest] if name in MODES else rest)
    return 0
