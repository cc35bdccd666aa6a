"""A file of classes: names, raw ids and colours of one's own data.

Text: one class a line, in the order of the train ids. A line is `NAME`, `ID NAME`, `NAME RED GREEN
BLUE` or `ID NAME RED GREEN BLUE`; without ids, the first line is 0. `void` and `ignore` are kept
out of loss and metrics. Where each line has a colour and none has an id, masks are read by colour,
else by number. Or JSON: a list of names, or of {"name", "id", "color", "ignore"}.
"""

import dataclasses
import json
import pathlib
from typing import Any

from jaxseg.data import files
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.types import IGNORE

_VOID = ("void", "ignore")


@dataclasses.dataclass(frozen=True)
class _Line:
    """One class of the file."""

    name: str
    raw: int | None
    colour: tuple[int, int, int] | None
    void: bool


def _number(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() else None


def _text_line(text: str, where: str) -> _Line:
    words = text.replace(",", " ").split()
    raw = _number(words[0]) if len(words) > 1 else None
    if raw is not None:
        words = words[1:]
    numbers = [_number(word) for word in words[-3:]]
    colour = None
    if len(words) > 3 and None not in numbers:
        red, green, blue = (int(n or 0) for n in numbers)
        if max(red, green, blue) > 255:
            raise ValueError(f"{where}: {text!r}: a colour has three numbers from 0 to 255")
        colour, words = (red, green, blue), words[:-3]
    name = " ".join(words)
    return _Line(name, raw, colour, name.lower() in _VOID)


def _json_line(value: Any, where: str) -> _Line:
    if isinstance(value, str):
        return _Line(value, None, None, value.lower() in _VOID)
    known = {"name", "id", "color", "colour", "ignore"}
    if not isinstance(value, dict) or "name" not in value or set(value) - known:
        raise ValueError(f"{where}: {value!r}: a class is a name, or name, id, color, ignore")
    colour = value.get("color", value.get("colour"))
    if colour is not None:
        numbers = colour if isinstance(colour, list) else []
        if len(numbers) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in numbers):
            raise ValueError(f"{where}: {value!r}: a colour has three numbers from 0 to 255")
        colour = tuple(colour)
    raw, name = value.get("id"), str(value["name"])
    if raw is not None and type(raw) is not int:
        raise ValueError(f"{where}: {value!r}: an id is a whole number")
    return _Line(name, raw, colour, value.get("ignore", name.lower() in _VOID))


def read_classes(path: pathlib.Path) -> tuple[LabelSpec, files.Colours | None]:
    """The LabelSpec of a classes file, and RGB -> raw id where masks are to be read by colour.

    Raises:
      FileNotFoundError: no such file.
      ValueError: what is wrong in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: --classes names one, a class a line")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            values = json.loads(text)
            if not isinstance(values, list):
                raise ValueError(f"{path} holds no list of classes")
            lines = [_json_line(value, str(path)) for value in values]
        else:
            rows = [row.partition("#")[0].strip() for row in text.splitlines()]
            lines = [_text_line(row, str(path)) for row in rows if row]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text (UTF-8): {error}") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    given = [line.raw is not None for line in lines]
    if any(given) and not all(given):
        raise ValueError(f"{path}: {lines[given.index(False)].name!r} has no id, others have")
    raws = [i if line.raw is None else line.raw for i, line in enumerate(lines)]
    if twice := {raw for raw in raws if raws.count(raw) > 1}:
        raise ValueError(f"{path}: ids occur twice: {sorted(twice)}")
    kept = [line for line in lines if not line.void]
    spare = voc_palette(len(kept))
    train_ids = iter(range(len(kept)))
    try:
        labels = LabelSpec(
            names=tuple(line.name for line in kept),
            palette=tuple(line.colour or colour for line, colour in zip(kept, spare, strict=True)),
            raw_to_train={
                raw: IGNORE if line.void else next(train_ids)
                for raw, line in zip(raws, lines, strict=True)
            },
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if any(given) or not all(line.colour for line in lines):
        return labels, None
    colours = {line.colour: raw for line, raw in zip(lines, raws, strict=True) if line.colour}
    if len(colours) < len(lines):
        raise ValueError(f"{path}: two classes have the same colour")
    return labels, colours
