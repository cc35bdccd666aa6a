"""What an error says to the user of a command."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence


def one_line(error: BaseException) -> str:
    """The message of an error; the operating system's without its number, the file first."""
    if isinstance(error, OSError) and error.strerror:
        file = "" if error.filename is None else f"{error.filename}: "
        return f"{file}{error.strerror[:1].lower()}{error.strerror[1:]}"
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error)


def together(faults: Sequence[str], what: str = "settings") -> str:
    """Several faults of one configuration as one message; a single one is its own."""
    if len(faults) == 1:
        return faults[0]
    return "\n".join([f"{len(faults)} {what} cannot be used:", *faults])


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
    """Puts the file into an error of writing to it, in which the operating system names none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or not error.errno:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
