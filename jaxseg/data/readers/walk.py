"""Lists the files below a folder: those that count as data, and those left out, with reasons."""

import os
import pathlib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

_OF_SYSTEMS = {  # created by file managers and systems, some containing copies of images
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
}
NOTHING: Mapping[str, str] = {}
_SHOWN = 5  # number of names per reason


class LeftOut(NamedTuple):
    """A file or folder that is not used.

    Attributes:
      path: below the searched folder.
      reason: why it is left out.
      fault: whether data may be lost: a broken link, or a name that cannot be written.
      folder: whether it is a folder, whose content was not searched.
    """

    path: pathlib.Path
    reason: str
    fault: bool = False
    folder: bool = False


class Found(NamedTuple):
    """The files below a folder, sorted by path, and what is left out."""

    files: list[pathlib.Path]
    left_out: list[LeftOut]

    def checked(self) -> list[pathlib.Path]:
        """The files.

        Raises:
          ValueError: lists what is left out if data may be lost.
        """
        if faults := [shown(each) for each in self.left_out if each.fault]:
            raise ValueError("; ".join(faults[:_SHOWN]) + _more(faults))
        return self.files


def shown(left: LeftOut) -> str:
    """A file or folder that is left out and the reason, as printable text."""
    return f"{printable(left.path)} {left.reason}"


def printable(path: pathlib.Path) -> str:
    """The path as text that is safe for every terminal and file."""
    return str(path).encode(errors="backslashreplace").decode()


def below(folder: pathlib.Path, *, without: Mapping[str, str] = NOTHING) -> Found:
    """Searches a folder recursively, following links to files and folders.

    Names that begin with a dot and those created by systems (__MACOSX, Thumbs.db) are left out, and
    so is a link to a folder that contains it.

    Args:
      folder: to search; its own name is not checked.
      without: real paths of folders to skip -> the reason; "" is not reported.

    Raises:
      OSError: a folder cannot be listed.
    """
    found = Found([], [])
    _search(folder, (os.path.realpath(folder),), without, found)
    return found


def _search(
    folder: pathlib.Path, above: tuple[str, ...], without: Mapping[str, str], found: Found
) -> None:
    """Adds the content of a folder; `above` are the real paths of it and its parents."""
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        path = folder / entry.name
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link to itself
            is_folder, is_file = False, False
        real = os.path.realpath(path) if is_folder else ""
        if reason := _never_data(entry.name):
            found.left_out.append(LeftOut(path, reason, folder=is_folder))
        elif not _writable(entry.name):
            reason = "has a name that is not UTF-8: rename it"
            found.left_out.append(LeftOut(path, reason, fault=True, folder=is_folder))
        elif is_folder and real in without:
            if without[real]:
                found.left_out.append(LeftOut(path, without[real], folder=True))
        elif is_folder and real in above:
            reason = f"is a link to {real}, which contains it"
            found.left_out.append(LeftOut(path, reason, folder=True))
        elif is_folder:
            _search(path, (*above, real), without, found)
        elif is_file:
            found.files.append(path)
        elif entry.is_symlink():
            reason = f"is a link to {os.readlink(path)}, which is missing"
            found.left_out.append(LeftOut(path, reason, fault=True))
        else:
            found.left_out.append(LeftOut(path, "is not a file"))


def _never_data(name: str) -> str:
    if name.startswith("."):
        return "has a name that begins with a dot"
    return "is created by the system" if name.lower() in _OF_SYSTEMS else ""


def _writable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def nfc(name: str) -> str:
    """The name in Unicode's composed form: macOS writes an accented letter as two characters."""
    return unicodedata.normalize("NFC", name)


def existing(folder: pathlib.Path, name: str) -> pathlib.Path:
    r"""The file that a list names, in any Unicode form, and with / or \.

    If there is none, the name is returned unchanged.
    """
    slashed = name.replace("\\", "/")
    for text in (name, slashed):
        for form in (text, nfc(text), unicodedata.normalize("NFD", text)):
            if (folder / form).exists():
                return folder / form
    return folder / name


def text(left_out: Iterable[LeftOut], folder: pathlib.Path | None = None) -> str:
    """Describes what is left out, grouped by reason; "" for nothing.

    Args:
      left_out: files and folders.
      folder: to which the paths are made relative.
    """
    grouped: dict[str, list[str]] = {}
    for path, reason, _, is_folder in left_out:
        near = path.relative_to(folder) if folder and path.is_relative_to(folder) else path
        name = printable(near) + ("/" if is_folder else "")
        grouped.setdefault(reason, []).append(name)
    return "; ".join(
        f"{', '.join(names[:_SHOWN])}{_more(names)} {_plural(reason) if len(names) > 1 else reason}"
        for reason, names in grouped.items()
    )


def _more(names: list[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""


def _plural(reason: str) -> str:
    first, _, rest = reason.partition(" ")
    return f"{ {'is': 'are', 'has': 'have'}.get(first, first) } {rest}"


def kinds(found: Found, suffixes: Collection[str], what: str) -> Found:
    """The files with some suffixes, ignoring case; the others are left out.

    Args:
      found: the files.
      suffixes: in lower case, with the dot.
      what: "an image" or "a mask".
    """
    files = [path for path in found.files if path.suffix.lower() in suffixes]
    others = [
        LeftOut(path, f"is not {what} by its suffix")
        for path in found.files
        if path.suffix.lower() not in suffixes
    ]
    order = sorted([*found.left_out, *others], key=lambda left: left.path)
    return Found(files, order)
