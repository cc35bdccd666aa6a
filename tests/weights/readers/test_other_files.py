"""Readers of .safetensors, .h5 and .tflite: names, values, and what is refused by name."""

import sys

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from jaxseg.weights.readers import h5_file, safetensors_file, tflite_file


@pytest.mark.parametrize("dtype", ["<f4", "<f2", "<i8", ml_dtypes.bfloat16])
def test_safetensors_values(tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    values = np.arange(6).reshape(2, 3).astype(dtype)
    safetensors.numpy.save_file({"a.weight": values, "b": values[:1].copy()}, path)
    read = safetensors_file.read(path)
    assert sorted(read) == ["a.weight", "b"]
    assert read["a.weight"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read["a.weight"], values)


def test_h5_values_by_full_name(tmp_path):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file["model_weights/model/Conv1/kernel:0"] = np.arange(6, dtype="<f4").reshape(2, 3)
        file["model_weights/note"] = "text is no weight"
    read = h5_file.read(path)
    assert list(read) == ["model_weights/model/Conv1/kernel:0"]
    np.testing.assert_array_equal(next(iter(read.values())), [[0, 1, 2], [3, 4, 5]])


def test_h5_does_not_follow_values_into_other_files(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(16))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("w", (4,), "<f4", external=[(str(secret), 0, 16)])
    with pytest.raises(ValueError, match=r"a\.h5: w points into another file"):
        h5_file.read(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("read", "suffix"),
    [(safetensors_file.read, ".safetensors"), (h5_file.read, ".h5"), (tflite_file.read, ".tflite")],
)
def test_absent_and_foreign_files_are_named(tmp_path, read, suffix):
    path = tmp_path / f"model{suffix}"
    with pytest.raises(FileNotFoundError, match="model"):
        read(path)
    for content in (b"", b"hello, this is text, long enough for any header"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="model") as error:
            read(path)
        assert str(path) in str(error.value)


def test_truncated_files_are_named(tmp_path, shared):
    path = tmp_path / "model"
    for source, read in (
        ("deeplabv3_257_mv_gpu.tflite", tflite_file.read),
        ("mobilenet_v2_035_teachable_machine.h5", h5_file.read),
    ):
        whole = (shared / "weights" / source).read_bytes()
        for part in (0.0001, 0.01, 0.5, 0.999):
            path.write_bytes(whole[: int(len(whole) * part)])
            with pytest.raises(ValueError, match="model: ") as error:
                read(path)
            assert str(path) in str(error.value)


def test_the_tflite_reader_says_which_package_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(ImportError, match="pip install tflite"):
        tflite_file.read(tmp_path / "model.tflite")


def test_tflite_gives_the_weights_and_no_activation(shared):
    read = tflite_file.read(shared / "weights" / "deeplabv3_257_mv_gpu.tflite")
    assert len(read) == 110  # of 184 tensors: 55 convolutions, each weights and bias
    assert read["MobilenetV2/Conv/weights"].shape == (16, 3, 3, 3)
    assert read["MobilenetV2/expanded_conv/depthwise/depthwise_weights"].shape == (1, 3, 3, 16)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in read.values())
