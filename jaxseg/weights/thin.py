"""Subsamples fc6 and fc7 of an ImageNet VGG for smaller layers: DeepLab's 4x4 and LargeFOV."""

from collections.abc import Mapping

import numpy as np

from jaxseg.weights.match import Entry

_LAYERS = ("fc6", "fc7")


def is_thinner(path: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a leaf belongs to fc6 or fc7, and the model has a smaller one."""
    return (
        path.split("/")[-2] in _LAYERS
        and found != wanted
        and len(found) == len(wanted)
        and all(w <= f for f, w in zip(found, wanted, strict=True))
    )


def _some(have: int, want: int, layer: str) -> np.ndarray:
    """The filters of a layer to keep: all, or a random but fixed subset."""
    random = np.random.default_rng(_LAYERS.index(layer))
    return np.sort(random.choice(have, want, replace=False))


def _taps(have: int, want: int) -> np.ndarray:
    """The taps to keep, evenly spaced over the window, including its ends.

    Raises:
      ValueError: they cannot be evenly spaced.
    """
    step, rest = divmod(have - 1, want - 1) if want > 1 else (1, 1)
    if rest:
        raise ValueError(f"{want} taps cannot be spaced evenly over {have}")
    return np.arange(want) * step


def thinned(entry: Entry, shape: tuple[int, ...]) -> Entry:
    """The entry of fc6 or fc7, with a transform that selects the part that a model has.

    DeepLab (v1, section 3.1; v2, section 4.1.1) keeps 4x4 or 3x3 of fc6's 7x7 taps, every second or
    third, and for LargeFOV a random 1024 of the 4096 filters of both layers. The inputs of fc7 are
    the outputs that fc6 keeps. Departure: the filters are drawn here, since the papers' draw is
    unknown.

    Args:
      entry: of a kernel or bias of fc6 or fc7.
      shape: of the model's leaf.
    """
    layer, leaf = entry.target.split("/")[-2:]

    def thin(raw: np.ndarray) -> np.ndarray:
        value = entry.transform(raw)
        value = value[..., _some(value.shape[-1], shape[-1], layer)]
        if leaf == "kernel" and layer == "fc7":
            value = value[:, :, _some(value.shape[2], shape[2], "fc6")]
        elif leaf == "kernel" and value.shape[0] != shape[0]:
            taps = _taps(value.shape[0], shape[0])
            value = value[taps][:, taps]
        return value

    return entry._replace(transform=thin)


def thinned_entries(
    entries: tuple[Entry, ...],
    found: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
) -> tuple[Entry, ...]:
    """All entries, with those of fc6 and fc7 thinned if the model's layers are smaller.

    Args:
      entries: of a table.
      found: leaf path -> shape in the file.
      wanted: leaf path -> shape in the model.
    """

    def is_wanted(path: str) -> bool:
        return path in found and path in wanted and is_thinner(path, found[path], wanted[path])

    return tuple(thinned(e, wanted[e.target]) if is_wanted(e.target) else e for e in entries)
