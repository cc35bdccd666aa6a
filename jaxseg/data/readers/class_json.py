"""Class files in JSON and YAML: lists, COCO's categories, tables of ids, YOLO's names."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from jaxseg.data.readers.class_entry import Entry, entry, hex_colour, number, rgb

_FORMS = (
    'accepted are ["road", "car"]; [{"name": "road", "id": 0, "color": [128, 64, 128], "ignore": '
    'false}]; COCO\'s {"categories": [...]}; {"0": "road"}; {"road": 0}; {"road": [128, 64, 128]}'
)
_YAML_FORMS = "accepted is YOLO's names: [road, car], or names: with a line `0: road` for each"
_KEYS = {"name", "id", "color", "colour", "ignore"}
_COCO_KEYS = {"supercategory", "isthing", "keypoints", "skeleton"}  # irrelevant to masks
_DECODER = json.JSONDecoder(object_pairs_hook=lambda pairs: _Pairs(pairs))


class _Pairs(list):
    """The members of a JSON object, in order, including duplicate keys."""


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _blank(text: str, at: int) -> int:
    """The next position that is not blank."""
    found = re.compile(r"[ \t\n\r]*").match(text, at)
    return found.end() if found else at


def _items(text: str, at: int, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Location, key and value of each member of the list or object at a position of the text."""
    is_object, at = text[at] == "{", _blank(text, at + 1)
    while text[at] not in "]}":
        where, key = f"{path} line {_line(text, at)}", None
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _blank(text, _blank(text, at) + 1)  # the colon
        value, end = _DECODER.raw_decode(text, at)
        yield where, key, (at, value)
        at = _blank(text, end)
        if text[at] == ",":
            at = _blank(text, at + 1)


def _colour(where: str, value: Any) -> tuple[int, int, int]:
    if isinstance(value, str) and (colour := hex_colour(value)):
        return colour
    if isinstance(value, list) and len(value) == 3 and all(type(c) is int for c in value):
        return rgb(where, *value)
    raise ValueError(
        f"{where}: {_shown(value)}: a colour has three numbers from 0 to 255, or is #RRGGBB"
    )


def _listed(where: str, value: Any, known: set[str]) -> Entry:
    """A member of a list: a name, or an object."""
    if isinstance(value, str):
        return entry(where, value)
    members = dict(value) if isinstance(value, _Pairs) else {}
    if not isinstance(members.get("name"), str) or len(members) < len(value):
        raise ValueError(f"{where}: {_shown(value)}: a class must be a name or an object; {_FORMS}")
    if strange := sorted(members.keys() - known):
        raise ValueError(f"{where}: {_shown(strange[0])} is not known; {_FORMS}")
    raw, ignore = members.get("id"), members.get("ignore")
    if raw is not None and type(raw) is not int:
        raise ValueError(f"{where}: the id {_shown(raw)} is not a whole number")
    if ignore is not None and type(ignore) is not bool:
        raise ValueError(f"{where}: ignore is {_shown(ignore)}, not true or false")
    given = [members[key] for key in ("color", "colour") if members.get(key) is not None]
    if len(given) > 1:
        raise ValueError(f"{where}: both color and colour are given")
    colour = _colour(where, given[0]) if given else None
    return entry(where, members["name"], raw, colour, ignore)


def _shown(value: Any) -> str:
    plain = dict(value) if isinstance(value, _Pairs) else value
    return repr(plain) if len(repr(plain)) < 80 else repr(plain)[:80] + "..."


def _member(where: str, key: str, value: Any) -> Entry:
    """A member of an object: {"0": "road"}, {"road": 0} or {"road": [128, 64, 128]}."""
    if isinstance(value, str) and number(key) is not None:
        return entry(where, value, number(key))
    if type(value) is int and number(key) is None:
        return entry(where, key, value)
    numbers = type(value) is list and all(type(channel) is int for channel in value)
    if numbers and number(key) is None:
        return entry(where, key, None, _colour(where, value))
    raise ValueError(f"{where}: {_shown(key)}: {_shown(value)} is not understood; {_FORMS}")


def json_entries(text: str, path: str) -> list[Entry]:
    """The classes of a JSON text.

    Raises:
      ValueError: it is not JSON, or not a list of classes; names the file, the line and the forms.
    """
    try:
        whole = _DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    start = _blank(text, 0)
    if isinstance(whole, _Pairs):
        keys = [key for key, _ in whole]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"{path}: {_shown(twice[0])} occurs twice")
        if "categories" not in keys:
            return [_member(w, key, value) for w, key, (_, value) in _items(text, start, path)]
        start = next(at for _, key, (at, _) in _items(text, start, path) if key == "categories")
        if text[start] != "[":
            raise ValueError(f"{path}: categories is not a list; {_FORMS}")
        known = _KEYS | _COCO_KEYS
        return [_listed(w, value, known) for w, _, (_, value) in _items(text, start, path)]
    if not isinstance(whole, list):
        raise ValueError(f"{path} holds no list of classes; {_FORMS}")
    return [_listed(w, value, _KEYS | _COCO_KEYS) for w, _, (_, value) in _items(text, start, path)]


def yaml_entries(text: str, path: str) -> list[Entry]:
    """The classes under `names` of a YAML file, as in YOLO's data sets.

    Names are taken literally: `no` is a name, not a boolean.

    Raises:
      ValueError: it is not YAML, or holds something else.
    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None

    def refuse(node: Any, what: str) -> ValueError:
        line = f" line {node.start_mark.line + 1}" if node is not None else ""
        return ValueError(f"{path}{line}: {what}; {_YAML_FORMS}")

    if not isinstance(root, yaml.MappingNode):
        raise refuse(root, "no key `names`")
    keys = [key.value for key, _ in root.value]
    if keys.count("names") != 1:
        raise refuse(root, "the key `names` does not occur exactly once")
    names = dict(zip(keys, (value for _, value in root.value), strict=True))["names"]
    if isinstance(names, yaml.SequenceNode):
        listed = [(None, value) for value in names.value]
    elif isinstance(names, yaml.MappingNode):
        listed = list(names.value)
    else:
        raise refuse(names, "`names` is neither a list nor a table")
    found = []
    for key, value in listed:
        raw = None if key is None else number(str(key.value))
        if not isinstance(value, yaml.ScalarNode) or (key is not None and raw is None):
            raise refuse(value, "not an id and a name")
        found.append(entry(f"{path} line {value.start_mark.line + 1}", value.value, raw))
    counts = [value for key, value in root.value if key.value == "nc"]
    if counts and number(str(counts[0].value)) != len(found):
        raise refuse(counts[0], f"nc is {counts[0].value}, but there are {len(found)} names")
    return found
