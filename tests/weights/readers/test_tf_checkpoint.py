"""Checkpoints of TensorFlow come back bit for bit; what is broken or not read here is named."""

import ml_dtypes
import numpy as np
import pytest

from jaxseg.weights import load
from jaxseg.weights.readers import tf_checkpoint_file
from tests.weights import tf_bundle


def _arrays(count=12):
    rng = np.random.default_rng(0)
    arrays = {
        f"net/block1/unit_{n}/weights": rng.normal(size=(3, n, 2)).astype(np.float32)
        for n in range(count)
    }
    arrays |= {"global_step": np.int64(30_000), "net/bias": np.arange(5.0)}
    for dtype in (np.float16, ml_dtypes.bfloat16, np.int32, np.uint8, bool):
        arrays[f"net/{np.dtype(dtype).name}"] = np.arange(6).reshape(2, 3).astype(dtype)
    return {name: np.asarray(array) for name, array in arrays.items()}


@pytest.mark.parametrize("shards", [1, 3])
def test_every_array_comes_back(tmp_path, shards):
    arrays = _arrays()
    prefix = tmp_path / "model.ckpt-30000"
    tf_bundle.write(prefix, arrays | {"_CHECKPOINTABLE_OBJECT_GRAPH": b"text"}, shards=shards)
    for path in (prefix, *tf_checkpoint_file.files_of(prefix)):
        found = load.read(path)  # any of its files names the whole
        assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert len(tf_checkpoint_file.files_of(prefix)) == 1 + shards


def _write(folder, **how):
    prefix = folder / "model.ckpt"
    tf_bundle.write(prefix, _arrays(), **how)
    return prefix


def _refused(prefix, words, kind=ValueError):
    with pytest.raises(kind, match=words) as error:
        tf_checkpoint_file.read(prefix)
    assert str(prefix.parent) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 1, 30, 60, 300, -100, -49, -48, -9, -1])
def test_a_truncated_index_is_named(tmp_path, keep):
    prefix = _write(tmp_path)
    index = tmp_path / "model.ckpt.index"
    index.write_bytes(index.read_bytes()[:keep])
    _refused(prefix, r"model\.ckpt\.index: ")


def test_truncated_absent_and_exchanged_shards_are_named(tmp_path):
    prefix = _write(tmp_path, shards=2)
    first, second = (tmp_path / f"model.ckpt.data-0000{n}-of-00002" for n in (0, 1))
    whole = second.read_bytes()
    second.write_bytes(whole[:-1])
    _refused(prefix, r"data-00001-of-00002: truncated")
    second.write_bytes(first.read_bytes() + whole)
    _refused(prefix, r"data-00001-of-00002: .* is damaged")
    second.unlink()
    _refused(prefix, r"data-00001-of-00002: no such file", FileNotFoundError)


def test_one_changed_bit_is_found_wherever_it_is(tmp_path):
    prefix = _write(tmp_path)
    for path in tf_checkpoint_file.files_of(prefix):
        whole = path.read_bytes()
        for place in np.linspace(0, len(whole) - 49, 23).astype(int):
            changed = bytearray(whole)
            changed[place] ^= 4
            path.write_bytes(changed)
            with pytest.raises((ValueError, FileNotFoundError)) as error:
                tf_checkpoint_file.read(prefix)
            assert path.name in str(error.value)
        path.write_bytes(whole)
    assert len(tf_checkpoint_file.read(prefix)) == len(_arrays())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"compression": 1}, "compressed, which TensorFlow never does; save it again"),
        ({"extra": tf_bundle.field(7, b"")}, "stored in slices .*; save it again"),
        ({"header": tf_bundle.field(2, 1)}, "big-endian"),
    ],
)
def test_what_is_not_read_here_has_a_way_out(tmp_path, how, words):
    _refused(_write(tmp_path, **how), words)


def test_an_absent_one_and_other_files_of_its_name(tmp_path):
    _refused(tmp_path / "model.ckpt", r"model\.ckpt\.index: no such file", FileNotFoundError)
    with pytest.raises(FileNotFoundError, match=r"model\.ckpt: no such file"):
        load.read(tmp_path / "model.ckpt")
    (tmp_path / "model.ckpt").write_bytes(tf_bundle.table([(b"a", b"b")]))
    with pytest.raises(
        ValueError, match=r"model\.ckpt: a TensorFlow checkpoint without its \.index"
    ):
        load.read(tmp_path / "model.ckpt")
    (tmp_path / "model.ckpt.index").write_bytes(
        b"hello, this is text, long enough for a footer" * 3
    )
    _refused(tmp_path / "model.ckpt", "not an index of a TensorFlow checkpoint")
    (tmp_path / "model.ckpt.index").write_bytes(tf_bundle.table([(b"a", b"b")]))
    _refused(tmp_path / "model.ckpt", "it has no header")
