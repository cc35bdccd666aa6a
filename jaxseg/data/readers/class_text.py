"""Class files as text: lines of names, ids and colours in the forms that tools write.

Each line must be understood completely. Ambiguous lines are errors: a number that may belong to the
name, several names in a line, a header with unknown columns.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from jaxseg.data.readers.class_entry import (
    FORMS,
    Colour,
    Entry,
    check_characters,
    entry,
    hex_colour,
    number,
    rgb,
)

_COLUMNS = {  # name in a header -> content
    **dict.fromkeys(
        (
            "name",
            "names",
            "class",
            "classes",
            "class_name",
            "class name",
            "classname",
            "label",
            "labels",
            "label_name",
            "category",
            "categories",
        ),
        "name",
    ),
    **dict.fromkeys(
        (
            "id",
            "ids",
            "index",
            "idx",
            "value",
            "class_id",
            "class id",
            "classid",
            "label_id",
            "category_id",
            "class_index",
            "raw_id",
            "raw id",
        ),
        "id",
    ),
    **dict.fromkeys(("r", "red"), "r"),
    **dict.fromkeys(("g", "green"), "g"),
    **dict.fromkeys(("b", "blue"), "b"),
    **dict.fromkeys(("color", "colour", "rgb", "hex", "color_rgb", "hex_color"), "colour"),
}
_CVAT = re.compile(r"([^:]+):(\d+),(\d+),(\d+):[^:]*:[^:]*")  # label:color_rgb:parts:actions
_TOKEN = re.compile(
    r"""(?P<gap>[\s,;:]*)                    # separators before it
        (?: "(?P<double>(?:[^"]|"")*)"(?=[\s,;:]|$)
          | '(?P<single>[^']*)'(?=[\s,;:]|$)
          | (?P<bare>[^\s,;:]+) )""",
    re.VERBOSE,
)
_NUMBERISH = re.compile(r"\W*\d+([.,]\d+)*\W*")  # 1.  -1  0.5  (3)  and digits of other scripts
_ODD = re.compile(r"[=<>{}\[\]|\\#]")  # from other formats; in names they must be quoted
_COMMENT = re.compile(r"#(\s|$)")
_LIKE_COLOUR = re.compile(r"#([0-9a-fA-F]{6}|(?=[a-fA-F]*\d)[0-9a-fA-F]{3,8})([\s,;:]|$)")


class _Token(NamedTuple):
    kind: str  # N number, H #RRGGBB, W word, Q quoted
    text: str
    gap: str  # the separators before it, without spaces


def _tokens(text: str, where: str) -> Iterator[_Token]:
    """The words of a line up to a comment, with their separators."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:  # separators at the end
            if ":" in text[at:]:
                _refuse(where, text)
            return
        gap = "".join(found["gap"].split())
        at = found.end()
        if (bare := found["bare"]) is None:
            quoted = found["single"] if found["double"] is None else found["double"]
            yield _Token("Q", quoted.replace('""', '"') if found["double"] else quoted, gap)
        elif bare.startswith("#") and hex_colour(bare):
            yield _Token("H", bare, gap)
        elif bare == "#":
            return  # a comment
        elif bare.startswith("#"):
            raise ValueError(
                f"{where}: {bare!r} is neither a colour (#RRGGBB) nor a comment (a space after #)"
            )
        elif number(bare) is not None:
            yield _Token("N", bare, gap)
        elif '"' in bare:
            raise ValueError(f"{where}: {text!r}: an unmatched quotation mark; {FORMS}")
        elif _NUMBERISH.fullmatch(bare) or _ODD.search(bare):
            raise ValueError(f"{where}: {bare!r} in {text!r} is not understood; {FORMS}")
        else:
            yield _Token("W", bare, gap)


def _words(tokens: Sequence[_Token], where: str) -> list[_Token]:
    """The tokens, joining words that are only separated by spaces."""
    joined: list[_Token] = []
    for token in tokens:
        last = joined[-1] if joined else None
        if last is None or token.kind != "W" or last.kind != "W":
            joined.append(token)
        elif token.gap:
            raise ValueError(
                f"{where}: {last.text!r} and {token.text!r} are two names in one line; {FORMS}"
            )
        else:
            joined[-1] = _Token("W", f"{last.text} {token.text}", last.gap)
    return joined


def _line(text: str, where: str) -> Entry | None:
    """The class in a line without a header; None if it holds none."""
    if text.startswith("#"):
        if _LIKE_COLOUR.match(text):
            raise ValueError(
                f"{where}: {text!r} begins like a colour: write NAME #RRGGBB, or a space after the "
                "# of a comment"
            )
        return None
    if cvat := _CVAT.fullmatch(text):
        title, *channels = cvat.groups()
        return entry(where, title, colour=rgb(where, *map(int, channels)))
    tokens = _words(list(_tokens(text, where)), where)
    if not tokens:
        return None if "#" in text else _refuse(where, text)
    if tokens[0].gap or any(len(token.gap) > 1 for token in tokens):
        _refuse(where, text)
    kinds = "".join(token.kind for token in tokens).replace("Q", "W")
    values = [int(token.text) for token in tokens if token.kind == "N"]
    names = [token for token in tokens if token.kind in "WQ"]
    if len(names) != 1:
        _refuse(where, text)
    name, raw = names[0].text, None
    colour: Colour | None = None
    if names[0].kind == "W" and not any(c.isalnum() for c in name.split()[0]):
        _refuse(where, text)
    if kinds in ("NW", "NWNNN", "NWH", "NNNNW"):
        raw = values.pop(0)
    elif kinds == "WN" and tokens[1].gap == ":":
        raw = values.pop()
    elif kinds not in ("W", "WNNN", "WH", "NNNW"):
        _refuse(where, text)
    if values:
        colour = rgb(where, *values)
    elif kinds.endswith("H"):
        colour = hex_colour(tokens[-1].text)
    return entry(where, name, raw, colour)


