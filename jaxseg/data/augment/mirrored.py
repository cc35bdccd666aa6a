"""Classes that a horizontal flip exchanges, such as "left arm" and "right arm"."""

from collections.abc import Sequence


def exchanged(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ only in "left" and "right", ignoring case."""
    by_folded = {name.casefold(): name for name in names}
    return [
        (name, by_folded[other])
        for folded, name in by_folded.items()
        if (other := folded.replace("left", "right")) != folded and other in by_folded
    ]


def check(names: Sequence[str], field: str, on: bool) -> None:
    """Raises if images are mirrored but the mirror image has other classes.

    A mirrored left arm is a right arm, but its label stays the same: a network that is trained or
    evaluated in this way cannot distinguish the two.

    Args:
      names: of the classes.
      field: that mirrors images, such as "data.augment.flip".
      on: its value.

    Raises:
      ValueError: there are such classes; a pair, the field and its value are named.
    """
    pairs = exchanged(names) if on else []
    if not pairs:
        return
    more = f" and {len(pairs) - 1} more such pairs" if len(pairs) > 1 else ""
    raise ValueError(
        f"{field}=True mirrors images, and a mirror image exchanges the classes "
        f"{pairs[0][0]!r} and {pairs[0][1]!r}{more}: set --config.{field}=False"
    )
