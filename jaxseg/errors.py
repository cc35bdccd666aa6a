"""Formats errors for the user of a command."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

# What XLA and the libraries below it say when memory is exhausted, in lower case.
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
    """Which fields to lower if memory is exhausted; "" for any other error.

    Args:
      error: raised by a mode of the command line.
      mode: the name of the mode.
    """
    if not no_memory(error):
        return ""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    way = {
        "train": "--config.data.batch_size, --config.data.crop_size, or --config.train.accumulate "
        "for the same batch in parts",
        "evaluate": "--config.eval.batch_size, or --config.eval.sliding=True for windows",
    }.get(mode, "the input")
    return f"out of memory ({said}); to use less, change {way}"


def counted(number: int, noun: str) -> str:
    """A number with its noun, "1 image" or "3 images"; the plural is formed with an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_line(error: BaseException) -> str:
    """The message of an error; for an OSError the file first, and without the error number."""
    if isinstance(error, OSError) and error.strerror:
        file = "" if error.filename is None else f"{error.filename}: "
        return f"{file}{error.strerror[:1].lower()}{error.strerror[1:]}"
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error)


def together(faults: Sequence[str], what: str = "settings") -> str:
    """Joins several faults of a configuration into one message; a single fault is left as it is."""
    if len(faults) == 1:
        return faults[0]
    return "\n".join([f"{len(faults)} {what} cannot be used:", *faults])


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
    """Adds the file to an OSError raised inside the block, if it names none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or not error.errno:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
