"""Class files: the names, raw ids and colours of your own data set.

A class file is text with one class per line, in the order of the train ids, in one of the forms of
`class_text`; or JSON or YAML in the forms of `class_json`. Without ids, the first class has id 0.
`void`, `ignore` and `unlabeled` are excluded from loss and metrics. If each class has a colour and
none has an id, masks are read by colour, else by value. Anything that is not understood is an error
that names the line.
"""

import dataclasses
import pathlib
import re
from collections.abc import Collection, Sequence

from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.data.readers import class_json, class_text, mask_file, text_file
from jaxseg.data.readers.class_entry import FORMS, Entry
from jaxseg.ignore import IGNORE

_MOST_COLOURS = 256  # raw ids of masks that are read by colour have 8 bits
_SHOWN = 30  # classes
_ENDLESS = re.compile(r"[0-9]{100,}")  # ids have at most 5 digits


@dataclasses.dataclass(frozen=True)
class Classes:
    """The content of a class file.

    Attributes:
      path: the file.
      labels: names, palette and raw ids.
      colours: RGB -> raw id if masks are read by colour; else None.
      with_ids: whether the file gives raw ids, instead of counting them from 0.
      bare_void: the ids of void lines without an id or a colour; 255 in masks, the void of most
        data sets, has the same meaning.
    """

    path: pathlib.Path
    labels: LabelSpec
    colours: mask_file.Colours | None
    with_ids: bool
    bare_void: tuple[int, ...] = ()

    def text(self) -> str:
        """One line: how masks are read, the id and name of each class, and what is void."""
        ids: dict[int, list[int]] = {}
        for raw, train in self.labels.raw_to_train.items():
            ids.setdefault(train, []).append(raw)
        listed = [
            f"{ids[k][0]} {name}" for k, name in enumerate(self.labels.names[:_SHOWN])
        ]  # each class has one id here
        more = self.labels.num_classes - len(listed)
        void = ", ".join(map(str, ids.get(IGNORE, ()))) or "none"
        return (
            f"{self.path}: {self.labels.num_classes} classes, masks are read by "
            f"{'number' if self.colours is None else 'colour'}: {', '.join(listed)}"
            + (f" and {more} more" if more else "")
            + f"; void: {void}"
        )

    def doubts(self, seen: Collection[int], problems: Collection[str] = ()) -> list[str]:
        """Suggested corrections of these classes for some masks, a line each.

        Args:
          seen: raw ids in the masks.
          problems: found in the files.
        """
        if self.colours is not None:
            if not any(mask_file.UNKNOWN_COLOURS in line for line in problems):
                return []
            return [
                f"{self.path}: add a line for each colour of the masks, such as `NAME RED GREEN "
                "BLUE` or `void RED GREEN BLUE`"
            ]
        held = [raw for raw in self.bare_void if raw in seen]
        if held and IGNORE in seen:
            return [
                f"{self.path}: the line of void stands for id {held[0]} by its position and for "
                "255, and the masks hold both: give each line its id"
            ]
        unknown = sorted(set(seen) - self.labels.raw_to_train.keys())
        if not unknown:
            return []
        void = f"`{IGNORE} void`" if self.with_ids else "`void`"
        lines = []
        if IGNORE in unknown:
            names = [*self.labels.names, "NAME", "NAME"]
            lines.append(f"{self.path}: if 255 is void, add the line {void}")
            if set(seen) == {0, IGNORE}:
                lines[0] += (
                    f"; if the masks mark one class by 255, its lines are `0 {names[0]}` and "
                    f"`255 {names[1]}`"
                )
        if others := [raw for raw in unknown if raw != IGNORE]:
            ids = ", ".join(map(str, others[:_SHOWN])) + (" ..." if len(others) > _SHOWN else "")
            counted = len(self.labels.raw_to_train.keys() - {IGNORE})
            if self.with_ids:
                way = f"add a line for each, such as `{others[0]} NAME` or `{others[0]} void`"
            elif others == list(range(counted, counted + len(others))):
                way = "add a line for each at the end, `NAME` or `void`"
            else:
                way = (
                    f"give the lines their ids, as in `0 {self.labels.names[0]}`, and add a line "
                    f"for each, such as `{others[0]} NAME` or `{others[0]} void`"
                )
            which = "id" if len(others) == 1 else "ids"
            lines.append(f"{self.path}: no class has the {which} {ids}: {way}")
        return lines


