"""Lists the files below a folder: what counts as data, and what is left out and why."""

import os
import pathlib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

_OF_SYSTEMS = {  # made by file managers and systems, some with copies of images in them
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
}
NOTHING: Mapping[str, str] = {}
_SHOWN = 5  # names for one reason


class LeftOut(NamedTuple):
    """A file or folder that is not used.

    Attributes:
      path: of it, below the folder that was searched.
      reason: why.
      fault: data may be lost by it: a link that leads nowhere, a name that cannot be written.
      folder: it is a folder, and what it holds was not looked at.
    """

    path: pathlib.Path
    reason: str
    fault: bool = False
    folder: bool = False


class Found(NamedTuple):
    """The files below a folder in the order of their paths, and what is left out."""

    files: list[pathlib.Path]
    left_out: list[LeftOut]

    def checked(self) -> list[pathlib.Path]:
        """The files.

        Raises:
          ValueError: data may be lost among what is left out; all of it is named.
        """
        if faults := [shown(each) for each in self.left_out if each.fault]:
            raise ValueError("; ".join(faults[:_SHOWN]) + _more(faults))
        return self.files


def shown(left: LeftOut) -> str:
    """A file or folder with the reason why it is left out, whatever characters its name has."""
    return f"{printable(left.path)} {left.reason}"


def printable(path: pathlib.Path) -> str:
    """The path as text that every terminal and file takes."""
    return str(path).encode(errors="backslashreplace").decode()


def below(folder: pathlib.Path, *, without: Mapping[str, str] = NOTHING) -> Found:
    """Searches a folder in depth; links to files and folders are followed.

    Names that begin with a dot and those that systems make (__MACOSX, Thumbs.db) are left out; so
    is a link to a folder in which it lies itself.

    Args:
      folder: to search; its own name is not looked at.
      without: real paths of folders that are not searched -> why; "" is not said.

    Raises:
      OSError: a folder cannot be listed.
    """
    found = Found([], [])
    _search(folder, (os.path.realpath(folder),), without, found)
    return found


def _search(
    folder: pathlib.Path, above: tuple[str, ...], without: Mapping[str, str], found: Found
) -> None:
    """Adds what a folder holds; `above` are the real paths of it and of those that hold it."""
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
            reason = f"is a link to {real}, in which it lies itself"
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
    return "is made by the system" if name.lower() in _OF_SYSTEMS else ""


def _writable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def nfc(name: str) -> str:
    """The name in Unicode's composed form: macOS writes the letter e with an accent as two."""
    return unicodedata.normalize("NFC", name)


def existing(folder: pathlib.Path, name: str) -> pathlib.Path:
    r"""The file that a list names, whatever the Unicode form of its name, and with / for \.

    Where there is none, the name as it stands.
    """
    slashed = name.replace("\\", "/")
    for text in (name, slashed):
        for form in (text, nfc(text), unicodedata.normalize("NFD", text)):
            if (folder / form).exists():
                return folder / form
    return folder / name


def text(left_out: Iterable[LeftOut], folder: pathlib.Path | None = None) -> str:
    """What is left out, grouped by the reason; "" for nothing.

    Args:
      left_out: files and folders.
      folder: their paths are said from here.
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
    """The files of some kinds, whatever the case of their suffixes; the others are left out.

    Args:
      found: the files.
      suffixes: in lower case, with the dot.
      what: "an image", "a mask".
    """
    files = [path for path in found.files if path.suffix.lower() in suffixes]
    others = [
        LeftOut(path, f"is not {what} by its suffix")
        for path in found.files
        if path.suffix.lower() not in suffixes
    ]
    order = sorted([*found.left_out, *others], key=lambda left: left.path)
    return Found(files, order)
