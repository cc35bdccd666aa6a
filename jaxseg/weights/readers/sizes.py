"""Limits the memory to which a weight file may expand, since its declarations are not trusted."""

import pathlib

_TIMES = 16
_SLACK = 64 << 20  # bytes
MOST_DIMENSIONS = 32  # of an array; NumPy allows 64
LONGEST_NAME = 4096  # characters of an array's name


class Budget:
    """The number of bytes left for the arrays of a file: initially 16 times its size plus 64 MiB.

    Compressed arrays, and those that repeat data, take more memory than the file; a malicious file
    takes thousands of times as much.
    """

    def __init__(self, *paths: pathlib.Path) -> None:
        self._size = sum(path.stat().st_size for path in paths)
        self._left = _TIMES * self._size + _SLACK

    def take(self, size: int, what: str) -> None:
        """Counts the bytes of an array before it is created.

        Raises:
          ValueError: the size is negative, or larger than what is left.
        """
        self._left -= size
        if size < 0 or self._left < 0:
            raise ValueError(
                f"{what} expands to {size:,} bytes, far more than this file of {self._size:,} "
                "bytes can hold"
            )
