"""Checks the features of a prepared set before TFDS reads them.

features.json and dataset_info.json name a Python class for each feature. TFDS imports the module of
an unknown class, so that a prepared folder from elsewhere could run any module that Python finds.
Only the classes that the builders of this package write are accepted.
"""

import json
import pathlib
from typing import Any

_CLASSES = frozenset(
    f"tensorflow_datasets.core.features.{name}"
    for name in ("features_dict.FeaturesDict", "image_feature.Image", "text_feature.Text")
)
_FILES = ("features.json", "dataset_info.json")
# The field names of protobuf's JSON, in lower case and without underscores.
_CLASS_KEYS = ("pythonclassname", "type")
_NESTED_KEYS = ("jsonfeature", "protocls")  # forms of old versions, with JSON within a string
_DEEPEST = 32


def check(folder: pathlib.Path) -> None:
    """Raises if a prepared folder has features of classes that this package does not write.

    Raises:
      ValueError: names the file and the class, or a file that is not JSON.
      OSError: a file cannot be read.
    """
    for name in _FILES:
        path = folder / name
        try:
            values = json.loads(path.read_text())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path.name} is not JSON: {error}") from error
        _check(values, path, 0)


def _check(values: Any, path: pathlib.Path, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"{path.name} is nested more than {_DEEPEST} deep")
    if isinstance(values, list):
        for value in values:
            _check(value, path, depth + 1)
    if not isinstance(values, dict):
        return
    for key, value in values.items():
        plain = key.replace("_", "").lower()
        named = plain in _CLASS_KEYS and isinstance(value, str)
        if (named and value not in _CLASSES) or plain in _NESTED_KEYS:
            raise ValueError(
                f"{path.name} names {str(value)[:100]!r}, which is not a feature that jaxseg "
                "writes; nothing of it was imported"
            )
        _check(value, path, depth + 1)
