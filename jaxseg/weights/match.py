"""Fills a variable tree with the tensors of a file, strictly by a name table.

For each tensor of the file, a table names the leaf to which it belongs. Each tensor and each leaf
must be used exactly once or waived by name; otherwise an error lists all leftovers. So a successful
import is complete: no layer silently keeps its random initial values, and no tensor is silently
lost.
"""

import dataclasses
import fnmatch
import glob
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxseg.pixels import Normalisation

_LISTED = 20  # names shown of each kind of leftover, so that the error stays readable
# Of 255, since codebases round the same mean differently (122.675, 122.67892).
MEAN_TOLERANCE = 0.01


def unchanged(array: np.ndarray) -> np.ndarray:
    """The transform of a tensor that already has the target's layout."""
    return array


class Entry(NamedTuple):
    """One line of a name table."""

    source: str  # name of the tensor in the file
    target: str  # path of the leaf: "params/backbone/layer_1/conv/kernel"
    transform: Callable[[np.ndarray], np.ndarray] = unchanged  # the file's layout to ours
    # Name of a tensor with one value that divides this one; several entries may share it. Caffe's
    # BatchNorm stores sums and their count; if the count is 0, the result is 0, as in Caffe.
    divisor: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """All entries for one kind of file, and waived names; patterns are those of `fnmatch`."""

    entries: tuple[Entry, ...]
    ignored: tuple[str, ...] = ()  # tensors of the file that have no place in the tree
    constants: Mapping[str, float] = dataclasses.field(default_factory=dict)  # leaf -> its value
    kept: tuple[str, ...] = ()  # leaves that keep their values in the given tree
    optional: tuple[str, ...] = ()  # leaves that a model may lack, such as fc6 of a classifier
    # Tensors that are built into a model without a leaf for them, and a check of their value.
    built_in: Mapping[str, Callable[[np.ndarray], bool]] = dataclasses.field(default_factory=dict)
    normalisation: Normalisation | None = None  # of the pixels that the file's network expects
    # All kernels [kh, kw, 3, out] applied to pixels, into which a different std can be folded.
    pixel_kernels: tuple[str, ...] = ()


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name matches any of the patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def leaves_of(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) of a nested tree: ("params/conv/kernel", array)."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves_of(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of paths and leaves, the inverse of `leaves_of`."""
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        *parents, last = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def without(table: Table, dropped: Collection[Entry]) -> Table:
    """The table without some entries, whose tensors are then ignored."""
    entries = tuple(entry for entry in table.entries if entry not in dropped)
    used = {name for entry in entries for name in (entry.source, entry.divisor)}
    names = {n for e in dropped for n in (e.source, e.divisor) if n and n not in used}
    ignored = (*table.ignored, *sorted(map(glob.escape, names)))
    built_in = {name: same for name, same in table.built_in.items() if name not in names}
    return dataclasses.replace(table, entries=entries, ignored=ignored, built_in=built_in)


