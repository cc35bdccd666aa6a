"""Augmented views for the doctor's picture, with the transform given on the command line."""

import dataclasses
import difflib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform

_SEED = 0
_PATH = re.compile(r"^data\.(augment\.|normalisation\.)?")  # of a field, in a message


def transform_of(settings: Sequence[str], crop_size: tuple[int, int]) -> Transform:
    """The transform with FIELD=VALUE settings, as ["rotation=10", "scale_range=0.5,2"].

    Args:
      settings: fields of `Augment`, as data.augment has them; or crop_size or mean.
      crop_size: where none of them sets it.

    Raises:
      ValueError: no such field, or a value that it cannot have; the setting is named.
    """
    plain = Transform(crop_size)
    of_transform: dict[str, Any] = {"crop_size": plain.crop_size, "mean": plain.mean}
    of_augment: dict[str, Any] = dataclasses.asdict(plain.augment)
    known = of_augment | of_transform
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ValueError(
                f"--augment={setting}: there is no field {name!r}{hint} (known: {', '.join(known)})"
            )
        try:
            value = _value(text, known[name])
        except ValueError as error:
            raise ValueError(f"--augment={setting}: {error}") from None
        (of_transform if name in of_transform else of_augment)[name] = value
    try:
        return Transform(augment=Augment(**of_augment), **of_transform)
    except ValueError as error:
        raise ValueError(_PATH.sub("--augment=", str(error), count=1)) from None


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
    transform: Transform, image: np.ndarray, label: np.ndarray, index: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """View `number` of example `index`: the same at every call, whatever else is drawn.

    Args:
      transform: of the view.
      image: uint8 [H, W, 3].
      label: train ids uint8 [H, W].
      index: of the example.
      number: of the view.

    Returns:
      uint8 [h, w, 3] and uint8 [h, w], of `transform.crop_size`.
    """
    return transform.apply(np.random.default_rng((_SEED, index, number)), image, label)
