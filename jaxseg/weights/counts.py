"""How the shapes of a model depend on its number of classes and of input channels.

This is found by tracing the model with one more of each, so that a layer that depends on them is
recognised by its shape and not by its name: a bilinear kernel of K x K classes as well as a
classifier.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxseg.weights.match import leaves_of

Shape = tuple[int, ...]


def shapes_of(tree: Mapping[str, Any]) -> dict[str, Shape]:
    """Leaf path -> shape."""
    return {path: tuple(leaf.shape) for path, leaf in leaves_of(tree)}


@dataclasses.dataclass(frozen=True)
class Counts:
    """The two numbers, and by how much each axis of a leaf grows with them; most grow by 0."""

    classes: int  # 0 if the model has no such number
    channels: int
    by_class: Mapping[str, Shape] = dataclasses.field(default_factory=dict)  # only leaves that grow
    by_channel: Mapping[str, Shape] = dataclasses.field(default_factory=dict)

    def shape(self, path: str, here: Shape, other: "Counts") -> Shape:
        """The shape of a leaf with the numbers of `other`, from its shape with these."""
        none = (0,) * len(here)
        more, wider = other.classes - self.classes, other.channels - self.channels
        steps = zip(self.by_class.get(path, none), self.by_channel.get(path, none), strict=True)
        return tuple(n + more * a + wider * b for n, (a, b) in zip(here, steps, strict=True))


def _growth(before: Mapping[str, Shape], after: Mapping[str, Shape]) -> dict[str, Shape]:
    return {
        path: tuple(b - a for a, b in zip(shape, after[path], strict=True))
        for path, shape in before.items()
        if shape != after[path]
    }


def traced(trace: Callable[[int, int], Mapping[str, Any]], classes: int, channels: int) -> Counts:
    """The numbers of a model, and how its shapes depend on them.

    Args:
      trace: (classes, channels) -> variables as shapes.
      classes: of the model; 0 if it has no such number.
      channels: of its images.
    """
    here = shapes_of(trace(classes, channels))
    by_class = _growth(here, shapes_of(trace(classes + 1, channels))) if classes else {}
    by_channel = _growth(here, shapes_of(trace(classes, channels + 1)))
    return Counts(classes, channels, by_class, by_channel)


def _agreed(
    found: Mapping[str, Shape], here: Mapping[str, Shape], steps: Mapping[str, Shape], count: int
) -> int:
    """The number implied by the shapes of all leaves that depend on it; else `count`.

    If they disagree, or their difference is not a multiple of the step, something else differs.
    """
    said = set()
    for path, step in steps.items():
        if path not in found:
            continue
        if len(found[path]) != len(here[path]):
            return count
        for f, h, s in zip(found[path], here[path], step, strict=True):
            if s:
                said.add(count + (f - h) / s)
    number = said.pop() if len(said) == 1 else count
    return int(number) if number >= 1 and number == int(number) else count


def of_file(model: Counts, found: Mapping[str, Shape], here: Mapping[str, Shape]) -> Counts:
    """The two numbers of a file, inferred from its shapes.

    Args:
      model: the model's, traced.
      found: leaf path -> shape in the file, in the leaf's layout.
      here: leaf path -> shape in the model.
    """
    return dataclasses.replace(
        model,
        classes=_agreed(found, here, model.by_class, model.classes),
        channels=_agreed(found, here, model.by_channel, model.channels),
    )


def with_channels(kernel: np.ndarray, axis: int, channels: int) -> np.ndarray:
    """The kernel of a first convolution for images of another number of channels.

    One channel: the sum over the M channels, so that a grey image gives the same result as M equal
    channels. N channels: the M channels in turn, each times M / N; the response to N equal channels
    is then that to M equal channels, exactly if N is a multiple of M.

    Args:
      kernel: [kh, kw, M, Cout].
      axis: of its input channels.
      channels: N.
    """
    if channels == 1:
        return kernel.sum(axis=axis, keepdims=True)
    have = kernel.shape[axis]
    turns = np.arange(channels) % have
    return (kernel.take(turns, axis=axis) * (have / channels)).astype(kernel.dtype)
