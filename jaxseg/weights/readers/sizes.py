"""Limits what a weight file may unpack to: what it declares is not trusted."""

import pathlib

_TIMES = 16
_SLACK = 64 << 20  # bytes
MOST_DIMENSIONS = 32  # of an array; NumPy takes 64
LONGEST_NAME = 4096  # characters of an array's name


class Budget:
    """Bytes that the arrays of a file may still take: 16 times its size, and 64 MiB.

    Compressed arrays, and those that repeat what the file holds once, take more than the file; a
    file that was made to fill the memory takes thousands of times as much.
    """

    def __init__(self, *paths: pathlib.Path) -> None:
        self._size = sum(path.stat().st_size for path in paths)
        self._left = _TIMES * self._size + _SLACK

    def take(self, size: int, what: str) -> None:
        """Counts the bytes of an array before it is made.

        Raises:
          ValueError: a negative size, or more than is left.
        """
        self._left -= size
        if size < 0 or self._left < 0:
            raise ValueError(
                f"{what} unfolds to {size:,} bytes, far more than this file of {self._size:,} holds"
            )
