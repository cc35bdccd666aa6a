"""LabelSpec: the meaning of the ids in a data set's label files; applied once, by the reader.

A raw id is the number in the file; a train id is 0 to K - 1, or IGNORE (255) for void.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxseg.ignore import IGNORE

MAX_CLASSES = 254  # 255 is void, and another value marks unknown raw ids
_UNKNOWN = 254
_VOID_COLOUR = (224, 224, 192)  # PASCAL VOC's colour of id 255


def voc_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """The first `count` colours of PASCAL VOC's colour map: bits 0, 3, 6 of the id become the top
    bits.

    Source: VOCdevkit, VOClabelcolormap: bit i of a channel, from the top, is bit 3 i (red),
    3 i + 1 (green), 3 i + 2 (blue) of the id.
    """
    colours = []
    for k in range(count):
        channels = [sum((k >> (3 * i + c) & 1) << (7 - i) for i in range(8)) for c in range(3)]
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)


@dataclasses.dataclass(frozen=True)
class LabelSpec:
    """The classes of a data set.

    Attributes:
      names: of the K classes, in the order of their train ids.
      palette: RGB of each class.
      raw_to_train: every raw id that a label file may hold -> train id, or 255 for void.
      stuff: of an instance set whose pixels have classes too: "things", for all classes of objects
        together, and then the classes of stuff; None for other sets.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    raw_to_train: Mapping[int, int]
    stuff: "LabelSpec | None" = None

    def __post_init__(self) -> None:
        k = self.num_classes
        if not 1 <= k <= MAX_CLASSES:
            raise ValueError(f"a LabelSpec has 1 to {MAX_CLASSES} classes, not {k}")
        if len(set(self.names)) != k:
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"class names occur twice: {', '.join(twice)}")
        if len(self.palette) != k:
            raise ValueError(f"{k} names but {len(self.palette)} colours")
        for raw, train in self.raw_to_train.items():
            if not 0 <= raw <= 65535:
                raise ValueError(f"raw id {raw}: label files hold 0 to 65535")
            if train != IGNORE and not 0 <= train < k:
                raise ValueError(f"raw id {raw} leads to {train}: neither a class nor {IGNORE}")
        missing = set(range(k)) - set(self.raw_to_train.values())
        if missing:
            lost = ", ".join(self.names[i] for i in sorted(missing))
            raise ValueError(f"no raw id leads to: {lost}")

    @property
    def num_classes(self) -> int:
        """K, without void."""
        return len(self.names)

    @functools.cached_property
    def _table(self) -> np.ndarray:
        table = np.full(65536, _UNKNOWN, np.uint8)
        for raw, train in self.raw_to_train.items():
            table[raw] = train
        return table

    def encode(self, raw: np.ndarray, where: str) -> np.ndarray:
        """Raw ids -> train ids.

        Args:
          raw: uint8 or uint16, any shape.
          where: the file or example, for the error.

        Returns:
          uint8 of the same shape: 0 to K - 1, or 255.

        Raises:
          ValueError: names an id that the spec does not define, and its number of pixels.
        """
        if raw.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"{where}: labels are {raw.dtype}, not uint8 or uint16")
        label = self._table.take(raw)  # 2x faster than indexing
        unknown = label == _UNKNOWN
        if unknown.any():
            ids, counts = np.unique(raw[unknown], return_counts=True)
            found = ", ".join(f"{i} ({n} pixels)" for i, n in zip(ids, counts, strict=True))
            raise ValueError(f"{where}: holds ids that the LabelSpec does not know: {found}")
        return label

    def colour(self, label: np.ndarray) -> np.ndarray:
        """Train ids uint8 [...] -> RGB uint8 [..., 3]; void is a light grey-yellow."""
        table = np.full((256, 3), _VOID_COLOUR, np.uint8)
        table[: self.num_classes] = self.palette
        return table[label]

    def png_palette(self) -> bytes:
        """The colours of all 256 ids, as Pillow's `putpalette` takes them."""
        return self.colour(np.arange(256, dtype=np.uint8)).tobytes()

    def to_json(self) -> str:
        """The spec as text; `from_json` reads it."""
        return json.dumps(self._values(), ensure_ascii=False)

    def _values(self) -> dict[str, Any]:
        values = {
            "names": self.names,
            "palette": self.palette,
            "raw_to_train": {str(raw): train for raw, train in self.raw_to_train.items()},
        }
        return values | ({"stuff": self.stuff._values()} if self.stuff else {})

    @classmethod
    def from_json(cls, text: str) -> "LabelSpec":
        """The inverse of `to_json`.

        Raises:
          ValueError: the text is invalid; nothing in it is converted or ignored.
        """
        try:
            values = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_members_once)
            return cls._of_values(values)
        except (KeyError, TypeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"not a LabelSpec: {error!r}") from error

    @classmethod
    def _of_values(cls, values: Any) -> "LabelSpec":
        names, palette, table = (values[key] for key in ("names", "palette", "raw_to_train"))
        _check_types(names, palette, table)
        return cls(
            names=tuple(names),
            palette=tuple((r, g, b) for r, g, b in palette),
            raw_to_train={int(raw): train for raw, train in table.items()},
            stuff=cls._of_values(values["stuff"]) if "stuff" in values else None,
        )


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise TypeError("a member of an object is repeated")
    return members


def _check_types(names: Any, palette: Any, table: Any) -> None:
    """Raises TypeError for values that `to_json` never writes."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("names is not a list of texts")
    for colour in palette if isinstance(palette, list) else [None]:
        channels = colour if isinstance(colour, list) else []
        if len(channels) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in channels):
            raise TypeError(f"palette holds {colour!r}, not three numbers from 0 to 255")
    for raw, train in table.items() if isinstance(table, dict) else [(None, None)]:
        if raw is None or str(int(raw) if raw.isascii() and raw.isdigit() else "") != raw:
            raise TypeError(f"raw_to_train holds the id {raw!r}, not a whole number")
        if type(train) is not int:
            raise TypeError(f"raw_to_train leads from {raw} to {train!r}, not a whole number")


ANY_OBJECT = LabelSpec(("object",), voc_palette(2)[1:], {1: 0})  # the class of proposals