def _refuse(where: str, text: str) -> NoReturn:
    raise ValueError(f"{where}: {text!r} is not understood; {FORMS}")


def _header(text: str, where: str) -> tuple[list[str], str] | None:
    """The columns of a header and their separator; None if the line is not a header.

    Raises:
      ValueError: only some of its columns are known, or one occurs twice.
    """
    separator = next((each for each in "\t;," if each in text), "")
    fields = [field.strip().lower() for field in (text.split(separator or None))]
    fields = [field[1:-1] if field[:1] == field[-1:] == '"' else field for field in fields]
    while fields and not fields[-1]:
        fields.pop()
    if not separator and text.strip().lower() in _COLUMNS:
        fields = [text.strip().lower()]
    known = [_COLUMNS.get(field, "") for field in fields]
    if len(fields) == 1 and ('"' in text or known != ["name"]):
        return None  # a class, even if its name is "red" or "value"
    if len(known) - known.count("") < min(2, len(known)):
        return None
    if not separator and ("" in known or "name" not in known):
        return None  # a name of several words
    if "" in known or "name" not in known or len(set(known)) < len(known):
        wrong = [field for field, column in zip(fields, known, strict=True) if not column]
        raise ValueError(
            f"{where}: the header {text!r} "
            + (
                f"has unknown columns: {', '.join(wrong)}"
                if wrong
                else "needs a name, and each column once"
            )
            + "; known are name, id, r, g, b and color; remove the others"
        )
    if (channels := set(known) & {"r", "g", "b"}) and (len(channels) < 3 or "colour" in known):
        raise ValueError(f"{where}: the header {text!r}: a colour must be r, g and b, or one color")
    return known, separator


def _row(text: str, where: str, columns: Sequence[str], separator: str) -> Entry:
    """A line below a header."""
    if separator:
        try:
            reader = csv.reader([text], delimiter=separator, skipinitialspace=True, strict=True)
            (cells,) = reader
        except (csv.Error, ValueError):
            raise ValueError(f"{where}: {text!r}: quotation marks that do not match") from None
    else:
        cells = text.split() if len(columns) > 1 else [text.strip('"')]
    cells = [cell.strip() for cell in cells]
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if len(cells) != len(columns):
        raise ValueError(
            f"{where}: {text!r} has {len(cells)} columns, but its header has {len(columns)}"
        )
    row = dict(zip(columns, cells, strict=True))
    if text.startswith("#") and columns[0] == "name":
        raise ValueError(f"{where}: {text!r}: a space after the # makes it a comment")
    raw = number(row["id"]) if row.get("id") else None
    if row.get("id") and raw is None:
        raise ValueError(f"{where}: the id {row['id']!r} is not a whole number from 0 to 65535")
    return entry(where, row["name"], raw, _cell_colour(row, where))


def _cell_colour(row: dict[str, str], where: str) -> Colour | None:
    if cell := row.get("colour"):
        channels = cell.strip("()[]").replace(",", " ").split()
        if colour := hex_colour(cell) or hex_colour(f"#{cell}"):
            return colour
    else:
        channels = [row[channel] for channel in "rgb" if row.get(channel)]
    if not channels:
        return None
    values = [number(channel) for channel in channels]
    if len(values) != 3 or None in values:
        raise ValueError(
            f"{where}: {' '.join(channels)!r}: a colour has three whole numbers or is #RRGGBB"
        )
    return rgb(where, *(int(value or 0) for value in values))


def entries(text: str, path: str) -> list[Entry]:
    """The classes of a text.

    Args:
      text: of the file, from `text_file.read`.
      path: the file, for messages.

    Raises:
      ValueError: a line is not understood; names the file, the line and the accepted forms.
    """
    found: list[Entry] = []
    columns: Sequence[str] = ()
    separator = ""
    for count, line in enumerate(text.split("\n"), 1):
        line, where = line.strip(" \t\xa0"), f"{path} line {count}"
        if _COMMENT.match(line):
            continue
        check_characters(where, line)
        if not line.strip():
            continue
        header = _header(line, where)
        if header and (found or columns):
            raise ValueError(f"{where}: {line!r} is a header, which must be the first line")
        if header:
            columns, separator = header
        elif columns:
            found.append(_row(line, where, columns, separator))
        elif one := _line(line, where):
            found.append(one)
    return found
