"""Fits the variables of a file, or of another model, into a model that differs in part.

Leaves are loaded as a whole; the others keep their initial values, and the report says why. For a
weight file, the strict engine of `match.py` fills a tree with the file's own shapes: those of the
model, with the file's numbers of classes and input channels. Then

- a leaf whose shape depends on the number of classes is reinitialised if the file's number differs;
- the first convolution is adapted to another number of input channels, if requested;
- with a file of the backbone only (an ImageNet classifier), the rest keeps its initial values;
- anything else is an error that lists every difference.
"""

import dataclasses
import glob
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights import counts, match, thin
from jaxseg.weights.counts import Counts, Shape, shapes_of
from jaxseg.weights.origins import Origins
from jaxseg.weights.place import Wishes, chosen, with_copies

_RGB = 3


@dataclasses.dataclass(frozen=True)
class Model:
    """A model's initial variables, and how to trace their shapes."""

    start: Mapping[str, Any]  # {"params", "batch_stats"}: arrays
    trace: Callable[[int, int], Mapping[str, Any]]  # (classes, channels) -> the tree as shapes
    classes: int  # 0 if it has no such number
    channels: int = _RGB

    def counts(self) -> Counts:
        """The two numbers, and how shapes depend on them; traces the model three times."""
        return counts.traced(self.trace, self.classes, self.channels)


def _found(source: Mapping[str, np.ndarray], table: match.Table) -> dict[str, Shape]:
    """Leaf -> shape of its tensor in the leaf's layout, if it can be converted."""
    shapes = {}
    for entry in table.entries:
        if entry.source in source:
            try:
                shapes[entry.target] = tuple(entry.transform(source[entry.source]).shape)
            except ValueError:
                continue  # the engine reports it
    return shapes


def _counts(model: Model, found: Mapping[str, Shape]) -> tuple[Counts, Counts]:
    """The numbers of the model and of the file."""
    here = shapes_of(model.start)
    if all(found.get(path, shape) == shape for path, shape in here.items()):
        same = Counts(model.classes, model.channels)  # nothing differs, so nothing is traced
        return same, same
    ours = model.counts()
    return ours, counts.of_file(ours, found, here)


def _hints(table: match.Table, found: Mapping[str, Shape], here: Mapping[str, Shape]) -> str:
    """Hints that the list of differences does not show."""
    hints = ["--leave=PATTERN,... reinitialises parts of the model"]
    if any(
        thin.is_thinner(e.target, found[e.target], here[e.target])
        for e in table.entries
        if e.target in found and e.target in here
    ):
        hints.append("--thin takes a part of fc6 and fc7")
    return "; ".join(hints)


def _matched(
    source: Mapping[str, np.ndarray],
    table: match.Table,
    target: Mapping[str, Any],
    file: str,
    pixels: Normalisation | None,
    hints: str,
) -> dict[str, Any]:
    """`match.fill` for a tree of shapes."""
    try:
        filled = match.fill(source, target, table, file=file, pixels=pixels)
    except ValueError as error:
        raise ValueError(f"{error}\n  ({hints})" if "\n" in str(error) else str(error)) from error
    return dict(match.leaves_of(filled))


def take_from_file(
    source: Mapping[str, np.ndarray],
    table: match.Table,
    model: Model,
    wishes: Wishes,
    *,
    file: str,
    pixels: Normalisation | None = None,
) -> tuple[dict[str, Any], Origins]:
    """The model's variables, from a file as far as possible; see the module docstring.

    Args:
      source: name -> tensor.
      table: of the file, for the whole model or for its extractor.
      model: to fill.
      wishes: the options.
      file: the name of the source in messages.
      pixels: the normalisation of the model's input; see `match.fill`.

    Returns: The variables as NumPy arrays, and the origin of each leaf.

    Raises:
      ValueError: the file does not fit; all differences are listed.
    """
    start, here = dict(match.leaves_of(model.start)), shapes_of(model.start)
    table, fresh = chosen(table, here, wishes)
    source = with_copies(source, table)
    found = _found(source, table)
    if wishes.thin:
        entries = thin.thinned_entries(table.entries, found, here)
        table = dataclasses.replace(table, entries=entries)
        found = _found(source, table)
    ours, theirs = _counts(model, found)
    if theirs.channels != ours.channels and wishes.input_channels != ours.channels:
        raise ValueError(
            f"{file} takes images of {theirs.channels} channels, but the model of {ours.channels}: "
            f"--input_channels={ours.channels} adapts its first convolution"
        )
    target = {
        path: np.broadcast_to(np.zeros((), leaf.dtype), ours.shape(path, here[path], theirs))
        for path, leaf in start.items()
    }
    kept = (*table.kept, *map(glob.escape, fresh))
    filled = _matched(
        source,
        dataclasses.replace(table, kept=kept),
        match.nested(target),
        file,
        _compared(pixels, table, wishes) if theirs.channels == _RGB else None,
        _hints(table, found, here),
    )
    if theirs.classes != ours.classes:
        reason = f"{theirs.classes} classes in the file, {ours.classes} in the model"
        fresh |= {path: reason for path in ours.by_class if path in found and path not in fresh}
    for path in set(start) - set(fresh):
        if theirs.channels != ours.channels and path in ours.by_channel:
            axis = int(np.flatnonzero(ours.by_channel[path])[0])
            filled[path] = counts.with_channels(filled[path], axis, ours.channels)
    variables = {path: start[path] if path in fresh else filled[path] for path in start}
    origins = _origins(source, table, variables, fresh, file)
    origins.notes = _notes(table, pixels, ours, theirs)
    return _tree(variables, model), origins


