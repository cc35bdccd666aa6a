"""Starts a command: prints help on its own flags, or parses the flags and calls main()."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags

from jaxseg.cli import help as help_text

_ASKING = {"--help", "-help", "-h", "--helpshort"}


def parse(arguments: list[str]) -> list[str]:
    """Parses flags with absl; a wrong flag gives a one-line error and exit status 2."""
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        print(f"jaxseg: {error}", file=sys.stderr)
        sys.exit(2)


@dataclasses.dataclass(frozen=True)
class Program:
    """A command.

    Attributes:
      name: what the user types to start it.
      usage: the arguments after the name.
      about: what it does, as in its module's docstring.
      main: takes the program's name and the arguments that are not flags; returns the exit status.
      own: the names of the flags that it reads, in the order of its help.
      parse: parses the whole command line and returns the arguments that are not flags.
      more: returns further help lines, shown below the flags, for a command line.
    """

    name: str
    usage: str
    about: str
    main: Callable[[Sequence[str]], int]
    own: Sequence[str]
    parse: Callable[[list[str]], list[str]] = parse
    more: Callable[[list[str]], list[str]] = lambda _: []


def start(program: Program, arguments: Sequence[str]) -> NoReturn:
    """Runs a command and exits with its status.

    Args:
      program: the command, whose flags must be defined.
      arguments: the command line without the name of the command.
    """
    line = [program.name, *arguments]
    if _ASKING.isdisjoint(arguments):
        app.run(program.main, argv=line, flags_parser=program.parse)
    own = [flags.FLAGS[name] for name in program.own]
    usage = f"{program.name} {program.usage}"
    print(help_text.text(usage, program.about, own, program.more(line)))
    sys.exit(0)


def defined_in(*modules: str) -> list[str]:
    """The names of the flags that modules define, in the order of their definition."""
    by_module = flags.FLAGS.flags_by_module_dict()
    return [flag.name for module in modules for flag in by_module[module]]