def _names(title: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [f"{len(names)} {title}: {', '.join(names[:_LISTED])}{more}"]


def _leftovers(source: Mapping[str, Any], leaves: Mapping[str, Any], table: Table) -> list[str]:
    """The leftovers of the table in words; empty if each name is used or waived once."""
    tensors = Counter(entry.source for entry in table.entries)
    divisors = {entry.divisor for entry in table.entries if entry.divisor} - set(tensors)
    tensors.update(divisors)
    targets = Counter(entry.target for entry in table.entries)
    waived = (*table.constants, *table.kept)
    problems = _names(
        "tensors of the file that have no place in the model",
        [n for n in source if n not in tensors and not matches(n, table.ignored)],
    )
    problems += _names(
        "leaves of the model that nothing fills",
        [n for n in leaves if n not in targets and not matches(n, waived)],
    )
    problems += _names("tensors that the file lacks", [n for n in tensors if n not in source])
    problems += _names("leaves that the model lacks", [n for n in targets if n not in leaves])
    problems += _names(
        "names used more than once or both used and waived",
        [n for n, uses in tensors.items() if uses > 1 or matches(n, table.ignored)]
        + [n for n, uses in targets.items() if uses > 1 or matches(n, waived)],
    )
    return problems


def _other_values(
    source: Mapping[str, np.ndarray],
    built_in: Mapping[str, Callable[[np.ndarray], bool]],
    used: Collection[str],
) -> list[str]:
    """The tensors without a leaf whose values differ from those built into the model."""
    return _names(
        "tensors differ from the constants that the model has in their place",
        [
            n
            for n, same in built_in.items()
            if n in source and n not in used and not same(source[n])
        ],
    )


def _kept(path: str, leaf: Any, problems: list[str]) -> np.ndarray:
    """The value of a leaf that the table keeps; an abstract leaf has none."""
    if not hasattr(leaf, "__array__"):
        problems.append(f"{path} is to be kept but the given tree holds only its shape")
        return np.zeros(leaf.shape, leaf.dtype)
    return np.asarray(leaf)


def _divided(array: np.ndarray, divisor: np.ndarray | None) -> np.ndarray:
    if divisor is None:
        return array
    if divisor.size != 1:
        raise ValueError(f"a divisor has one value, not {divisor.size}")
    factor = float(divisor.reshape(()))
    return array / array.dtype.type(factor) if factor else np.zeros_like(array)


def _pixel_scale(table: Table, pixels: Normalisation | None, file: str) -> np.ndarray | None:
    """The factor of the pixel kernels, [3, 1], for the normalisation `pixels`."""
    expected = table.normalisation
    if pixels is None or expected is None:
        return None
    if not np.allclose(pixels.mean, expected.mean, rtol=0, atol=MEAN_TOLERANCE):
        raise ValueError(
            f"{file} expects pixels with another mean, which cannot be folded into its kernels "
            f"because of zero padding: set {_flag('mean', expected.mean)} (or convert it with "
            "--any_mean)"
        )
    if np.allclose(pixels.std, expected.std, rtol=1e-6):
        return None
    if not table.pixel_kernels:
        raise ValueError(
            f"{file} does not begin with a convolution into which another standard deviation could "
            f"be folded: set {_flag('std', expected.std)}"
        )
    return (np.array(pixels.std) / np.array(expected.std))[:, None]


def _flag(field: str, values: tuple[float, ...]) -> str:
    return f"--config.data.normalisation.{field}={','.join(f'{value:g}' for value in values)}"


def _laid_out(
    source: Mapping[str, np.ndarray], entry: Entry, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """The tensor of one entry in the leaf's layout and type; ValueError if it does not fit."""
    raw = source[entry.source]
    if raw.dtype.kind in "iub" and dtype.kind not in "iub":
        raise ValueError(f"{entry.source} holds {raw.dtype}, but {entry.target} holds {dtype}")
    try:
        value = entry.transform(_divided(raw, source.get(entry.divisor or "")))
    except ValueError as error:
        raise ValueError(
            f"{entry.source} {raw.shape} cannot be laid out for {entry.target}: {error}"
        ) from error
    if value.shape != shape:
        raise ValueError(
            f"{entry.source} {raw.shape} gives {value.shape}, but {entry.target} is {shape}"
        )
    return np.ascontiguousarray(value, dtype).reshape(shape)


def fill(
    source: Mapping[str, np.ndarray],
    target: Mapping[str, Any],
    table: Table,
    *,
    file: str = "the file",
    pixels: Normalisation | None = None,
) -> dict[str, Any]:
    """The tree `target` with each leaf filled from `source` according to the table.

    Args:
      source: name -> tensor, from a reader of this package.
      target: variables or their abstract form (leaves with `shape` and `dtype`), e.g.
        `jax.eval_shape(model.init, ...)`: {"params": ..., "batch_stats": ...}.
      table: the name table.
      file: the name of the source in errors.
      pixels: the normalisation of the model's input. If the std differs from the table's, the
        difference is folded exactly into the first kernels, so that the function of the image stays
        the same. Another mean is an error.
        None: the caller must use `table.normalisation`.

    Returns:
      A tree of NumPy arrays in the shapes and types of `target`.

    Raises:
      ValueError: tensors or leaves have no counterpart, are used twice or differ in shape; all of
        them are listed in one message. If `pixels` has another mean, the message names the flag to
        set.
    """
    scale = _pixel_scale(table, pixels, file)
    leaves = dict(leaves_of(target))
    absent = [e for e in table.entries if e.target not in leaves]
    built_in = table.built_in
    table = without(table, [e for e in absent if matches(e.target, table.optional)])
    problems = _leftovers(source, leaves, table)
    problems += _other_values(source, built_in, {entry.source for entry in table.entries})
    entry_of = {entry.target: entry for entry in table.entries if entry.source in source}
    filled: dict[str, np.ndarray] = {}
    for path, leaf in leaves.items():
        shape, dtype = tuple(leaf.shape), np.dtype(leaf.dtype)
        if path not in entry_of:
            constant = [v for p, v in table.constants.items() if fnmatch.fnmatchcase(path, p)]
            if constant:
                filled[path] = np.full(shape, constant[0], dtype)
            elif matches(path, table.kept):
                filled[path] = _kept(path, leaf, problems)
            continue
        try:
            value = _laid_out(source, entry_of[path], shape, dtype)
            if scale is not None and matches(path, table.pixel_kernels):
                value = (value * scale).astype(dtype)
            filled[path] = value
        except ValueError as error:
            problems.append(str(error))
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(
            f"{file} does not fit the model; use the experiment that it was made for:\n  {lines}"
        )
    return nested(filled)


def describe(source: Mapping[str, np.ndarray], target: Mapping[str, Any], table: Table) -> str:
    """A report of the mapping, one line per tensor or leaf, waived ones last."""
    lines = [
        f"{entry.source} {source[entry.source].shape} -> {entry.target}"
        for entry in table.entries
        if entry.source in source
    ]
    if given := table.normalisation:
        mean, std = (", ".join(f"{v:g}" for v in values) for values in (given.mean, given.std))
        lines.insert(0, f"pixels: (RGB - ({mean})) / ({std})")
    lines += [f"{n} (ignored)" for n in source if matches(n, table.ignored)]
    for path, _ in leaves_of(target):
        for pattern, value in table.constants.items():
            if fnmatch.fnmatchcase(path, pattern):
                lines.append(f"{path} = {value}")
        if matches(path, table.kept):
            lines.append(f"{path} (kept)")
    return "\n".join(lines)
