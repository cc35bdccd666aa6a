"""Augmented views for the doctor's picture, with the transform given on the command line."""

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform

_SEED = 0
_PATH = re.compile(
    r"^data\.(augment\.|normalisation\.|instances[.:] ?)?"
)  # of a field, in a message


class WrongSetting(ValueError):
    """An invalid setting on the command line."""


def transform_of(settings: Sequence[str], crop_size: tuple[int, int]) -> Transform:
    """The transform with FIELD=VALUE settings, such as ["rotation=10", "scale_range=0.5,2"].

    Args:
      settings: fields of `Augment`, or crop_size or mean.
      crop_size: the default, if none of them sets it.

    Raises:
      WrongSetting: names the setting with an unknown field or an invalid value.
    """
    plain = Transform(crop_size)
    of_transform: dict[str, Any] = {"crop_size": plain.crop_size, "mean": plain.mean}
    of_augment: dict[str, Any] = dataclasses.asdict(plain.augment)
    for name, value in _given(settings, of_augment | of_transform).items():
        (of_transform if name in of_transform else of_augment)[name] = value
    try:
        return Transform(augment=Augment(**of_augment), **of_transform)
    except ValueError as error:
        raise WrongSetting(_PATH.sub("--augment=", str(error), count=1)) from None


def instance_transform_of(settings: Sequence[str], side: int) -> InstanceTransform:
    """As `transform_of`, with fields of `InstanceAugment`; views fill a square of `side`.

    Raises:
      WrongSetting: names the setting with an unknown field or an invalid value.
    """
    plain = InstanceAugment(short_side=(side,), long_side=side)
    values: dict[str, Any] = dataclasses.asdict(plain)
    try:
        return InstanceTransform((side, side), InstanceAugment(**values | _given(settings, values)))
    except ValueError as error:
        raise WrongSetting(_PATH.sub("--augment=", str(error), count=1)) from None


def check(settings: Sequence[str]) -> None:
    """Checks settings that may be of `Augment` or of `InstanceAugment`.

    Raises:
      WrongSetting: names the setting that is valid in neither.
    """
    try:
        transform_of(settings, (1, 1))
    except WrongSetting as error:
        try:
            instance_transform_of(settings, 1)
        except WrongSetting as other:
            raise (error if "there is no field" in str(other) else other) from None


def _given(settings: Sequence[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """The values of FIELD=VALUE settings.

    Args:
      settings: from the command line.
      known: fields with values of their types.
    """
    given = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise WrongSetting(
                f"--augment={setting}: there is no field {name!r}{hint} (known: {', '.join(known)})"
            )
        try:
            value = _value(text, known[name])
        except ValueError as error:
            raise WrongSetting(f"--augment={setting}: {error}") from None
        given[name] = value
    return given


def _value(text: str, like: Any) -> Any:
    """The text as a value of the type of `like`."""
    if isinstance(like, tuple):
        parts = text.split(",")
        if len(like) > 1 and len(parts) != len(like):
            raise ValueError(f"it must be {len(like)} values separated by commas")
        return tuple(_value(part, like[0]) for part in parts)
    if isinstance(like, str):
        return text
    if isinstance(like, bool):
        if text not in ("True", "False", "true", "false"):
            raise ValueError("it must be True or False")
        return text in ("True", "true")
    try:
        return type(like)(text)
    except ValueError:
        raise ValueError(f"it must be {_kind(like)}") from None


def _kind(like: float) -> str:
    """The type of a number in words."""
    return "a whole number" if isinstance(like, int) else "a number"


def view(
    transform: Transform, image: np.ndarray, label: np.ndarray, index: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """View `number` of example `index`, which does not depend on other calls.

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
