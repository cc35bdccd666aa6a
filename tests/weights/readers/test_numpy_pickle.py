"""Pickled arrays are read, and nothing that a pickle names is executed."""

import os
import pickle

import numpy as np
import pytest

from jaxseg.weights.load import read
from jaxseg.weights.readers import numpy_pickle_file

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "steps": np.array(7),
    "half": np.linspace(0, 1, 3).astype(np.float16),
    "empty": np.zeros((0, 3), np.float32),
}


def written(path, content, protocol):
    with path.open("wb") as file:
        pickle.dump(content, file, protocol)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("part", ["", "model", "blobs"])
def test_arrays_of_every_protocol(tmp_path, protocol, part):
    content = {part: ARRAYS, "__author__": "x", "matching_heuristics": True} if part else ARRAYS
    found = read(written(tmp_path / "file.pkl", content, protocol))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


class Harm:
    """Unpickled, it would make a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_is_executed(tmp_path):
    harm = tmp_path / "made"
    content = {"model": {"a": ARRAYS["half"], "b": Harm(harm)}}
    found = read(written(tmp_path / "file.pkl", content, 4))
    assert list(found) == ["a"]
    assert not harm.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "not a dictionary of arrays"),
        ({"lr": 0.1}, "it holds no arrays of NumPy, but lr"),
        ({"a": np.array(["x"])}, "type U1, which is not supported"),
        ({"a": np.array([1 + 2j])}, "type c16"),
        ({"a": np.array([1.0]).astype(">f4")}, "type f4"),
    ],
)
def test_what_is_refused(tmp_path, content, message):
    path = written(tmp_path / "file.pkl", content, 2)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_shape_that_its_bytes_do_not_fill(tmp_path):
    path = written(tmp_path / "file.pkl", {"a": np.zeros((2, 3), np.float32)}, 3)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"K\x02K\x03\x86", b"K\x7fK\x03\x86"))
    with pytest.raises(ValueError, match=r"shape \(127, 3\) and type float32 has 24 bytes"):
        numpy_pickle_file.read(path)
    path.write_bytes(content[:-20])
    with pytest.raises(ValueError, match="only 12 remain"):
        numpy_pickle_file.read(path)