def _compared(
    pixels: Normalisation | None, table: match.Table, wishes: Wishes
) -> Normalisation | None:
    """The normalisation to compare with the table's; with `any_mean`, only the deviation counts."""
    if pixels is None or table.normalisation is None or not wishes.any_mean:
        return pixels
    return Normalisation(table.normalisation.mean, pixels.std)


def _tree(leaves: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """The leaves as a tree, including empty collections, such as batch_stats without norms."""
    return {name: {} for name in model.start} | match.nested(leaves)


def _origins(
    source: Mapping[str, np.ndarray],
    table: match.Table,
    variables: Mapping[str, np.ndarray],
    fresh: dict[str, str],
    file: str,
) -> Origins:
    """The report of a fill."""
    tensor = {entry.target: entry.source for entry in table.entries}
    taken = [e for e in table.entries if e.target in variables and e.target not in fresh]
    used = {name for entry in taken for name in (entry.source, entry.divisor)}
    return Origins(
        source=file,
        sizes={path: int(value.size) for path, value in variables.items()},
        taken={
            path: tensor.get(path, "a constant of the name table")
            for path in variables
            if path not in fresh
        },
        fresh=fresh,
        left=[n for n in source if n not in used and source[n].dtype.kind not in "iub"],
    )


def _notes(
    table: match.Table, pixels: Normalisation | None, ours: Counts, theirs: Counts
) -> list[str]:
    """Notes on other changes to the loaded variables."""
    notes = []
    if theirs.channels != ours.channels:
        notes.append(f"the first convolution: {theirs.channels} -> {ours.channels} input channels")
    if table.normalisation is None:
        return [*notes, "pixels: the normalisation that the file's network expects is unknown"]
    expected = table.normalisation
    mean, std = (",".join(f"{v:g}" for v in values) for values in (expected.mean, expected.std))
    text = f"pixels: the file's network expects (RGB - {mean}) / {std}"
    if pixels is None or theirs.channels != _RGB:
        return [*notes, f"{text}; not compared with data.normalisation"]
    done = "the same as data.normalisation"
    if not np.allclose(pixels.std, expected.std, rtol=1e-6):
        done = "a different data.normalisation.std is folded into the first convolution"
    if not np.allclose(pixels.mean, expected.mean, rtol=0, atol=match.MEAN_TOLERANCE):
        done += "; data.normalisation.mean differs, as requested"
    return [*notes, f"{text}; {done}"]


def take_shared(
    found: Mapping[str, Any], model: Model, *, file: str, other_classes: str = ""
) -> tuple[dict[str, Any], Origins]:
    """The model's variables, loading those that a related model shares.

    Args:
      found: the variables of the other model.
      model: to fill.
      file: the name of the other model in messages.
      other_classes: how its classes differ, even if their number is the same: layers that score
        classes are then left out.

    Returns: The variables as NumPy arrays, and the origin of each leaf.

    Raises:
      ValueError: they share no leaf; or a shared leaf differs in shape for a reason other than the
        number of classes.
    """
    start, theirs = dict(match.leaves_of(model.start)), dict(match.leaves_of(found))
    here, there = shapes_of(model.start), shapes_of(found)
    both = [path for path in start if path in theirs]
    other = [path for path in both if here[path] != there[path]]
    fresh = {path: "not in it" for path in start if path not in theirs}
    if other:
        ours = model.counts()
        its = counts.of_file(ours, there, here)
        wrong = [
            p
            for p in other
            if ours.shape(p, here[p], dataclasses.replace(its, channels=ours.channels)) != there[p]
        ]
        if wrong:
            lines = "\n  ".join(f"{p}: {list(there[p])}, here {list(here[p])}" for p in wrong[:20])
            raise ValueError(f"{file} has {len(wrong)} leaves with a different shape:\n  {lines}")
        reason = f"{its.classes} classes in it, {ours.classes} in the model"
        fresh |= {path: reason for path in both if path in ours.by_class}
    elif other_classes:
        scoring = model.counts().by_class
        if not scoring:
            raise ValueError(f"{file}: {other_classes}; the model does not tell its head")
        fresh |= {path: f"other classes: {other_classes}" for path in both if path in scoring}
    if len(fresh) == len(start):
        raise ValueError(f"{file} shares no leaf with the model")
    variables = {p: start[p] if p in fresh else theirs[p] for p in start}
    origins = Origins(
        source=file,
        sizes={path: int(np.size(value)) for path, value in variables.items()},
        taken={path: path for path in start if path not in fresh},
        fresh=fresh,
        left=[path for path in theirs if path not in start],
    )
    return _tree(variables, model), origins
