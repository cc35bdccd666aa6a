"""A report of the origin of each leaf of a variable tree."""

import dataclasses
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

import tabulate

_LISTED = 8  # number of parts with a separate line, and of left-out tensors named


@dataclasses.dataclass
class Origins:
    """The origin of initial variables. Paths of leaves are "params/backbone/stem1/conv/kernel"."""

    source: str  # the file or folder, in words
    sizes: dict[str, int]  # leaf -> number of values, of all leaves
    taken: dict[str, str] = dataclasses.field(default_factory=dict)  # leaf -> its tensor
    fresh: dict[str, str] = dataclasses.field(default_factory=dict)  # leaf -> why it is new
    # Tensors of the source that are left out, except integers (torch's counters of batches).
    left: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def summary(self) -> list[str]:
        """A line for each part of the model and its origin, then what was left out."""
        parts: dict[str, dict[str, list[int]]] = {}  # origin -> part -> leaves, values
        for path, size in self.sizes.items():
            what = f"is reinitialised: {self.fresh[path]}" if path in self.fresh else "taken"
            row = parts.setdefault(what, {}).setdefault(path.split("/")[1], [0, 0])
            row[0], row[1] = row[0] + 1, row[1] + size
        rows: list[tuple[str, int, int, str]] = []
        for what in sorted(parts, key=lambda what: what == "taken"):
            by_part = parts[what]
            if len(by_part) > _LISTED:
                leaves, values = (sum(row[i] for row in by_part.values()) for i in (0, 1))
                title = f"{len(by_part)} parts, {next(iter(by_part))} .. {list(by_part)[-1]}"
                by_part = {title: [leaves, values]}
            rows += [(part, row[0], row[1], what) for part, row in by_part.items()]
        cells = [
            (part, f"{leaves} leaves", f"{values:,} values", what)
            for part, leaves, values, what in rows
        ]
        align = ("left", "right", "right", "left")
        table = tabulate.tabulate(cells, (), "plain", colalign=align, disable_numparse=True)
        lines = textwrap.indent(table, "  ").splitlines()
        if self.left:
            lines.append(f"  left out, {len(self.left)}: {self._left()}")
        return [self.source, *lines, *(f"  {note}" for note in self.notes)]

    def _left(self) -> str:
        """The names left out or, for many with a common ending (Momentum), their number."""
        ends = Counter(re.split(r"[./]", name)[-1] for name in self.left)
        if len(self.left) <= _LISTED or len(ends) > 2:
            more = f" and {len(self.left) - _LISTED} more" if len(self.left) > _LISTED else ""
            return f"{', '.join(sorted(self.left)[:_LISTED])}{more}"
        return ", ".join(f"*{end} ({count})" for end, count in sorted(ends.items()))

    def listing(self) -> Iterator[str]:
        """A line for each leaf, and for each tensor that was left out."""
        for path in self.sizes:
            if path in self.taken:
                yield f"{path} <- {self.taken[path]}"
            else:
                yield f"{path} is reinitialised: {self.fresh[path]}"
        for name in self.left:
            yield f"{name} is left out"

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return dataclasses.asdict(self)
