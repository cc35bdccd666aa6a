"""Compares runs: a Markdown table for the terminal, and a self-contained HTML page.

python -m jaxseg.report runs/stride16 runs/stride8
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from jaxseg import whole_file
from jaxseg.errors import one_line
from jaxseg.reporting import page, run_folder
from jaxseg.reporting.run import with_names
from jaxseg.reporting.text import markdown


def write(folders: Sequence[pathlib.Path | str], output: pathlib.Path | str | None = None) -> str:
    """Writes report.html and report.md.

    Args:
      folders: run folders, in the order of the columns.
      output: folder to write to; None: the run folder or, for several runs, their parent folder.

    Returns:
      The markdown.

    Raises:
      FileNotFoundError: a folder is not a run folder.
    """
    loaded = with_names([run_folder.load(folder) for folder in folders])
    if output is None:
        output = loaded[0].folder if len(loaded) == 1 else loaded[0].folder.resolve().parent
    output = pathlib.Path(output)
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f"{output} is a file: --output names a folder")
    output.mkdir(parents=True, exist_ok=True)
    text = markdown(loaded)
    whole_file.sweep(output)
    whole_file.write_text(output / "report.html", page.html(loaded))
    whole_file.write_text(output / "report.md", text)
    print(f"{output / 'report.html'}", file=sys.stderr)
    return text


def start(arguments: Sequence[str]) -> NoReturn:
    """`jaxseg report`."""
    sys.exit(main(arguments, "jaxseg report"))


def main(arguments: Sequence[str] | None = None, name: str = "python -m jaxseg.report") -> int:
    """The command line; the exit status is 1 if a folder is not a run folder."""
    parser = argparse.ArgumentParser(prog=name, description=__doc__)
    parser.add_argument("run", nargs="+", help="a run folder (--workdir of a training)")
    parser.add_argument("--output", help="folder for report.html and report.md")
    given = parser.parse_args(arguments)
    try:
        print(write(given.run, given.output), end="")
    except (OSError, ValueError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
