"""Reads text files written by people and tools: lists of names, tables, class files."""

import codecs
import pathlib

_MARKS = (  # UTF-32's begins as UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read(path: pathlib.Path) -> str:
    r"""The text of a file, without its byte-order mark, with "\n" as the only line end.

    It is read as UTF-8, or as UTF-16 or UTF-32 if it begins with their mark, as "Unicode" files on
    Windows do.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not a text in one of these encodings; the message names the file.
    """
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not a text file in {encoding.upper()}: byte {error.start} cannot be "
            "decoded; save it in UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path} is not a text file in UTF-8: it holds NUL; save it in UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(path: pathlib.Path) -> list[tuple[int, str]]:
    """The stripped, non-blank lines with their numbers, from 1."""
    numbered = enumerate(read(path).split("\n"), 1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


def names(path: pathlib.Path) -> list[str]:
    """The words of a file, one or more per line, as in lists of published data sets."""
    return read(path).split()
