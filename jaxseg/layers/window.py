"""How the window of a convolution or pooling moves over its map, along one axis."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Window:
    """The geometry of a convolution or pooling along one axis."""

    inputs: int
    kernel: int
    stride: int
    rate: int
    padding: int

    def __post_init__(self) -> None:
        """Checks that the kernel fits on the padded map.

        Raises:
          ValueError: the kernel is larger than the padded map.
        """
        if self.outputs < 1:
            raise ValueError(
                f"a map of {self.inputs} pixels with padding {self.padding} is smaller than "
                f"a kernel of {self.kernel} at rate {self.rate}: use larger images"
            )

    @property
    def outputs(self) -> int:
        """Pixels of the output along this axis."""
        reach = self.rate * (self.kernel - 1) + 1
        return (self.inputs + 2 * self.padding - reach) // self.stride + 1

    def seen(self, tap: int) -> tuple[int, int, int] | None:
        """Returns (first output, first input, count) of the positions with the tap on the map."""
        shift = self.rate * tap - self.padding
        first = max(0, -(shift // self.stride))  # the ceiling of -shift / stride
        last = min(self.outputs - 1, (self.inputs - 1 - shift) // self.stride)
        return None if last < first else (first, first * self.stride + shift, last - first + 1)

    @property
    def seen_share(self) -> float:
        """The share of (output, tap) pairs that lie on the map."""
        seen = (self.seen(tap) for tap in range(self.kernel))
        return sum(s[2] for s in seen if s) / (self.kernel * self.outputs)


Windows = tuple[Window, Window]  # of rows, of columns
