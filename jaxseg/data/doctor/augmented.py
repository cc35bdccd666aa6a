"""Augmented views for the doctor's picture, with the transform given on the command line."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.data.augment.transforms import Augment

_SEED = 0
_UNSEEN = ("boundary", "boundary_sigma")  # of the loss's weight map, which no view shows


def augment_of(settings: Sequence[str], crop_size: tuple[int, int]) -> Augment:
    """The transform with FIELD=VALUE settings, as ["rotation=10", "scale_range=0.5,2"].

    Args:
      settings: fields of `Augment`, which are those of `config.Data` too.
      crop_size: where none of them sets it.

    Raises:
      ValueError: no such field, or a value that it cannot have; the setting is named.
    """
    fields = [field for field in dataclasses.fields(Augment) if field.name not in _UNSEEN]
    values: dict[str, Any] = {field.name: field.default for field in fields}
    values["crop_size"] = crop_size
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in values:
            near = difflib.get_close_matches(name, values, n=2, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ValueError(
                f"--augment={setting}: there is no field {name!r}{hint} "
                f"(known: {', '.join(values)})"
            )
        try:
            values[name] = _value(text, values[name])
        except ValueError as error:
            raise ValueError(f"--augment={setting}: {error}") from None
    try:
        return Augment(**values)
    except ValueError as error:
        raise ValueError(str(error).replace("data.", "--augment=", 1)) from None


def _value(text: str, like: Any) -> Any:
    """The text as a value of the kind of `like`."""
    if isinstance(like, tuple):
        parts = text.split(",")
        if len(parts) != len(like):
            raise ValueError(f"{len(like)} values with commas between are wanted")
        return tuple(_value(part, one) for part, one in zip(parts, like, strict=True))
    if isinstance(like, str):
        return text
    if isinstance(like, bool):
        if text not in ("True", "False", "true", "false"):
            raise ValueError("True or False is wanted")
        return text in ("True", "true")
    try:
        return type(like)(text)
    except ValueError:
        raise ValueError(f"{_kind(like)} is wanted") from None


def _kind(like: float) -> str:
    """The kind of a number in words."""
    return "a whole number" if isinstance(like, int) else "a number"


def view(
    augment: Augment, image: np.ndarray, label: np.ndarray, index: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """View `number` of example `index`: the same at every call, whatever else is drawn.

    Args:
      augment: the transform.
      image: uint8 [H, W, 3].
      label: train ids uint8 [H, W].
      index: of the example.
      number: of the view.

    Returns:
      uint8 [h, w, 3] and uint8 [h, w], of `augment.crop_size`.
    """
    return augment.apply(np.random.default_rng((_SEED, index, number)), image, label)
