"""Where each leaf of a variable tree comes from: a report to print and to keep."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

_LISTED = 8  # tensors named of those that are left out


@dataclasses.dataclass
class Origins:
    """What a start is made of. Paths are those of leaves: "params/backbone/stem1/conv/kernel"."""

    source: str  # the file or folder, in words
    sizes: dict[str, int]  # leaf -> number of values, of all leaves
    taken: dict[str, str] = dataclasses.field(default_factory=dict)  # leaf -> its tensor
    fresh: dict[str, str] = dataclasses.field(default_factory=dict)  # leaf -> why it starts anew
    # Of the source, without a place; whole numbers (torch's counters of batches) are not counted.
    left: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def summary(self) -> list[str]:
        """A line for each part of the model and what became of it, then what was left out."""
        rows: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for path, size in self.sizes.items():
            what = self.fresh.get(path)
            row = rows[path.split("/")[1], f"starts anew: {what}" if what else "taken"]
            row[0], row[1] = row[0] + 1, row[1] + size
        width = max(len(part) for part, _ in rows)
        lines = [self.source]
        lines += [
            f"  {part:<{width}}  {leaves:4d} leaves {values:12,d} values  {what}"
            for (part, what), (leaves, values) in sorted(rows.items(), key=lambda r: r[0][1] > "t")
        ]
        if self.left:
            more = f" and {len(self.left) - _LISTED} more" if len(self.left) > _LISTED else ""
            lines.append(
                f"  left out, {len(self.left)}: {', '.join(sorted(self.left)[:_LISTED])}{more}"
            )
        return lines + [f"  {note}" for note in self.notes]

    def listing(self) -> Iterator[str]:
        """A line for each leaf, and for each tensor that was left out."""
        for path in self.sizes:
            if path in self.taken:
                yield f"{path} <- {self.taken[path]}"
            else:
                yield f"{path} starts anew: {self.fresh[path]}"
        for name in self.left:
            yield f"{name} is left out"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)
