"""The annotations of shapes are checked in the tests, room by room, and nowhere else."""

import importlib

import jaxtyping
import numpy as np
import pytest

from jaxseg.config import Eval
from jaxseg.inference.infer import make_probabilities
from jaxseg.models import full_resolution
from jaxseg.pixels import Normalisation, normalise
from tests.conftest import ROOT
from tests.helpers.shapes import ROOMS

MAP = np.zeros((1, 4, 5, 3), np.float32)
LABELS = np.zeros((1, 4, 5), np.int32)
# Of each room a function and arguments of which the second does not fit the first.
MISFITS = {
    "losses": ("cross_entropy", "cross_entropy", (MAP, LABELS[:, :3], LABELS == 0)),
    "metrics": ("confusion", "confusion_matrix", (LABELS, LABELS[:, :3], 3)),
    "postprocess": ("gaussian_sum", "gaussian_sum", (MAP[0, 0], MAP[0, :, 0])),
    "inference": ("windows", "resampled", (MAP, LABELS[:, 0, :2], LABELS[:, 0, :3], (4, 5))),
    "layers": ("conv", "conv", (MAP, np.zeros((3, 3, 2, 4), np.float32))),
}


@pytest.mark.parametrize("room", ROOMS)
def test_a_shape_that_does_not_fit_is_refused(room):
    module, name, arguments = MISFITS[room]
    function = getattr(importlib.import_module(f"jaxseg.{room}.{module}"), name)
    with pytest.raises(jaxtyping.TypeCheckError, match="parameters of jaxseg"):
        function(*arguments)


def test_a_run_checks_nothing():
    assert not [p for p in (ROOT / "jaxseg").rglob("*.py") if "beartype" in p.read_text()]
    assert "beartype" not in (ROOT / "requirements" / "base.txt").read_text()


def test_pixels_and_what_a_factory_returns_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError, match="parameters of jaxseg"):
        normalise(MAP[..., :2], Normalisation())
    predict = make_probabilities(full_resolution.FullResolution(3), Eval(), Normalisation())
    with pytest.raises(jaxtyping.TypeCheckError, match="parameters of jaxseg"):
        predict({}, MAP)  # floats, where pixels are uint8