def _refuse_endless_numbers(text: str, path: pathlib.Path) -> None:
    """Raises on endless numbers, since Python's own error names no file."""
    if found := _ENDLESS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"{path} line {line}: a number of {len(found[0])} digits; {FORMS}")


def _entries(path: pathlib.Path) -> list[Entry]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file: --classes must name a file with one class per line"
        )
    text = text_file.read(path)
    _refuse_endless_numbers(text, path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return class_json.json_entries(text, str(path))
    if suffix in (".yaml", ".yml"):
        return class_json.yaml_entries(text, str(path))
    if text.lstrip()[:1] in ("[", "{"):
        raise ValueError(f"{path} line 1: JSON must be in a file named *.json; {FORMS}")
    return class_text.entries(text, str(path))


def _ids(entries: Sequence[Entry]) -> list[int | None]:
    """The raw id of each entry; None for void without an id if classes have ids."""
    if not any(one.raw is not None for one in entries):
        first = entries[0].name == "__ignore__" and entries[0].bare  # labelme's -1
        counted: list[int | None] = list(range(len(entries) - first))
        return [IGNORE, *counted] if first else counted
    lost = next((one for one in entries if one.raw is None and not one.bare), None)
    if lost:
        raise ValueError(f"{lost.where}: {lost.name!r} has no id, but others have one")
    return [one.raw for one in entries]


def _check_twice(entries: Sequence[Entry], ids: Sequence[int | None], by_colour: bool) -> None:
    """Raises on duplicate names, ids and, if they are read, colours."""
    known: dict[object, str] = {}
    for one, raw in zip(entries, ids, strict=True):
        keys = [] if one.void else [("the name", one.name)]
        keys += [] if raw is None else [("the id", raw)]  # type: ignore[list-item]
        keys += [("the colour", " ".join(map(str, one.colour or ())))] if by_colour else []
        for key in keys:
            if key in known:
                raise ValueError(f"{one.where}: {key[0]} {key[1]} occurs twice; see {known[key]}")
            known[key] = one.where


def read_classes(path: pathlib.Path) -> Classes:
    """Reads a class file.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: describes the fault, with the line and the accepted forms.
    """
    entries = _entries(path)
    if not entries:
        raise ValueError(f"{path} names no classes; {FORMS}")
    ids = _ids(entries)
    with_ids = any(one.raw is not None for one in entries)
    coloured = [one for one in entries if one.colour]
    plain = next((one for one in entries if not one.colour), None)
    if coloured and plain and not with_ids:
        raise ValueError(
            f"{plain.where}: {plain.name!r} has no colour, but {coloured[0].name!r} has one: give "
            "all of them a colour, or all an id"
        )
    by_colour = bool(coloured) and not with_ids
    _check_twice(entries, ids, by_colour)
    if by_colour and len(entries) > _MOST_COLOURS:
        raise ValueError(f"{path}: {len(entries)} colours; at most {_MOST_COLOURS} are read")
    kept = [one for one in entries if not one.void]
    train_ids = iter(range(len(kept)))
    raw_to_train = {
        raw: IGNORE if one.void else next(train_ids)
        for raw, one in zip(ids, entries, strict=True)
        if raw is not None
    }
    bare = [raw for raw, one in zip(ids, entries, strict=True) if one.bare]
    if bare and raw_to_train.setdefault(IGNORE, IGNORE) != IGNORE and None in bare:
        where = next(one.where for one in entries if one.bare)
        raise ValueError(f"{where}: void without an id is 255, which a class has: give it an id")
    spare = voc_palette(len(kept))
    try:
        labels = LabelSpec(
            names=tuple(one.name for one in kept),
            palette=tuple(one.colour or colour for one, colour in zip(kept, spare, strict=True)),
            raw_to_train=raw_to_train,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    colours = None
    if by_colour:
        colours = {one.colour: raw for one, raw in zip(entries, ids, strict=True)}
    at = tuple(raw for raw in bare if raw not in (None, IGNORE))
    return Classes(path, labels, colours, with_ids, at)  # type: ignore[arg-type]
