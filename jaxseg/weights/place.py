"""Selects the entries of a name table that apply to a model, and places them in its tree."""

import dataclasses
import fnmatch
import glob
from collections.abc import Collection, Mapping

import numpy as np

from jaxseg.weights.match import Table, matches, without

BACKBONE = "backbone/"  # the path of the extractor in models
_COPY = ", copy "  # between a tensor's name and the number of its copy


@dataclasses.dataclass(frozen=True)
class Wishes:
    """The options of a conversion.

    Patterns and paths are those of leaves without "params/": "aspp/conv1x1/conv/kernel"; each also
    includes everything below it.
    """

    leave: tuple[str, ...] = ()  # patterns of parts to reinitialise
    only: str = ""  # load only what is under this path: "backbone"
    input_channels: int = 0  # adapt the first convolution to this; 0: no adaptation
    any_mean: bool = False  # accept a file whose network expects another mean
    thin: bool = False  # take a part of fc6 and fc7 if those of the model are smaller


def _name(path: str) -> str:
    """The path without its collection."""
    return path.partition("/")[2]


def under(path: str, pattern: str) -> bool:
    """Whether a leaf, or a module that contains it, matches a pattern."""
    name = _name(path)
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}/*")


def _prefixed(table: Table, paths: Collection[str]) -> Table:
    """The table of an extractor, moved to the model's backbone if it fits better there."""

    def moved(path: str) -> str:
        collection, _, name = path.partition("/")
        return f"{collection}/{BACKBONE}{name}"

    here = sum(entry.target in paths for entry in table.entries)
    if sum(moved(entry.target) in paths for entry in table.entries) <= here:
        return table
    return dataclasses.replace(
        table,
        entries=tuple(entry._replace(target=moved(entry.target)) for entry in table.entries),
        constants={moved(pattern): value for pattern, value in table.constants.items()},
        optional=tuple(map(moved, table.optional)),
        pixel_kernels=tuple(map(moved, table.pixel_kernels)),
    )


def for_model(table: Table, paths: Collection[str]) -> Table:
    """The table with its leaves at the paths of a model.

    The table of an extractor is moved to the model's backbone, and its optional leaves (fc6, fc7)
    to the leaves of the model with the same ending. If there are several (the branches of DeepLab
    v2's ASPP), each gets its own copy of the tensor; see `with_copies`.
    """
    table = _prefixed(table, paths)
    entries, optional = [], list(table.optional)
    for entry in table.entries:
        there = []
        if entry.target not in paths and matches(entry.target, table.optional):
            collection, _, name = entry.target.partition("/")
            tail = f"/{name.removeprefix(BACKBONE)}"
            there = [p for p in paths if p.startswith(f"{collection}/") and p.endswith(tail)]
            optional += map(glob.escape, there)
        entries.append(entry._replace(target=there[0]) if there else entry)
        for number, target in enumerate(there[1:], start=2):
            entries.append(entry._replace(target=target, source=f"{entry.source}{_COPY}{number}"))
    return dataclasses.replace(table, entries=tuple(entries), optional=tuple(optional))


def with_copies(source: Mapping[str, np.ndarray], table: Table) -> dict[str, np.ndarray]:
    """The tensors, with a copy under another name for each repeated use in the table.

    This is needed because the engine uses each tensor only once.
    """
    copies = {e.source: e.source.partition(_COPY)[0] for e in table.entries if _COPY in e.source}
    found = {name: source[name] for name in source}
    return found | {copy: source[name] for copy, name in copies.items() if name in source}


def chosen(table: Table, paths: Collection[str], wishes: Wishes) -> tuple[Table, dict[str, str]]:
    """The table of what is loaded, and the reason for each leaf that is reinitialised.

    A table that fills only the backbone leaves the rest of the model at its initial values; a table
    of a whole model must fill everything that is not left out by an option.

    Raises:
      ValueError: an option names no part of the model.
    """
    table = for_model(table, paths)
    targets = [entry.target for entry in table.entries]
    for pattern in wishes.leave:
        if not any(under(path, pattern) for path in [*paths, *targets]):
            raise ValueError(f"--leave={pattern}: neither the model nor the file has such a part")

    def asked(path: str) -> bool:
        return any(under(path, pattern) for pattern in wishes.leave)

    fresh = {path: "as requested" for path in paths if asked(path)}
    if wishes.only:
        others = [path for path in paths if not under(path, wishes.only)]
        if len(others) == len(paths):
            raise ValueError(f"--only={wishes.only}: the model has no such part")
        fresh |= {path: f"only {wishes.only} is requested" for path in others if path not in fresh}
    dropped = [
        entry
        for entry in table.entries
        if asked(entry.target) or (wishes.only and not under(entry.target, wishes.only))
    ]
    table = without(table, dropped)
    filled = {entry.target for entry in table.entries}
    firm = [t for t in filled if t in paths and not matches(t, table.optional)]
    inside = {path for path in paths if _name(path).startswith(BACKBONE)}
    if inside and firm and inside.issuperset(firm):
        others = [p for p in paths if p not in inside | filled and p not in fresh]
        fresh |= dict.fromkeys(others, "the file holds only an extractor")
    return table, fresh
