"""Flags, experiment and output of the analysis programs.

Only programs import this module, since it defines flags.
"""

import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging
from matplotlib.figure import Figure
from ml_collections import config_flags

from jaxseg import config, whole_file
from jaxseg.checks.experiment import check
from jaxseg.cli import command_line
from jaxseg.errors import one_line
from jaxseg.workdir.log import write_json

_CONFIG = config_flags.DEFINE_config_file("config", None, "An experiment file.")
WORKDIR = flags.DEFINE_string("workdir", None, "A run folder, whose config is used instead.")
_SIZE = flags.DEFINE_list("size", None, "height,width of the image; default: those of the crop.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the picture and the numbers.")


def experiment() -> config.Experiment:
    """The requested experiment.

    Raises:
      ValueError: none is given.
    """
    found = given_experiment()
    if found is None:
        raise ValueError("no --config=experiments/NAME.py and no run folder (--workdir) is given")
    return found


def given_experiment() -> config.Experiment | None:
    """The experiment of --config or --workdir, ready to use; None if neither is given.

    Raises:
      ValueError: a run folder without a config, a field out of range.
    """
    if _CONFIG.value is None:
        if WORKDIR.value:
            raise ValueError(f"{WORKDIR.value}/config.json is missing: it is not a run's folder")
        return None
    check(_CONFIG.value)
    command_line.prepare_jax(_CONFIG.value)
    return _CONFIG.value


def size(found: config.Experiment) -> tuple[int, int]:
    """(height, width) of the image.

    Raises:
      ValueError: --size is not two positive numbers.
    """
    if _SIZE.value is None:
        return found.data.crop_size
    numbers = integers("size", _SIZE.value)
    if len(numbers) != 2:
        raise ValueError(f"--size={','.join(_SIZE.value)} must be height,width")
    return numbers[0], numbers[1]


def integers(flag: str, values: Sequence[str], least: int = 1) -> list[int]:
    """The numbers of a list flag.

    Raises:
      ValueError: one is not a whole number or is below `least`.
    """
    try:
        numbers = [int(value) for value in values]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < least:
        raise ValueError(f"--{flag}={','.join(values)}: whole numbers from {least} are allowed")
    return numbers


def write(name: str, numbers: Any, figure: Figure) -> None:
    """Writes --output/NAME.json and --output/NAME.png and prints their paths.

    Raises:
      ValueError: --output is not given.
      OSError: it cannot be written to.
    """
    if not _OUTPUT.value:
        raise ValueError("--output=FOLDER is missing")
    folder = pathlib.Path(_OUTPUT.value).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", numbers)
    picture = folder / f"{name}.png"
    with whole_file.writing(picture) as file:
        figure.savefig(file, format="png", dpi=110)
    print(f"{folder / name}.json and .png")


def start(run: Callable[[], None]) -> None:
    """Parses flags and runs a program; errors that the user can fix are printed as one line.

    Exit status: 0 success, 1 error, 2 wrong flag.
    """

    def main(arguments: Sequence[str]) -> int:
        logging.set_verbosity(logging.WARNING)
        if len(arguments) > 1:
            print(f"jaxseg: {arguments[1]!r} is not a flag; see --help", file=sys.stderr)
            return 2
        try:
            run()
        except (ValueError, OSError, KeyError) as error:
            print(f"jaxseg: {one_line(error)}", file=sys.stderr)
            return 1
        return 0

    app.run(main, flags_parser=command_line.parse)
