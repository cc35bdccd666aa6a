"""The fields of an experiment as `--help` lists them: flag, default value and meaning.

The meaning of a field is read from its definition: the comment on its line or above it, or its
entry under "Attributes:" in the docstring of its class.
"""

import ast
import dataclasses
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jaxseg import config
from jaxseg.checks.experiment import flag
from jaxseg.cli.help import WIDEST, entry

_COLUMN = 46  # at which the comments of fields begin


class Field(NamedTuple):
    """One field of an experiment.

    Attributes:
      path: as in the flag, such as "data.batch_size".
      kind: its annotation, such as `int` or `tuple[int, ...]`.
      value: its value in the experiment.
      meaning: its comment; "" if there is none.
    """

    path: str
    kind: Any
    value: Any
    meaning: str


class Part(NamedTuple):
    """A dataclass or module within an experiment, and its own fields.

    Attributes:
      path: "model.backbone"; "" for the experiment itself.
      cls: its class.
      fields: the fields with plain values, without nested parts.
    """

    path: str
    cls: type
    fields: tuple[Field, ...]


def listed(experiment: Any) -> list[str]:
    """Lists each field as the flag that sets its current value, part by part.

    Args:
      experiment: if None, the only line explains how to list the fields.
    """
    if experiment is None:
        return entry(
            "--config.FIELD=VALUE",
            "Any field of the experiment; list them with --config=FILE --help.",
        )
    lines = ["", "Fields of the experiment, which are also flags, with their current values:"]
    for part in parts(experiment):
        if part.fields:
            about = (inspect.getdoc(part.cls) or "").partition("\n")[0]
            heading = f"{part.path}: {part.cls.__name__}. {about}"
            lines += ["", *textwrap.wrap(heading, WIDEST), ""]
        for field in part.fields:
            lines += entry(flag(field.path, field.value), field.meaning, _COLUMN)
    return lines


def parts(node: Any, path: str = "") -> Iterator[Part]:
    """The parts of a config tree in definition order, each before its nested parts.

    Args:
      node: an experiment, or a part of one.
      path: the path of the node.
    """
    said, own, inner = meanings(type(node)), [], []
    for field in config.fields_of(node):
        value = getattr(node, field.name)
        below = f"{path}.{field.name}" if path else field.name
        if dataclasses.is_dataclass(value):
            inner.append((value, below))
        else:
            own.append(Field(below, field.type, value, said.get(field.name, "")))
    yield Part(path, type(node), tuple(own))
    for value, below in inner:
        yield from parts(value, below)


def meanings(cls: type) -> dict[str, str]:
    """The documentation of each field in the source of a class, including inherited fields."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            found |= _attributes(base.__doc__ or "") | _comments(base)
    return found


def _comments(cls: type) -> dict[str, str]:
    """The comments of the fields that a class itself defines; empty without its source."""
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):  # defined in an interpreter
        return {}
    lines = source.splitlines()
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    body = ast.parse(source).body[0]
    found = {}
    for node in getattr(body, "body", []):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = _of_lines(node, lines, comments)
    return {name: text for name, text in found.items() if text}


def _of_lines(node: ast.AnnAssign, lines: list[str], comments: Mapping[int, str]) -> str:
    """The comment lines directly above a definition, and the comments on its lines."""
    first = node.lineno
    while lines[first - 2].lstrip().startswith("#"):
        first -= 1
    last = node.end_lineno or node.lineno
    return " ".join(comments[line] for line in range(first, last + 1) if line in comments)


def _attributes(docstring: str) -> dict[str, str]:
    """The entries under "Attributes:" of a docstring."""
    section = re.search(
        r"^Attributes:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(docstring), re.MULTILINE | re.DOTALL
    )
    entries = re.findall(
        r"^  (\w+): (.*(?:\n {4}.*)*)", section[1] if section else "", re.MULTILINE
    )
    return {name: " ".join(text.split()) for name, text in entries}
