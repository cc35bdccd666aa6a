"""torchvision's detectors of COCO score all ids from 0 to 90; a model of the 80 used takes those.

torchvision/models/_meta.py, _COCO_CATEGORIES, names the ten others "N/A". No object of COCO has
them. Departure: the softmax is one over the background and 80 classes, not 90; it is the same where
the ten others have no share in it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxseg.weights.match import Entry, Table, leaves_of

OUTPUTS = 91  # ids 0 (the background) to 90
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_SCORES = "params/predictor/classes/bias"
_BY_CLASS = ("params/predictor/", "params/mask_head/masks/")


def used(array: np.ndarray) -> np.ndarray:
    """The values of the background and the 80 used, on the last axis of [..., 91 * n]."""
    *others, last = array.shape
    if last % OUTPUTS:
        raise ValueError(f"{last} outputs are not those of {OUTPUTS} classes")
    of_class = array.reshape(*others, OUTPUTS, last // OUTPUTS)
    return np.delete(of_class, UNUSED, axis=-2).reshape(*others, -1)


def of_used(source: Mapping[str, np.ndarray], target: Mapping[str, Any], table: Table) -> Table:
    """The table, with the 80 used if the file has all ids and the model has 80 classes.

    Args:
      source: name -> tensor.
      target: the model's variables or their shapes.
      table: of the file.
    """
    here = dict(leaves_of(target))
    scores = [entry for entry in table.entries if entry.target == _SCORES]
    if not scores or _SCORES not in here or here[_SCORES].shape != (OUTPUTS - len(UNUSED),):
        return table
    if source[scores[0].source].shape != (OUTPUTS,):
        return table
    return dataclasses.replace(table, entries=tuple(map(_used, table.entries)))


def _used(entry: Entry) -> Entry:
    if not entry.target.startswith(_BY_CLASS):
        return entry
    return entry._replace(transform=lambda array: used(entry.transform(array)))
