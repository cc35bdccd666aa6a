"""Starts a command: help that lists its own flags and ends with 0, flags parsed, main() called."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags

from jaxseg.cli import help as help_text

_ASKING = ("--help", "-help", "-h", "--helpshort")


@dataclasses.dataclass(frozen=True)
class Program:
    """A command.

    Attributes:
      usage: how it is called, its name first.
      about: what it does, its module's docstring.
      main: takes the program's name and what is left beside flags; returns the exit status.
      parse: takes the whole command line and leaves what is not a flag.
      own: the names of the flags that it reads, in the order of its help.
      experiment: what --config or --workdir names on a command line, whose fields its help lists.
    """

    usage: str
    about: str
    main: Callable[[Sequence[str]], int]
    parse: Callable[[list[str]], list[str]]
    own: Sequence[str]
    experiment: Callable[[list[str]], Any] = lambda _: None


def start(program: Program, arguments: Sequence[str]) -> NoReturn:
    """Runs a command and ends the process with its exit status.

    Args:
      program: the command; its flags are defined.
      arguments: those of the command line, without its name.
    """
    line = [program.usage.partition(" --")[0].partition(" [")[0], *arguments]
    if not set(_ASKING) & set(arguments):
        app.run(program.main, argv=line, flags_parser=program.parse)
    experiment = program.experiment(line)
    own = [flags.FLAGS[name] for name in program.own]
    print(help_text.text(program.usage, program.about, own, experiment))
    sys.exit(0)
