"""One class as a class file states it, before ids are assigned and classes are compared."""

import dataclasses
import re
import unicodedata

Colour = tuple[int, int, int]

VOID = ("void", "ignore", "unlabeled", "unlabelled", "__ignore__")
FORMS = (
    "accepted are, one class per line: NAME; ID NAME; ID: NAME; NAME: ID; each with a colour as "
    "RED "
    "GREEN BLUE or #RRGGBB after the name; RED GREEN BLUE NAME; a table with a header (name,r,g,b "
    'or id,name); CVAT\'s labelmap; names with numbers or commas in "quotes" (docs/own_images.md)'
)
_LARGEST_ID = 65535
_HEX = re.compile(r"#([0-9a-fA-F]{6})")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One class, or void.

    Attributes:
      where: the file and the line.
      name: of the class.
      raw: its id in the masks; None if the file gives none.
      colour: RGB; None if the file gives none.
      void: whether it is excluded from loss and metrics.
    """

    where: str
    name: str
    raw: int | None = None
    colour: Colour | None = None
    void: bool = False

    @property
    def bare(self) -> bool:
        """Whether it is void without an id or a colour."""
        return self.void and self.raw is None and self.colour is None


def entry(
    where: str,
    name: str,
    raw: int | None = None,
    colour: Colour | None = None,
    void: bool | None = None,
) -> Entry:
    """An Entry with checked values; the name is in NFC, with single spaces.

    Raises:
      ValueError: the name is empty or has control characters, or no mask can hold the id.
    """
    check_characters(where, name)
    plain = unicodedata.normalize("NFC", " ".join(name.split()))
    if not plain:
        raise ValueError(f"{where}: a class without a name; {FORMS}")
    if raw is not None and not 0 <= raw <= _LARGEST_ID:
        raise ValueError(f"{where}: the id {raw}: masks hold ids from 0 to {_LARGEST_ID}")
    return Entry(where, plain, raw, colour, plain.lower() in VOID if void is None else void)


def check_characters(where: str, text: str) -> None:
    """Raises on control characters (except tabs), line separators and byte-order marks."""
    for c in text:
        if c != "\t" and (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c == "\ufeff"):
            raise ValueError(f"{where}: {text!r} holds the control character {c!r}; remove it")


def number(text: str) -> int | None:
    """A whole number in ASCII digits, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def hex_colour(text: str) -> Colour | None:
    """RGB of #RRGGBB, or None."""
    found = _HEX.fullmatch(text)
    return tuple(bytes.fromhex(found[1])) if found else None  # type: ignore[return-value]


def rgb(where: str, red: int, green: int, blue: int) -> Colour:
    """Three numbers as a colour.

    Raises:
      ValueError: one is above 255.
    """
    if max(red, green, blue) > 255 or min(red, green, blue) < 0:
        raise ValueError(f"{where}: {red} {green} {blue}: a colour has three numbers from 0 to 255")
    return red, green, blue
