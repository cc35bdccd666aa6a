"""How errors are shown to the user of a command."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

# What XLA and the libraries below it say where there is no memory left, in lower case.
_NO_MEMORY = (
    "resource_exhausted",
    "out of memory",
    "out_of_memory",
    "memory space",
    "alloc_failed",
    "failed to alloc",
    "unable to allocate",
    "bad_alloc",
)


def no_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or this machine, has no memory left."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(word in said for word in _NO_MEMORY)


def too_little_memory(error: BaseException, mode: str) -> str:
    """What to lower where there is no memory left; "" for any other error.

    Args:
      error: of a mode of the command line.
      mode: its name.
    """
    if not no_memory(error):
        return ""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    way = {
        "train": "--config.data.batch_size, --config.data.crop_size, or --config.train.accumulate "
        "for the same batch in parts",
        "evaluate": "--config.eval.batch_size, or --config.eval.sliding=True for windows",
    }.get(mode, "the input")
    return f"the memory is too small ({said}); make it do with less: {way}"


def counted(number: int, noun: str) -> str:
    """A number and what it counts, "1 image" or "3 images"; the plural is the noun with an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
